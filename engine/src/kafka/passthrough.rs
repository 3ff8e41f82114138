//! Which of librdkafka's options a user may set. An allow-list: others can run a shell command
//! (`sasl.kerberos.kinit.cmd`), load a shared object (`plugin.library.paths`), reach any URL, turn
//! off the check of certificates, or break a guarantee.

use std::collections::BTreeMap;

/// Which client the options are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads.
    Consumer,
    /// Writes.
    Producer,
}

const BOTH: &[&str] = &[
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "connections.max.idle.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.sigalgs.list",
];

const CONSUMER: &[&str] = &[
    "client.rack",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "topic.metadata.refresh.interval.ms",
];

const PRODUCER: &[&str] = &["compression.codec", "compression.level", "compression.type", "linger.ms"];

const OWNED: &[(&str, &str)] = &[
    ("acks", "a dead letter counts when all in-sync replicas have it"),
    ("allow.auto.create.topics", "a typo in a topic's name must not create a topic"),
    ("auto.commit.interval.ms", "set it by the commit interval"),
    ("auto.offset.reset", "set where a new group starts by `start`; any other jump would lose records silently"),
    ("bootstrap.servers", "set it by `bootstrap_servers`"),
    ("check.crcs", "it is always on"),
    ("client.id", "set it by `client_id`"),
    ("enable.auto.commit", "commits are the engine's"),
    ("enable.auto.offset.store", "an offset is stored when its record is finished"),
    ("enable.idempotence", "it is always on"),
    ("group.id", "set it by `group_id`"),
    ("group.instance.id", "set it by `group_instance_id`"),
    ("group.protocol", "only the classic protocol is supported by now"),
    ("heartbeat.interval.ms", "set it by the heartbeat interval"),
    ("isolation.level", "records of aborted transactions must not reach a CRM"),
    ("max.poll.interval.ms", "set it by the poll interval"),
    ("message.timeout.ms", "set it by the message timeout"),
    ("metadata.broker.list", "set it by `bootstrap_servers`"),
    ("partition.assignment.strategy", "it is cooperative-sticky, and can't be mixed with others"),
    ("request.required.acks", "a dead letter counts when all in-sync replicas have it"),
    ("session.timeout.ms", "set it by the session timeout"),
    ("statistics.interval.ms", "metrics depend on it"),
];

const DANGEROUS: &[(&str, &str)] = &[
    ("debug", "its output can contain secrets"),
    ("enable.ssl.certificate.verification", "certificates are always checked"),
    ("plugin.library.paths", "it loads code"),
    ("sasl.kerberos.kinit.cmd", "it runs a shell command"),
    ("sasl.oauthbearer.token.endpoint.url", "it sends credentials to any URL"),
    ("ssl.endpoint.identification.algorithm", "certificates are always checked, with their host's name"),
];

/// The options for this role. Those of the other role are left out, so that both clients can be
/// given the same set.
pub(super) fn checked(role: Role, extra: &BTreeMap<String, String>) -> Result<Vec<(&str, &str)>, String> {
    let mut passed = Vec::new();
    for (name, value) in extra {
        let name = name.as_str();
        let (ours, others) = match role {
            Role::Consumer => (CONSUMER, PRODUCER),
            Role::Producer => (PRODUCER, CONSUMER),
        };
        if BOTH.contains(&name) || ours.contains(&name) {
            passed.push((name, value.as_str()));
        } else if !others.contains(&name) {
            return Err(refusal(name));
        }
    }
    sasl_over_tls(extra)?;
    Ok(passed)
}

/// Never repeats the value: it may be a secret in the wrong place.
fn refusal(name: &str) -> String {
    let reason = |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == name).map(|(_, why)| *why);
    if let Some(why) = reason(OWNED) {
        format!("the Kafka option `{name}` can't be set: {why}")
    } else if let Some(why) = reason(DANGEROUS) {
        format!("the Kafka option `{name}` isn't allowed: {why}")
    } else if is_secret(name) {
        format!("the Kafka option `{name}` holds a secret, which must not be in the options: take it out")
    } else {
        format!("the Kafka option `{name}` isn't one of those that are passed on to librdkafka")
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", ".pem", "oauthbearer", "passphrase", "private"].iter().any(|part| name.contains(part))
}

/// These mechanisms show the password, or enough to guess it, to anyone on the way.
fn sasl_over_tls(extra: &BTreeMap<String, String>) -> Result<(), String> {
    let mechanism = extra.get("sasl.mechanism").or_else(|| extra.get("sasl.mechanisms"));
    let Some(mechanism) = mechanism.map(|value| value.to_ascii_uppercase()) else { return Ok(()) };
    let protocol = extra.get("security.protocol").map(|value| value.to_ascii_lowercase());
    if (mechanism == "PLAIN" || mechanism.starts_with("SCRAM")) && protocol.as_deref() != Some("sasl_ssl") {
        return Err(format!("SASL {mechanism} is allowed over TLS only: set `security.protocol` to `sasl_ssl`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(role: Role, options: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let extra = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let passed = checked(role, &extra)?;
        Ok(passed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn each_client_gets_its_own() {
        let options = [("fetch.wait.max.ms", "100"), ("linger.ms", "1"), ("client.dns.lookup", "use_all_dns_ips")];
        let names = |role| check(role, &options).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Role::Consumer), ["client.dns.lookup", "fetch.wait.max.ms"]);
        assert_eq!(names(Role::Producer), ["client.dns.lookup", "linger.ms"]);
    }

    #[test]
    fn what_is_refused_is_named_but_its_value_is_not() {
        for (name, says) in [
            ("enable.auto.commit", "engine's"),
            ("auto.offset.reset", "`start`"),
            ("sasl.kerberos.kinit.cmd", "shell"),
            ("plugin.library.paths", "loads code"),
            ("sasl.password", "secret"),
            ("ssl.key.pem", "secret"),
            ("sasl.oauthbearer.client.secret", "secret"),
            ("no.such.option", "isn't one of"),
        ] {
            let error = check(Role::Consumer, &[(name, "hunter2")]).unwrap_err();
            assert!(error.contains(name) && error.contains(says), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn passwords_go_over_tls_only() {
        let plain = ("sasl.mechanism", "plain");
        let scram = ("sasl.mechanisms", "SCRAM-SHA-512");
        for options in [vec![plain], vec![scram, ("security.protocol", "SASL_PLAINTEXT")]] {
            assert!(check(Role::Producer, &options).unwrap_err().contains("sasl_ssl"));
        }
        assert!(check(Role::Producer, &[scram, ("security.protocol", "SASL_SSL")]).is_ok());
    }
}

mod mapping;
mod registry;
mod schemas;
mod treatment;

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;
// Linked, so that there is a kind.
use syncline_servicenow as _;

use super::model::Start;
use super::treatment::Concurrency;
use super::{Config, Environment, load, schema};

const CRM: (&str, &str) = ("SERVICENOW_BASE_URL", "https://acme.service-now.com");

const FILE: &str = r#"[kafka]
topics = ["a", "b"]
group_id = "from-file"

[[destinations]]
name = "crm"
type = "servicenow"
base_url = "https://acme.service-now.com"
auth = { type = "basic", username = "env:CRM_USER", password = "env:CRM_PASSWORD" }
concurrency = 3

[[routes]]
entity = "customer"
to = ["crm"]
"#;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("syncline.toml");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    (folder, path)
}

fn with_file<const N: usize>(text: &str, variables: [(&str, &str); N]) -> Result<Config, String> {
    let (_folder, path) = file(text);
    load(Some(path), &variables.into()).map_err(|problems| problems.to_string())
}

fn without_file<const N: usize>(variables: [(&str, &str); N]) -> Result<Config, String> {
    load(None, &variables.into()).map_err(|problems| problems.to_string())
}

/// The configuration is refused with a message that has all of these parts.
#[track_caller]
fn refused(result: Result<Config, String>, parts: &[&str]) {
    let message = result.map(|config| format!("{config:?}")).unwrap_err();
    for part in parts {
        assert!(message.contains(part), "expected {part:?} in:\n{message}");
    }
}

#[test]
fn the_plain_variables_alone_run_a_service() {
    let config = without_file([
        CRM,
        ("SERVICENOW_USERNAME", "u"),
        ("SERVICENOW_PASSWORD", "p"),
        ("KAFKA_TOPIC", "x, y"),
        ("KAFKA_GROUP_ID", "42"),
        ("HTTP_MAX_RETRIES", "5"),
        ("HTTP_TIMEOUT", "2.5"),
    ])
    .unwrap();
    let kafka = &config.settings.kafka;
    assert_eq!(
        (kafka.bootstrap_servers.as_str(), kafka.dlq_topic.as_str()),
        ("localhost:9092", "internal.customer.events.dlq")
    );
    assert_eq!((kafka.topics.clone(), kafka.group_id.as_str()), (vec!["x".to_owned(), "y".to_owned()], "42"));
    assert_eq!((config.settings.http.max_retries, config.settings.http.timeout_ms), (5, 2500));
    let crm = &config.destinations[0];
    assert_eq!((crm.name.as_str(), crm.registration.kind), ("servicenow", "servicenow"));
    assert_eq!(crm.connector.endpoint().base_url.as_str(), CRM.1);
    assert!(config.missing_secrets.is_empty() && config.notes.is_empty());
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:8080");
}

#[test]
fn without_a_destination_it_says_how_to_name_one() {
    refused(
        without_file([]),
        &["there is nowhere to deliver to", "SERVICENOW_BASE_URL", "[[destinations]]", "--config"],
    );
    refused(without_file([("SERVICENOW_BASE_URL", "")]), &["there is nowhere to deliver to"]);
}

#[test]
fn a_file_is_read_and_secrets_that_are_not_set_are_named() {
    let config = with_file(FILE, [("CRM_USER", "u")]).unwrap();
    assert_eq!(config.destinations[0].treatment.concurrency, Some(Concurrency::Fixed(3)));
    assert_eq!(config.settings.kafka.start, Start::Earliest);
    let missing: Vec<_> = config.missing_secrets.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["destinations[0].auth: refers to the environment variable CRM_PASSWORD, which is not set"]);
}

#[test]
fn variables_win_over_the_file_and_plain_ones_over_all() {
    let config = with_file(
        FILE,
        [
            ("SYNCLINE__KAFKA__GROUP_ID", "42"),
            ("SYNCLINE__KAFKA__TOPICS", "c,d"),
            ("SYNCLINE__LIMITS__IN_FLIGHT_EVENTS", "77"),
            ("SYNCLINE__DESTINATIONS__0__CONCURRENCY", "9"),
            ("SYNCLINE__DESTINATIONS__0__ENTITIES__CUSTOMER__TABLE", "other"),
            ("SYNCLINE__KAFKA__OPTIONS", r#"{"linger.ms": 5}"#),
            ("SYNCLINE__KAFKA__START", "latest"),
            ("KAFKA_TOPIC", "plain"),
        ],
    )
    .unwrap();
    let kafka = &config.settings.kafka;
    assert_eq!((kafka.group_id.as_str(), kafka.topics.as_slice()), ("42", &["plain".to_owned()][..]));
    assert_eq!((kafka.start, kafka.options["linger.ms"].to_string()), (Start::Latest, "5".to_owned()));
    let concurrency = config.destinations[0].treatment.concurrency;
    assert_eq!((config.settings.limits.in_flight_events, concurrency), (77, Some(Concurrency::Fixed(9))));
    let notes = config.notes.join("\n");
    for note in
        ["KAFKA_TOPIC wins over SYNCLINE__KAFKA__TOPICS", "SYNCLINE__KAFKA__GROUP_ID wins over ", "syncline.toml:3"]
    {
        assert!(notes.contains(note), "{note}: {notes}");
    }
}

#[test]
fn an_option_that_the_engine_owns_or_that_could_hold_a_secret_is_refused_before_the_start() {
    for (options, says) in [
        (r#"{"enable.auto.commit": "false"}"#, "enable.auto.commit"),
        (r#"{"sasl.password": "hunter2"}"#, "sasl.password"),
        (r#"{"plugin.library.paths": "x"}"#, "plugin.library.paths"),
    ] {
        let result = with_file(FILE, [("SYNCLINE__KAFKA__OPTIONS", options)]);
        assert!(!format!("{result:?}").contains("hunter2"), "{result:?}");
        refused(result, &["kafka", says]);
    }
}

#[test]
fn a_plain_base_url_means_the_only_destination_of_its_kind() {
    let config = with_file(FILE, [("SERVICENOW_BASE_URL", "https://other.service-now.com")]).unwrap();
    assert_eq!(config.destinations.len(), 1);
    assert_eq!(config.destinations[0].name, "crm");
    assert_eq!(config.destinations[0].connector.endpoint().base_url.as_str(), "https://other.service-now.com");
    assert_eq!(config.missing_secrets.len(), 2, "its own credentials stay");
    let second = FILE.replace("name = \"crm\"", "name = \"second\"");
    let second = second.split("[[destinations]]").nth(1).unwrap().split("[[routes]]").next().unwrap();
    let two = format!("{FILE}\n[[destinations]]{second}");
    refused(with_file(&two, [CRM]), &["SERVICENOW_BASE_URL: 2 destinations are of the type `servicenow`"]);
}

#[test]
fn a_wrong_type_in_a_variable_is_named_and_not_repeated() {
    for value in ["abc", "-1", "101", "1.5"] {
        refused(
            without_file([CRM, ("HTTP_MAX_RETRIES", value)]),
            &["HTTP_MAX_RETRIES: expected a whole number from 0 to 100"],
        );
    }
    for value in ["abc", "0", "-3", "3601", "NaN", "inf"] {
        refused(without_file([CRM, ("HTTP_TIMEOUT", value)]), &["HTTP_TIMEOUT: expected seconds"]);
    }
    let message = without_file([
        CRM,
        ("SYNCLINE__LIMITS__IN_FLIGHT_EVENTS", "hunter2"),
        ("SYNCLINE__HTTP__MAX_RETRIES", "500"),
        ("SYNCLINE__KAFKA__GRUOP_ID", "x"),
        ("SYNCLINE__KAFKA__START", "middle"),
        ("SYNCLINE__DESTINATIONS__5__NAME", "x"),
    ])
    .unwrap_err();
    for part in [
        "SYNCLINE__LIMITS__IN_FLIGHT_EVENTS (limits.in_flight_events): expected a whole number",
        "SYNCLINE__HTTP__MAX_RETRIES (http.max_retries): too large; expected at most 100",
        "SYNCLINE__KAFKA__GRUOP_ID (kafka.gruop_id): unknown key; did you mean `group_id`?",
        "SYNCLINE__KAFKA__START (kafka.start): expected one of `earliest`, `latest`",
        "the list has 0 entries",
        "5 problems",
    ] {
        assert!(message.contains(part), "expected {part:?} in:\n{message}");
    }
    assert!(!message.contains("hunter2") && !message.contains("middle"), "{message}");
}

#[test]
fn every_problem_of_a_file_is_told_at_once_with_its_line() {
    let text = FILE
        .replace("group_id = \"from-file\"", "grup_id = \"x\"\nauto_commit_interval_ms = \"soon\"")
        .replace("concurrency = 3", "concurrency = 0\ntabel = 1");
    refused(
        with_file(&text, []),
        &[
            "3 problems",
            "syncline.toml:3: kafka.grup_id: unknown key; did you mean `group_id`?",
            "syncline.toml:4: kafka.auto_commit_interval_ms: expected a whole number, found text; write it without quotes",
            "syncline.toml:11: destinations[0].concurrency: too small; expected at least 1",
            "syncline.toml:12: destinations[0].tabel: unknown key",
        ]
        .map(|part| part.replace("3 problems", "4 problems"))
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>(),
    );
}

#[test]
fn a_plaintext_secret_is_refused_and_never_repeated() {
    for (from, to) in [
        ("\"env:CRM_PASSWORD\"", "\"hunter2\""),
        ("\"env:CRM_PASSWORD\"", "7331337"),
        ("\"env:CRM_PASSWORD\"", "[\"hunter2\"]"),
        ("{ type = \"basic\", username = \"env:CRM_USER\", password = \"env:CRM_PASSWORD\" }", "\"hunter2\""),
        ("\"https://acme.service-now.com\"", "\"https://u:hunter2@acme.service-now.com\""),
        ("\"https://acme.service-now.com\"", "\"http://hunter2.example\""),
    ] {
        let message = with_file(&FILE.replace(from, to), []).unwrap_err();
        assert!(!message.contains("hunter2") && !message.contains("7331337"), "{message}");
        assert!(message.contains("destinations[0]") && message.contains("syncline.toml:"), "{message}");
    }
    refused(
        with_file(&FILE.replace("env:CRM_PASSWORD", "hunter2"), []),
        &["syncline.toml:9: destinations[0].auth.password", "`env:NAME` or `file:/path`"],
    );
}

#[test]
fn every_kind_of_authentication_has_its_own_keys() {
    let with = |auth: &str| {
        let basic = r#"{ type = "basic", username = "env:CRM_USER", password = "env:CRM_PASSWORD" }"#;
        assert!(FILE.contains(basic));
        with_file(&FILE.replace(basic, auth), [])
    };
    let client = r#"type = "oauth2_client_credentials", client_id = "env:CRM_ID", client_secret = "file:/secret""#;
    let config = with(&format!("{{ {client} }}")).unwrap();
    let missing: Vec<_> = config.missing_secrets.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(missing, ["refers to the environment variable CRM_ID, which is not set"]);
    refused(
        with(&format!(r#"{{ {client}, token_url = "http://id.example/token" }}"#)),
        &["auth.token_url: http would send credentials in the clear"],
    );
    refused(with(&format!("{{ {client}, password = \"env:P\" }}")), &["destinations[0].auth.password: unknown key"]);
    refused(
        with(r#"{ type = "oauth2_password", client_id = "env:I", client_secret = "env:S", username = "env:U" }"#),
        &["destinations[0].auth", "the key `password` is missing"],
    );
    refused(with(r#"{ type = "api_key", header = "host", key = "env:K" }"#), &["auth.header: "]);
    refused(with(r#"{ type = "none" }"#), &["destinations[0].auth: ", "credentials"]);
}

#[test]
fn an_unknown_tag_or_kind_lists_what_there_is() {
    refused(
        with_file(&FILE.replace("\"basic\"", "\"bsic\""), []),
        &["destinations[0].auth.type: expected one of `none`, `basic`, `bearer`"],
    );
    refused(
        with_file(&FILE.replace("\"servicenow\"", "\"sugarcrm\""), []),
        &["syncline.toml:7: destinations[0].type: no linked connector has the kind", "linked are: servicenow"],
    );
    refused(with_file(&FILE.replace("name = \"crm\"\n", ""), []), &["destinations[0]: the key `name` is missing"]);
    refused(
        with_file("[state]\ntype = \"sqlite\"\n", [CRM]),
        &["syncline.toml:2: state.type: expected one of `memory`"],
    );
}

#[test]
fn files_that_cannot_be_read() {
    let missing = load(Some("/nonexistent/syncline.toml".into()), &Environment::default()).unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/syncline.toml: there is no such file"), "{missing}");
    let named = [("SYNCLINE_CONFIG", "/nonexistent/other.toml")].into();
    assert!(load(None, &named).unwrap_err().to_string().contains("/nonexistent/other.toml"));
    refused(with_file("[kafka]\ngroup_id = hunter2\n", []), &["syncline.toml:2: this is not TOML"]);
    assert!(!with_file("[kafka]\ngroup_id = hunter2\n", []).unwrap_err().contains("hunter2"));
}

#[test]
fn what_must_fit_together() {
    refused(
        without_file([CRM, ("HTTP_TIMEOUT", "45")]),
        &["HTTP_TIMEOUT (http.timeout_ms)", "kafka.session_timeout_ms"],
    );
    let routed = |to: &str, entity: &str| FILE.replace("to = [\"crm\"]", to).replace("entity = \"customer\"", entity);
    refused(
        with_file(&routed("to = [\"crn\"]", "entity = \"customer\""), []),
        &["routes[0].to[0]: no destination", "crm"],
    );
    refused(with_file(&routed("to = [\"crm\"]", "entity = \"order\""), []), &["routes[0].to[0]", "it maps: customer"]);
    refused(with_file(&routed("to = [\"crm\", \"crm\"]", "entity = \"customer\""), []), &["routed there already"]);
    refused(
        without_file([CRM, ("KAFKA_DLQ_TOPIC", "internal.customer.events")]),
        &["KAFKA_DLQ_TOPIC (kafka.dlq_topic)"],
    );
    refused(without_file([CRM, ("KAFKA_TOPIC", "a b")]), &["KAFKA_TOPIC (kafka.topics[0]): has the wrong form"]);
    refused(
        without_file([CRM, ("KAFKA_DLQ_TOPIC", "a=b")]),
        &["KAFKA_DLQ_TOPIC (kafka.dlq_topic): has the wrong form"],
    );
    refused(without_file([CRM, ("SYNCLINE__LOG__LEVEL", "a=b=c")]), &["SYNCLINE__LOG__LEVEL"]);
}

#[test]
fn listening_to_the_world_needs_a_token() {
    let listen = ("SYNCLINE__ADMIN__LISTEN", "0.0.0.0:8080");
    refused(without_file([CRM, listen]), &["SYNCLINE__ADMIN__LISTEN (admin.listen)", "needs a token"]);
    let config = without_file([CRM, listen, ("SYNCLINE__ADMIN__TOKEN", "env:TOKEN")]).unwrap();
    assert_eq!(config.admin.unwrap().to_string(), "0.0.0.0:8080");
    assert!(config.missing_secrets.iter().any(|problem| problem.to_string().contains("TOKEN")));
    let off = without_file([CRM, ("SYNCLINE__ADMIN__LISTEN", "off")]).unwrap();
    assert_eq!(off.admin, None);
    for wrong in ["8080", "example.com:80", "localhost:x"] {
        refused(without_file([CRM, ("SYNCLINE__ADMIN__LISTEN", wrong)]), &["expected an address and a port"]);
    }
    let plaintext = without_file([CRM, ("SYNCLINE__ADMIN__TOKEN", "hunter2")]).unwrap_err();
    assert!(plaintext.contains("SYNCLINE__ADMIN__TOKEN") && !plaintext.contains("hunter2"), "{plaintext}");
}

#[test]
fn every_connector_s_sample_is_valid() {
    for connector in syncline_sdk::Registration::all() {
        let config = with_file(connector.sample_config, []).unwrap();
        assert_eq!(config.destinations[0].registration.kind, connector.kind);
    }
}

#[test]
fn each_kind_of_state_has_its_own_keys() {
    let state = |text: &str| with_file(&format!("[state]\n{text}\n"), [CRM]);
    for (text, kind) in [
        ("type = \"memory\"\nmax_entries = 5", "memory"),
        ("type = \"embedded\"\npath = \"/var/lib/x\"", "embedded"),
        ("type = \"redis\"\naddresses = [\"a:1\"]\npassword = \"env:P\"", "redis"),
        ("type = \"redis\"\nmode = \"sentinel\"\nmaster = \"m\"\naddresses = [\"a:1\", \"b:1\"]", "redis"),
        ("type = \"postgres\"\ntls = false", "postgres"),
    ] {
        assert_eq!(state(text).unwrap().settings.state.kind(), kind, "{text}");
    }
    assert_eq!(with_file("", [CRM]).unwrap().settings.state.kind(), "embedded", "the default");
    for more in [("SYNCLINE__STATE__TYPE", "embedded"), ("HTTP_TIMEOUT", "20")] {
        let variables = [CRM, ("SYNCLINE__STATE__PATH", "/x"), more];
        assert_eq!(with_file("", variables).unwrap().settings.state.place(), "embedded in /x");
    }
    refused(
        state("type = \"embedded\"\naddresses = [\"a:1\"]"),
        &["state.addresses: unknown key; known are: entity_ttl_s, lease_s, path"],
    );
    refused(state("type = \"redis\"\nmode = \"sentinel\""), &["state.master: is missing"]);
    refused(state("type = \"redis\"\naddresses = [\"a:1\", \"b:1\"]"), &["state.addresses: one server"]);
    refused(state("type = \"postgres\"\ncertificate_file = \"c\""), &["state.key_file: is missing"]);
    refused(state("type = \"redis\"\nca_file = \"c\""), &["state.tls: is off"]);
    refused(state("type = \"postgres\"\npassword = \"hunter2\""), &["state.password"]);
    let missing = state("type = \"redis\"\npassword = \"env:P\"").unwrap().missing_secrets;
    assert!(missing.iter().any(|problem| problem.pointer == "/state/password"), "{missing:?}");
}

#[test]
fn what_cannot_be_meant_about_http_is_refused() {
    let http = |text: &str| with_file(&format!("{FILE}\n[http]\n{text}"), []);
    let refused_at = |text: &str, parts: &[&str]| refused(http(text), parts);
    refused_at("connect_timeout_ms = 30000", &["http.connect_timeout_ms: connecting may take as long", "30000 ms"]);
    refused_at("timeout_ms = 5000\nread_timeout_ms = 6000", &["http.read_timeout_ms: a silence", "5000 ms"]);
    refused_at("max_response_bytes = 1", &["http.max_response_bytes: too small"]);
    refused_at("ca_file = \"\"", &["http.ca_file: must not be empty"]);
    for proxy in ["proxy", "http://canary:hunter2@proxy:3128", "socks5://proxy", ""] {
        let result = http(&format!("proxy = \"{proxy}\""));
        assert!(!format!("{result:?}").contains("hunter2"), "{result:?}");
        refused(result, &["http.proxy: expected `none`, `env` or a URL", "syncline.toml:"]);
    }
    for fine in ["timeout_ms = 900", "proxy = \"env\"\nca_file = \"roots.pem\"", "proxy = \"http://proxy:3128\""] {
        http(fine).unwrap();
    }
    let config = format!("{:?}", http("proxy = \"http://proxy:3128\"").unwrap());
    assert!(!config.contains("3128"), "{config}");
}

/// What people write against: a change here is a change for them.
#[test]
fn the_schema_names_every_key() {
    let schema = schema();
    assert!(jsonschema::meta::is_valid(&schema));
    let keys = |pointer: &str| -> Vec<String> {
        schema.pointer(pointer).and_then(Value::as_object).unwrap().keys().cloned().collect()
    };
    assert_eq!(
        keys("/properties").join(" "),
        "admin delivery destinations http kafka limits log registry routes schemas state"
    );
    assert_eq!(
        keys("/$defs/Kafka/properties"),
        [
            "auto_commit_interval_ms",
            "bootstrap_servers",
            "dlq_topic",
            "group_id",
            "group_instance_id",
            "options",
            "session_timeout_ms",
            "start",
            "topics"
        ]
    );
    assert_eq!(
        keys("/$defs/Http/properties"),
        [
            "ca_file",
            "connect_timeout_ms",
            "jitter",
            "max_response_bytes",
            "max_retries",
            "proxy",
            "read_timeout_ms",
            "timeout_ms"
        ]
    );
    assert_eq!(
        keys("/$defs/Limits/properties"),
        [
            "event_bytes",
            "in_flight_bytes",
            "in_flight_events",
            "partition_span",
            "revoke_deadline_ms",
            "shutdown_deadline_ms"
        ]
    );
    let state = schema["$defs"]["State"]["oneOf"].as_array().unwrap();
    let state = |kind: &str| -> Vec<String> {
        let of = |schema: &&Value| schema["properties"]["type"]["const"] == kind;
        state.iter().find(of).unwrap()["properties"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(state("memory"), ["lease_s", "max_entries", "ttl_s", "type"]);
    assert_eq!(state("embedded"), ["entity_ttl_s", "lease_s", "path", "ttl_s", "type"]);
    assert_eq!(
        state("redis"),
        [
            "addresses",
            "ca_file",
            "certificate_file",
            "connect_timeout_ms",
            "database",
            "entity_ttl_s",
            "key_file",
            "lease_s",
            "master",
            "min_replicas",
            "mode",
            "namespace",
            "password",
            "response_timeout_ms",
            "sentinel_password",
            "sentinel_username",
            "tls",
            "ttl_s",
            "type",
            "username"
        ]
    );
    assert_eq!(
        state("postgres"),
        [
            "ca_file",
            "certificate_file",
            "connect_timeout_ms",
            "database",
            "entity_ttl_s",
            "hosts",
            "key_file",
            "lease_s",
            "password",
            "pool_size",
            "schema",
            "statement_timeout_ms",
            "tls",
            "ttl_s",
            "type",
            "username"
        ]
    );
    assert_eq!(keys("/$defs/Admin/properties"), ["listen", "token"]);
    assert_eq!(keys("/$defs/Log/properties"), ["format", "level"]);
    assert_eq!(keys("/$defs/Route/properties"), ["entity", "equal_version", "to", "version"]);
    let destination = keys("/$defs/destination.servicenow/properties");
    for key in ["name", "type", "concurrency", "base_url", "auth", "entities"] {
        assert!(destination.iter().any(|known| known == key), "{key}");
    }
    let validator = jsonschema::validator_for(&schema).unwrap();
    let tree: toml::Table = FILE.parse().unwrap();
    assert!(validator.is_valid(&serde_json::to_value(tree).unwrap()));
}

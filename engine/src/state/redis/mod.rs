//! Memory in Redis, shared by many members: one server, a master that sentinels name, or a cluster.
//!
//! What belongs together happens in one script. In a cluster a key and its entity lie on different servers, and
//! [`apart`] has the order of steps that loses nothing. `docs/decisions/0011-redis-layout.md` tells what lies where,
//! and what a crash can leave behind.

mod apart;
mod budgets;
mod connect;
mod error;
mod layout;
mod link;
mod options;
mod scripts;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use tracing::warn;

use self::layout::{FIELDS, fingerprint_from, fingerprint_text, foreign, holder, letter, parts, place, text};
use self::link::{Link, strange};
use self::options::millis;
use self::scripts::{CLAIM, COMPLETE, Call, PROBE, RELEASE, TOKEN};
use super::{
    Claim, ClaimRequest, Completed, Completion, Draw, Drawn, Ending, EntityName, KeyDigest, Memory, Release,
    StateStore, StoreError, Token, notes,
};
use crate::auth::SecretSource;
use crate::record::TopicPartition;

pub use options::{RedisClientCertificate, RedisOptions, RedisTls, RedisTopology};

/// A [`StateStore`] in Redis, for any number of members. Redis 6.2 or later, or what speaks its protocol and has Lua.
///
/// # Durability
///
/// What [`complete`](StateStore::complete) has taken survives what the server's own configuration lets it survive. With
/// `appendonly yes` and `appendfsync always` that is a crash of the machine; with `everysec` up to a second of completions
/// can be lost; without an append-only file, all since the last snapshot. A failover loses what hadn't reached the replica
/// yet, unless [`min_replicas`](RedisOptions::min_replicas) asks for it. **Whatever is lost there leads to events that are
/// delivered again, never to events that are not**: Kafka has the records, and a key that isn't there is a key that
/// hasn't been seen. The same goes for keys that are evicted, which is why the server's `maxmemory-policy` should be
/// `noeviction`. Versions and ids of entities that are lost with them are learned again from later events. Notes are
/// as durable as completions. A budget that is lost is a full one.
///
/// # Failures
///
/// Every call ends within the sum of the two timeouts of the [options](RedisOptions). After a failure the next call makes
/// a new connection, asks the sentinels again, and reads the password again.
///
/// # Permissions
///
/// The ACL user needs the keys `~<namespace>:*` and the commands `EVAL`, `EVALSHA`, `TIME`, `GET`, `SET`, `DEL`, `EXISTS`,
/// `TYPE`, `PTTL`, `PEXPIRE`, `HSET`, `HSETNX`, `HGET`, `HMGET`, `HDEL` and `HINCRBY`; besides, `CLUSTER SLOTS` in a
/// cluster, `WAIT` for `min_replicas`, `SCAN` and `HGETALL` for an export. With `INFO` the store can warn of settings
/// that lose data.
#[derive(Debug)]
pub struct RedisStore {
    link: Link,
    cautions: Vec<String>,
    /// The highest token that this member has been given.
    last_token: AtomicU64,
}

/// Requests that one script carries. More would keep the server from others for longer than a millisecond.
const SCRIPT_BATCH: usize = 100;

impl RedisStore {
    /// Connects, and looks whether everything that is needed is there and permitted.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for options that can't be meant, wrong credentials or certificates, missing permissions, a
    /// newer schema, and keys that aren't ours. [`StoreError::Unavailable`] where nobody answers, or can't write now.
    /// Nothing that was there has been changed then.
    pub async fn open(options: RedisOptions, secrets: Arc<dyn SecretSource>) -> Result<Self, StoreError> {
        options.check()?;
        let link = Link::new(options, secrets);
        let probe = Call::Script { lua: &PROBE, keys: vec![link.names.probe()], arguments: Vec::new() };
        link.send(&[probe]).await?;
        let cautions = cautions(&link).await;
        for caution in &cautions {
            warn!(caution, "a setting of Redis can lose what the store remembers; events are then delivered again");
        }
        Ok(Self { link, cautions, last_token: AtomicU64::new(0) })
    }

    /// Settings of the servers that can lose what has been remembered, as they were when the store was opened. Empty where
    /// the user may not see them.
    #[must_use]
    pub fn cautions(&self) -> &[String] {
        &self.cautions
    }

    /// Calls are many commands; together they have the time of one.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let options = &self.link.options;
        let limit = options.connect_timeout.saturating_add(options.response_timeout);
        let late = |_| Err(StoreError::Unavailable(format!("Redis: no answer within {} ms", limit.as_millis())));
        tokio::time::timeout(limit, work).await.unwrap_or_else(late)
    }

    fn entity_key(&self, destination: &str, event: &syncline_sdk::Event) -> Option<String> {
        let entity = event.entity();
        Some(self.link.names.entity(destination, &entity.kind, entity.id.as_deref()?))
    }

    fn entity_ttl(&self) -> u64 {
        self.link.options.entity_ttl.map_or(0, millis)
    }

    /// Claims of keys and, where they aren't apart, what is known of their entities.
    fn claims(&self, requests: &[Asked<'_>], with_entities: bool) -> Call {
        let options = &self.link.options;
        let mut keys = Vec::with_capacity(2 * requests.len());
        let mut arguments = vec![number(millis(options.lease)), number(millis(options.claim_ttl()))];
        for asked in requests {
            let request = asked.request;
            keys.push(asked.key.clone());
            let entity = asked.entity.as_ref().filter(|_| with_entities);
            keys.extend(entity.cloned());
            arguments.push(holder(request.token, request.delivery).into_bytes());
            arguments.push(place(&request.partition).into_bytes());
            arguments.push(entity.map(|_| letter(asked.digest).into_bytes()).unwrap_or_default());
        }
        Call::Script { lua: &CLAIM, keys, arguments }
    }

    async fn claim_together(&self, requests: &[Asked<'_>]) -> Result<Vec<Claim>, StoreError> {
        let calls: Vec<_> = requests.chunks(SCRIPT_BATCH).map(|chunk| self.claims(chunk, true)).collect();
        let answers = self.link.send(&calls).await?;
        let answers: Vec<_> = answers.into_iter().filter_map(parts).flatten().collect();
        all(requests, answers, |asked, answer| claimed(asked, answer, None))
    }

    async fn complete_together(&self, completions: &[Ended<'_>]) -> Result<Vec<Completed>, StoreError> {
        let mut calls: Vec<_> = completions.chunks(SCRIPT_BATCH).map(|chunk| self.completions(chunk, true)).collect();
        let scripts = calls.len();
        calls.extend(self.confirmation());
        let mut answers = self.link.send(&calls).await?;
        self.confirmed(answers.split_off(scripts.min(answers.len())).last())?;
        let answers: Vec<_> = answers.into_iter().filter_map(parts).flatten().collect();
        all(completions, answers, completed)
    }

    fn completions(&self, completions: &[Ended<'_>], with_entities: bool) -> Call {
        let mut keys = Vec::with_capacity(2 * completions.len());
        let mut arguments = vec![number(millis(self.link.options.ttl)), number(self.entity_ttl())];
        for ended in completions {
            keys.push(ended.key.clone());
            keys.extend(ended.entity.as_ref().filter(|_| with_entities).cloned());
            arguments.push(holder(ended.completion.token, ended.completion.delivery).into_bytes());
            let [ending, place, rest @ ..] = ended.change();
            let place = if with_entities && ended.entity.is_some() { place } else { Vec::new() };
            arguments.extend([ending, place]);
            arguments.extend(rest);
        }
        Call::Script { lua: &COMPLETE, keys, arguments }
    }

    /// What is sent after changes on the same connection, where replicas have to confirm them. It waits for what that
    /// connection has written; and a repeated completion writes nothing, so that something else has to be written.
    fn confirmation(&self) -> Vec<Call> {
        if self.link.options.min_replicas == 0 {
            return Vec::new();
        }
        let key = self.link.names.confirm();
        vec![Call::plain("SET", &[key.as_bytes(), b""]), Call::Plain(self.wait())]
    }

    fn wait(&self) -> redis::Cmd {
        let options = &self.link.options;
        let limit = millis(options.response_timeout / 2).max(1);
        redis::cmd("WAIT").arg(options.min_replicas).arg(limit).to_owned()
    }

    /// What has been asked of every master of a cluster.
    async fn confirmed_everywhere(&self) -> Result<(), StoreError> {
        if self.link.options.min_replicas > 0 {
            for (_, answer) in self.link.send_everywhere(self.wait()).await? {
                self.confirmed(Some(&answer))?;
            }
        }
        Ok(())
    }

    fn confirmed(&self, answer: Option<&Value>) -> Result<(), StoreError> {
        let wanted = self.link.options.min_replicas;
        match answer {
            None => Ok(()),
            Some(Value::Int(count)) if *count >= i64::from(wanted) => Ok(()),
            Some(Value::Int(count)) => Err(StoreError::Unavailable(format!(
                "Redis: {count} of the {wanted} replicas that `min_replicas` asks for have confirmed a write"
            ))),
            Some(_) => Err(strange("a master")),
        }
    }
}

/// A request with the names of its keys.
struct Asked<'a> {
    request: &'a ClaimRequest,
    digest: KeyDigest,
    key: String,
    entity: Option<String>,
}

/// A completion with the names of its keys.
struct Ended<'a> {
    completion: &'a Completion,
    digest: KeyDigest,
    key: String,
    entity: Option<String>,
}

impl Ended<'_> {
    /// What the scripts are told of it: ending, field of its letter, fingerprint, id in the CRM, version.
    fn change(&self) -> [Vec<u8>; 5] {
        let event = &self.completion.event;
        let letter = letter(self.digest).into_bytes();
        let present = |text: &String| format!("+{text}").into_bytes();
        let without = |ending: &str| [ending.into(), letter.clone(), Vec::new(), Vec::new(), Vec::new()];
        match &self.completion.ending {
            Ending::Applied { remote_id, fingerprint } => {
                let deleted = event.operation() == syncline_sdk::Operation::Delete;
                let remote_id = remote_id.as_ref().filter(|_| !deleted).map(present).unwrap_or_default();
                let version = event.entity().version.as_ref().map(present).unwrap_or_default();
                [b"a".to_vec(), letter, fingerprint_text(*fingerprint).into_bytes(), remote_id, version]
            }
            Ending::Parked { in_doubt: false } => without("p"),
            Ending::Parked { in_doubt: true } => without("q"),
            Ending::Unparked => without("u"),
        }
    }
}

fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// One answer for each question.
fn all<Q, T>(
    questions: &[Q],
    answers: Vec<Value>,
    read: impl Fn(&Q, Value) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    if questions.len() != answers.len() {
        return Err(strange("the server"));
    }
    questions.iter().zip(answers).map(|(question, answer)| read(question, answer)).collect()
}

/// What the script says to a request. What is known of the entity is in `apart`, where that was asked for apart.
fn claimed(asked: &Asked<'_>, answer: Value, apart: Option<Value>) -> Result<Claim, StoreError> {
    let mut answer = parts(answer).unwrap_or_default().into_iter();
    let (kind, detail) = (answer.next().and_then(text), answer.next().and_then(text));
    let known = apart.or_else(|| answer.next());
    match (kind.as_deref(), detail) {
        (Some("g"), Some(doubt)) => {
            let entity = asked.entity.as_deref().unwrap_or_default();
            let memory = known.and_then(parts).map_or(Some(Memory::default()), memory);
            let memory = memory.ok_or_else(|| foreign(entity))?;
            Ok(Claim::Granted(Memory { in_doubt: doubt == "1", ..memory }))
        }
        (Some("d"), Some(fingerprint)) => {
            let fingerprint = fingerprint_from(&fingerprint).ok_or_else(|| foreign(&asked.key))?;
            Ok(Claim::Duplicate { fingerprint })
        }
        (Some("h"), _) => Ok(Claim::Held),
        (Some("f"), _) => Ok(Claim::Fenced),
        (Some("x"), _) => Err(foreign(&asked.key)),
        _ => Err(strange("the server")),
    }
}

/// The fields of an entity, and whether the asking event is one of its parked ones.
fn memory(fields: Vec<Value>) -> Option<Memory> {
    let mut fields = fields.into_iter();
    let mut field = || match fields.next()? {
        Value::Nil => Some(None),
        value => Some(Some(text(value)?)),
    };
    let (remote_id, version, fingerprint, parked, own) = (field()?, field()?, field()?, field()?, field()?);
    let fingerprint = match fingerprint {
        Some(fingerprint) => Some(fingerprint_from(&fingerprint)?),
        None => None,
    };
    let parked: u32 = parked.map_or(Some(0), |parked| parked.parse().ok())?;
    // An event that comes again isn't held back by its own letter.
    let parked = parked.saturating_sub(u32::from(own.is_some()));
    Some(Memory { remote_id, version, fingerprint, parked, in_doubt: false })
}

fn completed(ended: &Ended<'_>, answer: Value) -> Result<Completed, StoreError> {
    match text(answer).as_deref() {
        Some("s" | "n") => Ok(Completed::Stored),
        Some("f") => Ok(Completed::Fenced),
        Some("x") => Err(foreign(&ended.key)),
        _ => Err(strange("the server")),
    }
}

/// Settings that can lose data. The user may not be allowed to see them; that is no fault.
async fn cautions(link: &Link) -> Vec<String> {
    let mut found = Vec::new();
    for section in ["memory", "persistence"] {
        let info = redis::cmd("INFO").arg(section).to_owned();
        for (place, answer) in link.send_everywhere(info).await.unwrap_or_default() {
            let info = text(answer).unwrap_or_default();
            let setting = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            if let Some(policy) = setting("maxmemory_policy")
                && policy != "noeviction"
                && setting("maxmemory") != Some("0")
            {
                found.push(format!(
                    "{place}: `maxmemory-policy` is `{policy}`: keys are evicted when the memory is full; `noeviction` \
                     keeps them"
                ));
            }
            if setting("aof_enabled") == Some("0") {
                found.push(format!(
                    "{place}: `appendonly` is `no`: what is remembered since the last snapshot ends with the server"
                ));
            }
        }
    }
    found
}

#[async_trait]
impl StateStore for RedisStore {
    async fn token(&self) -> Result<Token, StoreError> {
        self.in_time(async {
            let key = self.link.names.token();
            let floor = number(self.last_token.load(Ordering::SeqCst));
            let call = Call::Script { lua: &TOKEN, keys: vec![key.clone()], arguments: vec![floor] };
            let answer = self.link.send(&[call]).await?.pop().and_then(text);
            let token = answer.and_then(|token| token.parse().ok()).ok_or_else(|| foreign(&key))?;
            self.last_token.fetch_max(token, Ordering::SeqCst);
            Ok(Token(token))
        })
        .await
    }

    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError> {
        let asked = |request: &'_ ClaimRequest| {
            let digest = KeyDigest::new(&request.destination, request.event.idempotency_key());
            (digest, self.link.names.key(digest), self.entity_key(&request.destination, &request.event))
        };
        let asked: Vec<_> = requests
            .iter()
            .map(|request| {
                let (digest, key, entity) = asked(request);
                Asked { request, digest, key, entity }
            })
            .collect();
        if self.link.is_cluster() {
            self.in_time(self.claim_apart(&asked)).await
        } else {
            self.in_time(self.claim_together(&asked)).await
        }
    }

    async fn complete(&self, completions: &[Completion]) -> Result<Vec<Completed>, StoreError> {
        let ended: Vec<_> = completions
            .iter()
            .map(|completion| {
                let digest = KeyDigest::new(&completion.destination, completion.event.idempotency_key());
                let entity = self.entity_key(&completion.destination, &completion.event);
                Ended { completion, digest, key: self.link.names.key(digest), entity }
            })
            .collect();
        if self.link.is_cluster() {
            self.in_time(self.complete_apart(&ended)).await
        } else {
            self.in_time(self.complete_together(&ended)).await
        }
    }

    async fn remote_ids(&self, names: &[EntityName]) -> Result<Vec<Option<String>>, StoreError> {
        let keys: Vec<_> =
            names.iter().map(|name| self.link.names.entity(&name.destination, &name.kind, &name.id)).collect();
        let [id, ..] = FIELDS;
        let calls: Vec<_> = keys.iter().map(|key| Call::plain("HGET", &[key.as_bytes(), id.as_bytes()])).collect();
        let answers = self.in_time(self.link.send(&calls)).await?;
        all(&keys, answers, |key, answer| match answer {
            Value::Nil => Ok(None),
            answer => text(answer).map(Some).ok_or_else(|| foreign(key)),
        })
    }

    async fn release(&self, releases: &[Release]) -> Result<(), StoreError> {
        // In a cluster each key has a server of its own.
        let batch = if self.link.is_cluster() { 1 } else { SCRIPT_BATCH };
        let calls: Vec<_> = releases
            .chunks(batch)
            .map(|releases| {
                let mut keys = Vec::with_capacity(releases.len());
                let mut arguments = vec![number(millis(self.link.options.ttl))];
                for release in releases {
                    let digest = KeyDigest::new(&release.destination, release.event.idempotency_key());
                    keys.push(self.link.names.key(digest));
                    arguments.push(holder(release.token, release.delivery).into_bytes());
                    arguments.push(number(u64::from(release.in_doubt)));
                }
                Call::Script { lua: &RELEASE, keys, arguments }
            })
            .collect();
        self.in_time(self.link.send(&calls)).await.map(drop)
    }

    async fn forget(&self, _: &[(TopicPartition, Token)]) -> Result<(), StoreError> {
        // Another member works with the same memory: nothing of it has become wrong.
        Ok(())
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        notes::check_name(name)?;
        self.in_time(self.read_note(name)).await
    }

    async fn set_note(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        notes::check(name, value)?;
        self.in_time(self.write_note(name, value)).await
    }

    fn shares_budgets(&self) -> bool {
        true
    }

    async fn draw(&self, draws: &[Draw]) -> Result<Vec<Drawn>, StoreError> {
        self.in_time(self.draw_all(draws)).await
    }

    fn lease(&self) -> Duration {
        self.link.options.lease
    }
}

//! A CRM that applies, refuses, throttles and lies about it, and the connector that speaks to it.

use std::collections::BTreeMap;

use syncline_sdk::{
    Auth, BaseUrl, Batch, Bytes, Capabilities, Cookies, CrmConnector, Endpoint, Event, Limits, Method, Outbound,
    Progress, Reason, Reference, Replay, Reply, Verdict, Verdicts, default_verdict,
};

/// Where a record is: partition and offset.
pub(super) type At = (i32, i64);

/// Looks up before it writes where it can; otherwise every write is a create that must not be
/// repeated in doubt.
///
/// Requests are `/look_up/<items>` and `/write/<items>`; an item is `c` or `u` (create, update)
/// followed by the event's id, which is its partition and offset. The reply to a look-up has `1` or
/// `0` for each item, that to a write a status for each item.
#[derive(Debug)]
pub(super) struct Connector {
    endpoint: Endpoint,
    parents: bool,
}

impl Connector {
    /// `parents` where records refer to others.
    pub(super) fn new(look_up: bool, batch_events: usize, parents: bool) -> Self {
        let endpoint = Endpoint {
            base_url: BaseUrl::parse("https://crm.example").unwrap(),
            auth: Auth::None {},
            limits: Limits { batch_events, body_bytes: 1000, concurrency: 4 },
            capabilities: Capabilities { look_up },
            cookies: Cookies::Discard,
        };
        Self { endpoint, parents }
    }
}

/// The first entity of a partition is the parent of its others.
pub(super) fn parent(entity: &str) -> Option<String> {
    let (partition, number) = entity.split_once('-')?;
    (number != "0").then(|| format!("{partition}-0"))
}

/// What says that a batch was refused as a whole.
pub(super) const REFUSED: &str = "refused";
/// A status that says that a record's parent isn't there.
pub(super) const NO_PARENT: u16 = 424;

fn write(batch: &Batch<'_>, exists: &str, replay: Replay) -> Outbound {
    let items: Vec<_> = batch
        .items()
        .iter()
        .zip(exists.chars().chain(std::iter::repeat('0')))
        .map(|(item, exists)| format!("{}{}", if exists == '1' { 'u' } else { 'c' }, item.event.id()))
        .collect();
    Outbound::new("write", Method::Post, format!("/write/{}", items.join(",")), replay)
}

impl CrmConnector for Connector {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn entity_types(&self) -> Vec<&str> {
        vec!["t"]
    }

    fn accepts(&self, _: &Event) -> Result<(), Reason> {
        Ok(())
    }

    fn references(&self, event: &Event) -> Vec<Reference> {
        let parent = event.entity().id.as_deref().filter(|_| self.parents).and_then(parent);
        parent.map(|id| Reference { kind: "t".into(), id }).into_iter().collect()
    }

    fn begin(&self, batch: &Batch<'_>) -> Outbound {
        if !self.endpoint.capabilities.look_up {
            return write(batch, "", Replay::Unsafe);
        }
        let ids: Vec<_> = batch.items().iter().map(|item| format!("l{}", item.event.id())).collect();
        Outbound::new("look_up", Method::Get, format!("/look_up/{}", ids.join(",")), Replay::Safe)
    }

    fn resume(&self, batch: &Batch<'_>, sent: &Outbound, reply: &Reply) -> Progress {
        let body = std::str::from_utf8(&reply.body).unwrap_or_default();
        if reply.status != 200 {
            return Progress::Done(Verdicts::all(batch, default_verdict(sent, reply, "")));
        }
        if sent.step == "look_up" {
            return Progress::Call(write(batch, body, Replay::Unsafe));
        }
        if body == REFUSED {
            return Progress::Split(Reason::new("refused", "the batch was refused"));
        }
        let mut verdicts = Verdicts::unknown(batch);
        for (index, status) in body.split(',').enumerate() {
            let status = status.parse().unwrap_or(500);
            let verdict = match status {
                200 => Verdict::Delivered { remote_id: Some("known".into()) },
                NO_PARENT => {
                    let reference = self.references(batch.items()[index].event).remove(0);
                    Verdict::Await { reason: Reason::new("no_parent", "it isn't there yet"), reference }
                }
                _ => default_verdict(sent, &Reply { status, headers: Vec::new(), body: Bytes::new() }, ""),
            };
            verdicts.set(index, verdict);
        }
        Progress::Done(verdicts)
    }
}

/// A request, read back from its target.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) look_up: bool,
    pub(super) items: Vec<(bool, At)>,
}

impl Request {
    pub(super) fn of(sent: &Outbound) -> Self {
        let (kind, items) = sent.target.trim_start_matches('/').split_once('/').unwrap();
        let items = items.split(',').map(|item| {
            let (partition, offset) = item[1..].split_once('-').unwrap();
            (item.starts_with('c'), (partition.parse().unwrap(), offset.parse().unwrap()))
        });
        Self { look_up: kind == "look_up", items: items.collect() }
    }
}

/// A write that took effect.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) lane: usize,
    pub(super) at: At,
    /// The member's incarnation that sent it, and its assignment of the partition then.
    pub(super) incarnation: u64,
    pub(super) assignment: u64,
}

/// The records of each lane, by entity, and everything that took effect.
#[derive(Debug, Default)]
pub(super) struct Crm {
    /// How many records an entity has, and the version that was written last.
    pub(super) records: BTreeMap<(usize, String), (usize, u64)>,
    pub(super) effects: Vec<Effect>,
}

impl Crm {
    pub(super) fn exists(&self, lane: usize, entity: &str) -> bool {
        self.records.contains_key(&(lane, entity.to_owned()))
    }

    pub(super) fn apply(&mut self, effect: Effect, entity: &str, version: u64, create: bool) {
        let record = self.records.entry((effect.lane, entity.to_owned())).or_insert((0, 0));
        if create || record.0 == 0 {
            record.0 += 1;
        }
        record.1 = version;
        self.effects.push(effect);
    }
}

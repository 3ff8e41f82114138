//! A connector whose replies' statuses say what it makes of them.

use std::time::Duration;

use serde_json::Value;
use syncline_sdk::{
    Auth, BaseUrl, Batch, Capabilities, Cookies, CrmConnector, Endpoint, Event, Limits, Method, Outbound, Preview,
    PreviewField, Progress, Reason, Reference, Replay, Reply, Settled, Verdict, Verdicts, default_verdict,
};

/// Writes to `/<event_id>`, or `/<event_id>,<event_id>` for a batch; events of the source `ask` only ask there. 200 is delivered, 208 unchanged,
/// 203 delivered with a warning, 424 that the parent of an event of the source `child of …` isn't there,
/// 210 delivered but for events of the source `poison`, 211 the first one delivered and another request about the
/// others, 413 that the batch was refused as a whole, 300 asks for another request, 301 for one a minute later, 333 panics; in a batch, 207 delivers
/// all but the last. Everything else goes by the default table.
#[derive(Debug)]
pub(super) struct Toy {
    endpoint: Endpoint,
    pub(super) concurrency: usize,
}

impl Default for Toy {
    fn default() -> Self {
        Self::new(false, 1, 8)
    }
}

impl Toy {
    pub(super) fn new(look_up: bool, batch_events: usize, concurrency: usize) -> Self {
        let endpoint = Endpoint {
            base_url: BaseUrl::parse("https://toy.example").unwrap(),
            auth: Auth::None {},
            limits: Limits { batch_events, body_bytes: 100_000, concurrency },
            capabilities: Capabilities { look_up },
            cookies: Cookies::Discard,
        };
        Self { endpoint, concurrency }
    }
}

impl CrmConnector for Toy {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn entity_types(&self) -> Vec<&str> {
        vec!["t"]
    }

    fn accepts(&self, event: &Event) -> Result<(), Reason> {
        match event.source() {
            Some("panic") => panic!("told to"),
            Some("refuse") => Err(Reason::new("refused", "told to")),
            _ => Ok(()),
        }
    }

    fn group(&self, event: &Event) -> u64 {
        u64::from(event.source() == Some("another group"))
    }

    fn ignores(&self, event: &Event) -> bool {
        event.source() == Some("ignore")
    }

    fn preview(&self, event: &Event) -> Option<Preview> {
        let field = |name: &str, value: Value| PreviewField { name: name.into(), from: String::new(), value };
        let fields = vec![field("id", event.id().into()), field("concurrency", self.concurrency.into())];
        Some(Preview { target: "t".into(), fields })
    }

    fn references(&self, event: &Event) -> Vec<Reference> {
        let parent = event.source().and_then(|source| source.strip_prefix("child of "));
        parent.map(|id| Reference { kind: "t".into(), id: id.into() }).into_iter().collect()
    }

    fn begin(&self, batch: &Batch<'_>) -> Outbound {
        assert!(batch.items().iter().all(|item| item.event.source() != Some("breaks")), "told to");
        let ids: Vec<_> = batch.items().iter().map(|item| item.event.id()).collect();
        let doubt = if batch.items().iter().any(|item| item.remembered.in_doubt) { "?doubt" } else { "" };
        let parent = batch.first().filter(|item| is_child(item.event));
        let parent = parent.map(|item| item.remembered.references.first().cloned().flatten());
        let parent = parent.map(|id| format!("?parent={}", id.as_deref().unwrap_or("unknown"))).unwrap_or_default();
        let only_asks = batch.items().iter().all(|item| item.event.source() == Some("ask"));
        let (step, replay) = if only_asks { ("ask", Replay::Safe) } else { ("write", Replay::Unsafe) };
        Outbound::new(step, Method::Post, format!("/{}{doubt}{parent}", ids.join(",")), replay)
    }

    fn resume(&self, batch: &Batch<'_>, sent: &Outbound, reply: &Reply) -> Progress {
        let all = |verdict| Progress::Done(Verdicts::all(batch, verdict));
        let delivered = || Verdict::Delivered { remote_id: None };
        let next = || Outbound::new("next", Method::Get, format!("{}/next", sent.target), Replay::Safe);
        match reply.status {
            200 => all(delivered()),
            208 => all(Verdict::Unchanged { remote_id: None }),
            207 => {
                let mut verdicts = Verdicts::all(batch, delivered());
                verdicts.set(batch.len() - 1, Verdict::Reject(Reason::new("last", "the last one is bad")));
                Progress::Done(verdicts)
            }
            300 => Progress::Call(next()),
            301 => Progress::CallAfter(next(), Duration::from_secs(60)),
            333 => panic!("told to"),
            210 => {
                let mut verdicts = Verdicts::all(batch, delivered());
                for (index, item) in
                    batch.items().iter().enumerate().filter(|(_, item)| item.event.source() == Some("poison"))
                {
                    let reason = Reason::new("poison", item.event.id()).with_status(500);
                    verdicts.set(index, Verdict::Unknown { reason, after: None });
                }
                Progress::Done(verdicts)
            }
            211 => {
                let settled = Settled { item: 0, verdict: delivered(), warning: None };
                let rest = Outbound::new("rest", Method::Post, format!("{}/rest", sent.target), Replay::Unsafe);
                Progress::Settle(vec![settled], rest)
            }
            413 => Progress::Split(Reason::new("too_many", "told to")),
            203 => {
                let mut verdicts = Verdicts::all(batch, delivered());
                verdicts.warn(0, Reason::new("cut_short", "told to"));
                Progress::Done(verdicts)
            }
            424 => {
                let parent = batch.first().and_then(|item| self.references(item.event).pop());
                let reason = Reason::new("no_parent", "it isn't there yet");
                parent.map_or_else(|| panic!("no child"), |reference| all(Verdict::Await { reason, reference }))
            }
            _ => all(default_verdict(sent, reply, "")),
        }
    }
}

fn is_child(event: &Event) -> bool {
    event.source().is_some_and(|source| source.starts_with("child of "))
}

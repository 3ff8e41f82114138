//! A second configuration of a destination beside the first: what it would make of the same events
//! is compared, and nothing of it is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use syncline_sdk::{CrmConnector, Event, Preview, Reason};

use super::effects::{DeliveryId, Fact};
use super::{Core, calls};

/// How two configurations compare on an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShadowOutcome {
    /// Both write the same.
    Same,
    /// These fields differ. `target` stands for where the record goes.
    Differs(Vec<String>),
    /// The shadow refuses an event that is accepted.
    Refuses(Reason),
    /// The shadow accepts an event that is refused.
    Accepts,
}

impl ShadowOutcome {
    /// The name in metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs(_) => "differs",
            Self::Refuses(_) => "refuses",
            Self::Accepts => "accepts",
        }
    }
}

/// What both make of an event; nothing where both refuse it, or one of them doesn't tell.
#[must_use]
pub fn compare(ours: &dyn CrmConnector, shadow: &dyn CrmConnector, event: &Event) -> Option<ShadowOutcome> {
    match (ours.accepts(event), shadow.accepts(event)) {
        (Ok(()), Ok(())) => {
            let fields = differences(&ours.preview(event)?, &shadow.preview(event)?);
            Some(if fields.is_empty() { ShadowOutcome::Same } else { ShadowOutcome::Differs(fields) })
        }
        (Ok(()), Err(reason)) => Some(ShadowOutcome::Refuses(reason)),
        (Err(_), Ok(())) => Some(ShadowOutcome::Accepts),
        (Err(_), Err(_)) => None,
    }
}

fn differences(ours: &Preview, theirs: &Preview) -> Vec<String> {
    let fields = |preview: &Preview| -> BTreeMap<String, Value> {
        preview.fields.iter().map(|field| (field.name.clone(), field.value.clone())).collect()
    };
    let (ours_by_name, theirs_by_name) = (fields(ours), fields(theirs));
    let target = (ours.target != theirs.target).then(|| "target".to_owned());
    let changed = ours_by_name.iter().filter(|(name, value)| theirs_by_name.get(*name) != Some(*value));
    let added = theirs_by_name.iter().filter(|(name, _)| !ours_by_name.contains_key(*name));
    target.into_iter().chain(changed.chain(added).map(|(name, _)| name.clone())).collect()
}

impl Core {
    /// The delivery begins: its lane's shadow is asked what it would have made of the event.
    pub(super) fn shadow(&mut self, id: DeliveryId) {
        let Some(delivery) = self.deliveries.get(&id) else { return };
        let lane = delivery.lane;
        let Some(config) = self.config.lanes.get(lane) else { return };
        let Some(shadow) = &config.shadow else { return };
        let event = Arc::clone(&delivery.event);
        match calls::guarded(|| compare(config.connector.as_ref(), shadow.as_ref(), &event)) {
            Ok(None) => {}
            Ok(Some(outcome)) => self.fact(Fact::Shadowed { lane, event, outcome }),
            Err(message) => self.fact(Fact::ConnectorPanicked { lane, message }),
        }
    }
}

#[cfg(test)]
mod tests {
    use syncline_sdk::PreviewField;

    use super::*;

    fn preview(target: &str, fields: &[(&str, &str)]) -> Preview {
        let field = |(name, value): &(&str, &str)| PreviewField {
            name: (*name).to_owned(),
            from: "/anything".to_owned(),
            value: (*value).into(),
        };
        Preview { target: target.to_owned(), fields: fields.iter().map(field).collect() }
    }

    #[test]
    fn what_differs_is_named_without_its_value() {
        let ours = preview("a", &[("name", "x"), ("tier", "1"), ("old", "y")]);
        assert_eq!(differences(&ours, &ours), Vec::<String>::new());
        let theirs = preview("b", &[("tier", "2"), ("name", "x"), ("new", "z")]);
        assert_eq!(differences(&ours, &theirs), ["target", "old", "tier", "new"]);
    }
}

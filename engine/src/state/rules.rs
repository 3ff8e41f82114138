//! Who gets a claim: the rules that all stores follow, for those that can run them here.

use super::{Claim, Ending, Memory, Token};
use crate::core::DeliveryId;

/// Who holds a claim: a delivery under an assignment. No two members ever are the same holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) token: Token,
    pub(crate) delivery: DeliveryId,
}

/// What a store holds for an idempotency key. `P` names a partition; times are milliseconds of the
/// store's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState<P> {
    /// Someone delivers it.
    Claimed { holder: Holder, partition: P, until: u64, in_doubt: bool },
    /// Nobody does, and whether it has taken effect isn't known.
    InDoubt,
    /// It has taken effect.
    Done { fingerprint: u64 },
}

/// Who asks for a claim, from which partition, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<P> {
    pub(crate) holder: Holder,
    pub(crate) partition: P,
    pub(crate) now: u64,
    pub(crate) until: u64,
}

impl<P: PartialEq> KeyState<P> {
    /// The answer to a claim without what is known of the entity, and what the key's state is then.
    /// `None` leaves it as it is.
    pub(crate) fn claim(known: Option<&Self>, asking: Asking<P>) -> (Claim, Option<Self>) {
        let in_doubt = match known {
            None => false,
            Some(Self::InDoubt) => true,
            Some(Self::Done { fingerprint }) => return (Claim::Duplicate { fingerprint: *fingerprint }, None),
            Some(Self::Claimed { holder, in_doubt, .. }) if *holder == asking.holder => *in_doubt,
            // Kafka has given the partition to someone else since: whoever has the claim, and the
            // effect, doesn't come back with it.
            Some(Self::Claimed { holder, partition, .. })
                if *partition == asking.partition && holder.token > asking.holder.token =>
            {
                return (Claim::Fenced, None);
            }
            Some(Self::Claimed { holder, partition, .. })
                if *partition == asking.partition && holder.token < asking.holder.token =>
            {
                true
            }
            Some(Self::Claimed { until, .. }) if *until <= asking.now => true,
            Some(Self::Claimed { .. }) => return (Claim::Held, None),
        };
        let claimed =
            Self::Claimed { holder: asking.holder, partition: asking.partition, until: asking.until, in_doubt };
        (Claim::Granted(Memory { in_doubt, ..Memory::default() }), Some(claimed))
    }

    /// Whether a completion by that holder is fenced. What has taken effect counts only under a claim:
    /// without one, someone else may have decided about the event meanwhile.
    pub(crate) fn fences(known: Option<&Self>, by: Holder, ending: &Ending) -> bool {
        match (known, ending) {
            (Some(Self::Done { .. }), _) => false,
            (_, Ending::Applied { .. }) => !Self::is_held_by(known, by),
            (Some(Self::Claimed { holder, .. }), _) => *holder != by,
            (None | Some(Self::InDoubt), _) => false,
        }
    }

    /// Whether that holder has the claim.
    pub(crate) fn is_held_by(known: Option<&Self>, by: Holder) -> bool {
        matches!(known, Some(Self::Claimed { holder, .. }) if *holder == by)
    }
}

//! Bugs that the simulation plants, to prove that its oracle would see them.

use super::Core;

/// A bug for each predicate of the contract. Outside of tests none is ever planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A failed attempt counts as delivered.
    SuccessByDefault,
    /// The highest finished offset is committed.
    CommitHighest,
    /// One offset too many is committed.
    CommitOnePast,
    /// A refused dead letter counts as stored.
    LetterUnacknowledged,
    /// A dead letter has lost its value.
    AlterLetter,
    /// An event without attempts left just ends.
    DropExhausted,
    /// Entities have no order.
    NoEntityLane,
    /// A retry goes behind the later events of its entity.
    RetryToTheTail,
    /// What has taken effect isn't remembered.
    ForgetClaim,
    /// Older versions are applied.
    IgnoreVersion,
    /// A create in doubt is sent again without a look-up.
    BlindResend,
    /// Throttling uses up attempts.
    ThrottleUsesAttempts,
    /// A throttled lane doesn't wait.
    ImpatientLane,
    /// Budgets hold nothing back.
    IgnoreBudgets,
    /// Limits pause nothing.
    NeverPause,
    /// A conversation goes on after its partition was lost.
    WriteAfterLoss,
    /// A member that was suspended sends before it knows what is still its own.
    NoFence,
    /// An event overtakes an earlier one of its entity that was dead-lettered.
    IgnoreParking,
    /// Results of an earlier assignment count for the present one.
    StaleResult,
    /// A drained partition isn't let go.
    NeverRelease,
}

impl Core {
    /// Plants a bug.
    #[cfg(test)]
    pub(crate) fn plant(&mut self, bug: Option<Bug>) {
        self.bug = bug;
    }

    #[cfg(test)]
    pub(super) fn planted(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(test))]
    #[inline(always)]
    #[allow(clippy::unused_self, reason = "the same signature as in tests")]
    pub(super) const fn planted(&self, _: Bug) -> bool {
        false
    }
}

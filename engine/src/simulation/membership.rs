//! Who is a member and owns what: starts, crashes, suspensions, and cooperative rebalancing.

use std::time::Duration;

use super::log::Incarnation;
use super::member::{Held, Member};
use super::oracle::Checked;
use super::world::{Happening, MILLI, World, named};
use crate::core::Input;

const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

impl World {
    pub(super) fn start(&mut self) {
        self.incarnations += 1;
        let store = self.shared_store.clone().unwrap_or_default();
        let mut member = Member::new(self.incarnations, &self.lanes, self.oracle.later_events, store, self.now);
        member.core.plant(self.bug);
        self.group.members.insert(member.id);
        self.schedule(MILLI, Happening::Fetch(member.id));
        self.schedule(Duration::from_secs(1), Happening::Commit(member.id));
        self.members.insert(member.id, member);
    }

    pub(super) fn crash(&mut self) {
        if let Some(id) = self.any_member() {
            self.members.remove(&id);
            self.summary.crashes += 1;
            self.schedule(SESSION_TIMEOUT, Happening::SessionTimeout(id));
            self.soon(8000, Happening::Start);
        }
    }

    pub(super) fn any_member(&mut self) -> Option<Incarnation> {
        let awake: Vec<_> = self.members.values().filter(|member| !member.suspended).map(|member| member.id).collect();
        (!awake.is_empty()).then(|| awake[self.random.usize(..awake.len())])
    }

    pub(super) fn suspend(&mut self) {
        if let Some(id) = self.any_member() {
            self.members.get_mut(&id).unwrap().suspended = true;
            self.summary.suspensions += 1;
            let millis = self.random.u64(1000..15_000);
            self.schedule(MILLI * u32::try_from(millis).unwrap(), Happening::Resume(id));
            if millis > 6000 {
                self.schedule(SESSION_TIMEOUT, Happening::SessionTimeout(id));
            }
        }
    }

    /// The member goes on where it stood; what its client learns first is that it has been thrown
    /// out, if it has.
    pub(super) fn resume(&mut self, id: Incarnation) -> Checked {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        member.suspended = false;
        member.fences += 1;
        let fence = member.fences;
        // The loop notices the gap before it does anything else.
        self.tell(id, Input::Fence)?;
        self.soon(1500, Happening::Rejoin(id, fence));
        Ok(())
    }

    /// The client's heartbeat has been answered.
    pub(super) fn rejoin(&mut self, id: Incarnation, fence: u64) -> Checked {
        // Suspended once more, it waits for the end of that.
        if !self.members.get(&id).is_some_and(|member| member.fences == fence && !member.suspended) {
            return Ok(());
        }
        if !self.group.members.contains(&id) {
            self.lose(id)?;
            self.group.members.insert(id);
        }
        self.tell(id, Input::Unfence)
    }

    pub(super) fn session_timeout(&mut self, id: Incarnation) {
        self.group.members.remove(&id);
    }

    pub(super) fn lose_one(&mut self) -> Checked {
        let Some(id) = self.any_member() else { return Ok(()) };
        self.oracle.overlap = true;
        self.lose(id)
    }

    /// Everything that the member holds is someone else's already.
    pub(super) fn lose(&mut self, id: Incarnation) -> Checked {
        self.group.owners.retain(|_, owner| *owner != id);
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        let lost: Vec<_> = std::mem::take(&mut member.held).into_keys().collect();
        member.stored.clear();
        member.paused.clear();
        self.summary.lost += lost.len() as u64;
        for partition in &lost {
            self.group.revoking.remove(partition);
        }
        self.tell(id, Input::Lost(lost.into_iter().map(named).collect()))
    }

    /// Cooperative rebalancing: who has to give something away is asked; what is free is given.
    pub(super) fn coordinate(&mut self) -> Checked {
        let partitions: Vec<_> = self.log.partitions.keys().copied().collect();
        for partition in partitions {
            let target = self.group.target(partition, self.shuffle);
            let owner = self.group.owners.get(&partition).copied();
            match owner {
                Some(owner) if Some(owner) == target || self.group.revoking.contains(&partition) => {
                    if !self.group.members.contains(&owner) {
                        self.free(partition);
                    }
                }
                Some(owner) if self.group.members.contains(&owner) && self.members.contains_key(&owner) => {
                    self.group.revoking.insert(partition);
                    if let Some(held) = self.members.get_mut(&owner).and_then(|member| member.held.get_mut(&partition))
                    {
                        held.revoking = true;
                    }
                    self.schedule(MILLI, Happening::Tell(owner, Input::Revoking(vec![named(partition)])));
                }
                Some(owner) if !self.group.members.contains(&owner) => self.free(partition),
                Some(_) => {}
                None => {
                    if let Some(target) =
                        target.filter(|id| self.members.get(id).is_some_and(|member| !member.suspended))
                    {
                        self.assign(target, partition)?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn free(&mut self, partition: i32) {
        self.group.owners.remove(&partition);
        self.group.revoking.remove(&partition);
    }

    pub(super) fn assign(&mut self, id: Incarnation, partition: i32) -> Checked {
        self.assignments += 1;
        self.group.owners.insert(partition, id);
        let next = self.group.committed.get(&partition).copied().unwrap_or_default();
        let held = Held { assignment: self.assignments, next, revoking: false };
        self.members.get_mut(&id).unwrap().held.insert(partition, held);
        self.tell(id, Input::Assigned(vec![named(partition)]))
    }

    pub(super) fn release(&mut self, id: Incarnation, partition: i32) -> Checked {
        self.commit_now(id)?;
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        member.held.remove(&partition);
        member.paused.remove(&partition);
        if self.group.owners.get(&partition) == Some(&id) {
            self.free(partition);
        }
        Ok(())
    }
}

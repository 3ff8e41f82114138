//! What is written: every record follows from its number, so that a reader can tell what it ought to be.

/// An idempotency key, as its digest.
pub(crate) type Key = [u8; 16];

/// What is written about one event. The key's record says whether it is claimed or done.
pub(crate) struct Record {
    /// Which stretch of time the key belongs to; all of its keys expire together.
    pub(crate) bucket: u64,
    pub(crate) key: Key,
    pub(crate) state: [u8; 40],
    /// The entity's key and record; a claim doesn't write it.
    pub(crate) entity: Option<(String, [u8; 100])>,
}

/// What a store has about one event.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) entity: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Claimed,
    Done,
}

/// How many buckets a key's time is cut into. One more is alive: the one that is being filled.
pub(crate) const BUCKETS: u64 = 4;

/// The numbers of events, and what each is about.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    /// So many events pass within a key's time to live.
    pub(crate) keys_in_ttl: u64,
    /// Events are about so many entities, at random.
    pub(crate) entities: u64,
}

impl Workload {
    pub(crate) fn bucket(&self, number: u64) -> u64 {
        number / (self.keys_in_ttl / BUCKETS).max(1)
    }

    pub(crate) fn entity(&self, number: u64) -> String {
        let entity = mix(number, 3) % self.entities.max(1);
        format!("servicenow-prod/customer/{:016x}-{:08x}", mix(entity, 4), entity)
    }

    pub(crate) fn record(&self, number: u64, state: State) -> Record {
        Record {
            bucket: self.bucket(number),
            key: key(number),
            state: key_state(number, state),
            entity: (state == State::Done).then(|| (self.entity(number), entity_state(number))),
        }
    }

    /// What is wrong with what was found about an event that is durably done. Its entity may have been written again by
    /// an event that `is_later`.
    pub(crate) fn check(&self, number: u64, found: &Found, is_later: impl Fn(u64) -> bool) -> Option<Fault> {
        match found.state.as_deref() {
            None => return Some(Fault::Lost),
            Some(state) if state == key_state(number, State::Claimed) => return Some(Fault::Lost),
            Some(state) if state != key_state(number, State::Done) => return Some(Fault::Garbage),
            Some(_) => {}
        }
        let Some(entity) = found.entity.as_deref() else { return Some(Fault::Lost) };
        let writer = entity.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        match writer {
            Some(writer) if self.entity(writer) != self.entity(number) || entity != entity_state(writer) => {
                Some(Fault::Garbage)
            }
            Some(writer) => (writer != number && !is_later(writer)).then_some(Fault::Lost),
            None => Some(Fault::Garbage),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Lost,
    Garbage,
}

pub(crate) fn key(number: u64) -> Key {
    (u128::from(mix(number, 1)) << 64 | u128::from(mix(number, 2))).to_be_bytes()
}

fn key_state(number: u64, state: State) -> [u8; 40] {
    filled(number, if state == State::Done { b'd' } else { b'c' })
}

fn entity_state(number: u64) -> [u8; 100] {
    filled(number, b'e')
}

/// The number, a kind, and bytes that no compression shortens.
fn filled<const LENGTH: usize>(number: u64, kind: u8) -> [u8; LENGTH] {
    let mut stream = (0..).flat_map(|part| mix(number ^ u64::from(kind) << 56, 5 + part).to_be_bytes());
    let head = number.to_be_bytes().into_iter().chain([kind]);
    let mut bytes = [0; LENGTH];
    for (byte, source) in bytes.iter_mut().zip(head.chain(stream.by_ref())) {
        *byte = source;
    }
    bytes
}

/// The finalizer of SplitMix64 (Steele and others, 2014): a bijection that looks random.
pub(crate) fn mix(number: u64, salt: u64) -> u64 {
    let mut mixed = number.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_told_apart() {
        let workload = Workload { keys_in_ttl: 1000, entities: 1 };
        let found = |state: [u8; 40], writer| Found {
            state: Some(state.to_vec()),
            entity: Some(entity_state(writer).to_vec()),
        };
        let check = |found| workload.check(50, &found, |writer| writer > 50);
        let done = key_state(50, State::Done);
        assert_eq!(check(found(done, 50)), None);
        assert_eq!(check(found(done, 60)), None, "a later event's entity");
        assert_eq!(check(found(done, 49)), Some(Fault::Lost));
        assert_eq!(check(found(key_state(50, State::Claimed), 50)), Some(Fault::Lost));
        assert_eq!(check(found(key_state(51, State::Done), 50)), Some(Fault::Garbage));
        assert_eq!(check(Found::default()), Some(Fault::Lost));
        let mut flipped = found(done, 50);
        flipped.entity.as_mut().unwrap()[70] ^= 1;
        assert_eq!(check(flipped), Some(Fault::Garbage));
    }
}

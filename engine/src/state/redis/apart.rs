//! In a cluster, where a key and its entity can lie on different servers, so that no script has both.
//!
//! A completion takes four steps, each for all of the batch at once:
//!
//! 1. the entity's mark is read, which every change of the entity replaces;
//! 2. the key is read: whoever doesn't hold it any more stops here, and has changed nothing;
//! 3. the entity is changed, if its mark is still the one of step 1, else all begins anew;
//! 4. the key is done, if it is still held.
//!
//! Someone can take the claim over between 2 and 4, and then the answer is that it is fenced, though the entity may have
//! been changed. That change tells of what has taken effect, under a claim that was held, before anything that the new
//! holder does: the new holder's own change, if there has been one, has replaced the mark. A command that was sent long
//! ago and arrives late, after its sender has given up and begun anew, finds another mark too.
//!
//! A crash after 3 leaves a key that is claimed: its event comes again, in doubt.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use redis::Value;

use super::super::rules::{Holder, KeyState};
use super::layout::{FIELDS, MARK, foreign, key_state, letter, text};
use super::link::strange;
use super::scripts::{CHANGE, Call};
use super::{Asked, Claim, Completed, Ended, RedisStore, StoreError, claimed, completed, number};

/// How often an entity may be changed by others meanwhile. Only members that are being replaced do so.
const ATTEMPTS: u32 = 10;

impl RedisStore {
    /// Keys and entities are asked for together. What is known of an entity may be older than its key's state: a claim
    /// that has been given up meanwhile is in doubt then, so that nothing is taken for certain.
    pub(super) async fn claim_apart(&self, requests: &[Asked<'_>]) -> Result<Vec<Claim>, StoreError> {
        let mut calls = Vec::with_capacity(2 * requests.len());
        for asked in requests {
            calls.push(self.claims(std::slice::from_ref(asked), false));
            if let Some(entity) = &asked.entity {
                let letter = letter(asked.digest);
                let fields = FIELDS.into_iter().chain([letter.as_str()]).map(str::as_bytes);
                calls.push(Call::plain("HMGET", &std::iter::once(entity.as_bytes()).chain(fields).collect::<Vec<_>>()));
            }
        }
        let mut answers = self.link.send(&calls).await?.into_iter();
        let mut claims = Vec::with_capacity(requests.len());
        for asked in requests {
            let claim = answers.next().and_then(super::parts).and_then(|mut claims| claims.pop());
            let known = asked.entity.as_ref().and_then(|_| answers.next());
            claims.push(claimed(asked, claim.unwrap_or_default(), known)?);
        }
        Ok(claims)
    }

    pub(super) async fn complete_apart(&self, completions: &[Ended<'_>]) -> Result<Vec<Completed>, StoreError> {
        // What changes one entity is changed at once, in order.
        let mut groups = BTreeMap::<_, Vec<(usize, &Ended<'_>)>>::new();
        for (index, ended) in completions.iter().enumerate() {
            groups.entry((&ended.entity, ended.entity.is_none().then_some(index))).or_default().push((index, ended));
        }
        let work = groups.into_iter().map(|((entity, _), group)| async move {
            match entity {
                Some(entity) => self.complete_entity(entity, &group).await,
                None => self.settle(&group).await,
            }
        });
        let answers = try_join_all(work).await?;
        self.confirmed_everywhere().await?;
        let mut answers: Vec<_> = answers.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Completions of one entity.
    async fn complete_entity(
        &self,
        entity: &str,
        group: &[(usize, &Ended<'_>)],
    ) -> Result<Vec<(usize, Completed)>, StoreError> {
        for _ in 0..ATTEMPTS {
            let mark = self.link.send(&[Call::plain("HGET", &[entity.as_bytes(), MARK.as_bytes()])]).await?.pop();
            let mark = match mark {
                Some(Value::Nil) => String::new(),
                mark => mark.and_then(text).ok_or_else(|| foreign(entity))?,
            };
            let reads: Vec<_> = group.iter().map(|(_, ended)| Call::plain("GET", &[ended.key.as_bytes()])).collect();
            let (mut answers, mut open) = (Vec::new(), Vec::new());
            for ((index, ended), known) in group.iter().zip(self.link.send(&reads).await?) {
                match standing(ended, known)? {
                    Some(answer) => answers.push((*index, answer)),
                    None => open.push((*index, *ended)),
                }
            }
            if open.is_empty() {
                return Ok(answers);
            }
            let new_mark = format!("{:016x}", fastrand::u64(..)).into_bytes();
            let mut arguments = vec![number(self.entity_ttl()), mark.into_bytes(), new_mark];
            arguments.extend(open.iter().flat_map(|(_, ended)| ended.change()));
            let change = Call::Script { lua: &CHANGE, keys: vec![entity.to_owned()], arguments };
            match self.link.send(&[change]).await?.pop() {
                Some(Value::Int(1)) => {
                    answers.extend(self.settle(&open).await?);
                    return Ok(answers);
                }
                Some(Value::Int(0)) => {}
                _ => return Err(strange("the cluster")),
            }
        }
        Err(StoreError::Unavailable("Redis: others keep changing the same entity".to_owned()))
    }

    /// The last step: the script has the rules again, and the last word.
    async fn settle(&self, group: &[(usize, &Ended<'_>)]) -> Result<Vec<(usize, Completed)>, StoreError> {
        let calls: Vec<_> =
            group.iter().map(|(_, ended)| self.completions(std::slice::from_ref(*ended), false)).collect();
        let answers = self.link.send(&calls).await?;
        let settled = group.iter().zip(answers).map(|((index, ended), answer)| {
            let answer = super::parts(answer).and_then(|mut answers| answers.pop());
            Ok((*index, completed(ended, answer.unwrap_or_default())?))
        });
        settled.collect()
    }
}

/// The answer to a completion that changes nothing. `None` where it does.
fn standing(ended: &Ended<'_>, known: Value) -> Result<Option<Completed>, StoreError> {
    let completion = ended.completion;
    let known = match known {
        Value::Nil => None,
        known => Some(text(known).and_then(|known| key_state(&known)).ok_or_else(|| foreign(&ended.key))?),
    };
    let holder = Holder { token: completion.token, delivery: completion.delivery };
    Ok(match (&known, &completion.ending) {
        (known, ending) if KeyState::fences(known.as_ref(), holder, ending) => Some(Completed::Fenced),
        (Some(KeyState::Done { .. }), super::Ending::Applied { .. } | super::Ending::Parked { .. }) => {
            Some(Completed::Stored)
        }
        _ => None,
    })
}

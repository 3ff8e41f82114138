//! The thread that owns the database.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::super::{
    Claim, ClaimRequest, Completed, Completion, EntityName, Entry, KeyDigest, Release, StoreError, Token,
};
use super::data::Data;
use super::export::Export;
use super::round::Round;
use super::{Answer, EmbeddedOptions, folder};
use crate::record::TopicPartition;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Question {
    Token(Answer<Token>),
    Claim(Vec<ClaimRequest>, Answer<Vec<Claim>>),
    Complete(Vec<Completion>, Answer<Vec<Completed>>),
    RemoteIds(Vec<EntityName>, Answer<Vec<Option<String>>>),
    Release(Vec<Release>, Answer<()>),
    Forget(Vec<(TopicPartition, Token)>, Answer<()>),
    Import(Vec<Entry>, Answer<()>),
    Export(Answer<Export>),
    Note(String, Answer<Option<Vec<u8>>>),
    SetNote(String, Vec<u8>, Answer<()>),
}

/// Answers a question, once it is known whether its round was written.
type Reply = Box<dyn FnOnce(Option<&StoreError>)>;

/// Questions that share a round at the most. Each may have a thousand parts.
const MOST_QUESTIONS: usize = 256;
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Entities that are looked at in each housekeeping.
const SWEEP: usize = 1000;

/// The thread's state.
pub(super) struct Worker {
    options: EmbeddedOptions,
    folder: PathBuf,
    /// `None` after a failure, until it is open again.
    data: Option<Data>,
    housekept: Option<Instant>,
    swept: KeyDigest,
}

impl Worker {
    pub(super) fn open(options: EmbeddedOptions) -> Result<Self, StoreError> {
        let folder = folder::prepare(&options.path)?;
        let mut data = Data::open(&folder, options.ttl)?;
        data.roll(now())?;
        Ok(Self { options, folder, data: Some(data), housekept: None, swept: KeyDigest([0; 16]) })
    }

    pub(super) fn run(mut self, asked: &Receiver<Question>) {
        loop {
            let first = match asked.recv_timeout(HOUSEKEEPING) {
                Ok(question) => Some(question),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let questions: Vec<_> = first.into_iter().chain(asked.try_iter()).take(MOST_QUESTIONS).collect();
            if let Err(error) = self.round(questions) {
                tracing::warn!(%error, "the state store's data are opened anew");
                // After a failed write nothing is certain but what is read back.
                self.data = None;
            }
        }
    }

    fn round(&mut self, questions: Vec<Question>) -> Result<(), StoreError> {
        let now = now();
        let data = match &mut self.data {
            Some(data) => data,
            none => match Data::open(&self.folder, self.options.ttl) {
                Ok(data) => none.insert(data),
                Err(StoreError::Refused(why) | StoreError::Unavailable(why)) => {
                    let error = StoreError::Unavailable(why);
                    questions.into_iter().for_each(|question| question.refuse(&error));
                    return Ok(());
                }
            },
        };
        if self.housekept.is_none_or(|last| last.elapsed() >= HOUSEKEEPING) {
            self.housekept = Some(Instant::now());
            let oldest = now.saturating_sub(millis(self.options.entity_ttl));
            let kept = data.roll(now).and_then(|()| data.sweep(self.swept, SWEEP, oldest));
            match kept {
                Ok(next) => self.swept = next.unwrap_or(KeyDigest([0; 16])),
                Err(error) => {
                    questions.into_iter().for_each(|question| question.refuse(&error));
                    return Err(error);
                }
            }
        }
        let mut round = Round::new(data, now, millis(self.options.lease));
        let mut answers: Vec<Reply> = Vec::with_capacity(questions.len());
        let mut failed = None;
        for question in questions {
            if let Some(error) = &failed {
                question.refuse(error);
                continue;
            }
            match question.work(&mut round) {
                Ok(answer) => answers.push(answer),
                Err(error) => failed = Some(error),
            }
        }
        let result = failed.map_or_else(|| round.write(), Err);
        answers.into_iter().for_each(|answer| answer(result.as_ref().err()));
        result
    }
}

impl Question {
    /// Works on a round; the answer is given once its changes are written.
    fn work(self, round: &mut Round<'_>) -> Result<Reply, StoreError> {
        match self {
            Self::Token(answer) => give(answer, Ok(round.token())),
            Self::Claim(requests, answer) => give(answer, requests.iter().map(|one| round.claim(one)).collect()),
            Self::Complete(completions, answer) => {
                give(answer, completions.iter().map(|one| round.complete(one)).collect())
            }
            Self::RemoteIds(names, answer) => give(answer, names.iter().map(|one| round.remote_id(one)).collect()),
            Self::Release(releases, answer) => give(answer, releases.iter().try_for_each(|one| round.release(one))),
            Self::Forget(partitions, answer) => {
                partitions.iter().for_each(|(partition, token)| round.forget(partition, *token));
                give(answer, Ok(()))
            }
            Self::Import(entries, answer) => give(answer, entries.iter().try_for_each(|one| round.import(one))),
            Self::Export(answer) => {
                // What has been asked before is part of it.
                round.write_now()?;
                give(answer, Ok(Export::of(round.data())))
            }
            Self::Note(name, answer) => give(answer, round.note(&name)),
            Self::SetNote(name, value, answer) => {
                round.set_note(name, value);
                give(answer, Ok(()))
            }
        }
    }

    fn refuse(self, error: &StoreError) {
        // Whoever has stopped waiting needs no answer.
        let error = error.clone();
        match self {
            Self::Token(answer) => drop(answer.send(Err(error))),
            Self::Claim(_, answer) => drop(answer.send(Err(error))),
            Self::Complete(_, answer) => drop(answer.send(Err(error))),
            Self::RemoteIds(_, answer) => drop(answer.send(Err(error))),
            Self::Release(_, answer)
            | Self::Forget(_, answer)
            | Self::Import(_, answer)
            | Self::SetNote(_, _, answer) => drop(answer.send(Err(error))),
            Self::Export(answer) => drop(answer.send(Err(error))),
            Self::Note(_, answer) => drop(answer.send(Err(error))),
        }
    }
}

fn give<T: 'static>(answer: Answer<T>, result: Result<T, StoreError>) -> Result<Reply, StoreError> {
    match result {
        Ok(value) => {
            Ok(Box::new(move |failed| drop(answer.send(failed.map_or(Ok(value), |error| Err(error.clone()))))))
        }
        Err(error) => {
            drop(answer.send(Err(error.clone())));
            Err(error)
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    millis(since)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

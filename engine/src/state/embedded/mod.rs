//! Memory in a folder, for one instance: durable, and nothing to set up.
//!
//! One thread owns the database ([fjall], a log-structured merge tree). It takes everything that has been
//! asked since its last round, reads what that needs, writes all changes as one batch, makes them
//! durable with one call if something has ended, and then answers. So many completions share one
//! synchronization of the disk, and nothing needs a lock.

mod codec;
mod data;
mod export;
mod folder;
mod round;
mod thread;

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{
    Claim, ClaimRequest, Completed, Completion, DEFAULT_ENTITY_TTL, DEFAULT_LEASE, DEFAULT_TTL, EntityName, Entry,
    PortableStore, Release, StateStore, StoreError, Token, notes,
};
use crate::record::TopicPartition;
use thread::{Question, Worker};

/// How an [`EmbeddedStore`] remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// The folder. It is made where it doesn't exist; it must be empty or ours.
    pub path: PathBuf,
    /// How long a key is remembered, at the least; at the most an eighth longer.
    pub ttl: Duration,
    /// How long an entity is remembered after its last change, at the least.
    pub entity_ttl: Duration,
    /// How long a claim holds against deliveries of other partitions.
    pub lease: Duration,
}

impl EmbeddedOptions {
    /// The defaults, in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ttl: DEFAULT_TTL, entity_ttl: DEFAULT_ENTITY_TTL, lease: DEFAULT_LEASE }
    }
}

/// A [`StateStore`] in a folder, of one member alone.
///
/// What has ended is synchronized with the disk before [`complete`](StateStore::complete) returns. A claim
/// survives the end of the process, not that of the machine.
#[derive(Debug)]
pub struct EmbeddedStore {
    /// `None` once it is being dropped.
    questions: Option<Sender<Question>>,
    thread: Option<JoinHandle<()>>,
    lease: Duration,
}

impl EmbeddedStore {
    /// Opens the folder's store, or makes one. Reads the disk, and so blocks for up to some seconds.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the folder can't be used, isn't ours, is in use, is of a newer
    /// version or damaged. Nothing is changed then.
    pub fn open(options: EmbeddedOptions) -> Result<Self, StoreError> {
        let lease = options.lease;
        let worker = Worker::open(options)?;
        let (questions, asked) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("syncline-state".to_owned())
            .spawn(move || worker.run(&asked))
            .map_err(|error| StoreError::Refused(format!("its thread can't be started: {error}")))?;
        Ok(Self { questions: Some(questions), thread: Some(thread), lease })
    }

    async fn ask<T>(&self, question: impl FnOnce(Answer<T>) -> Question) -> Result<T, StoreError> {
        let ended = || StoreError::Unavailable("its thread has ended".to_owned());
        let (sender, answer) = oneshot::channel();
        let questions = self.questions.as_ref().ok_or_else(ended)?;
        questions.send(question(sender)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Where an answer goes.
type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

impl Drop for EmbeddedStore {
    /// Waits until everything that was asked is written.
    fn drop(&mut self) {
        drop(self.questions.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been told when it happened.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl StateStore for EmbeddedStore {
    async fn token(&self) -> Result<Token, StoreError> {
        self.ask(Question::Token).await
    }

    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, StoreError> {
        let requests = requests.to_vec();
        self.ask(|answer| Question::Claim(requests, answer)).await
    }

    async fn complete(&self, completions: &[Completion]) -> Result<Vec<Completed>, StoreError> {
        let completions = completions.to_vec();
        self.ask(|answer| Question::Complete(completions, answer)).await
    }

    async fn release(&self, releases: &[Release]) -> Result<(), StoreError> {
        let releases = releases.to_vec();
        self.ask(|answer| Question::Release(releases, answer)).await
    }

    async fn remote_ids(&self, names: &[EntityName]) -> Result<Vec<Option<String>>, StoreError> {
        let names = names.to_vec();
        self.ask(|answer| Question::RemoteIds(names, answer)).await
    }

    async fn forget(&self, partitions: &[(TopicPartition, Token)]) -> Result<(), StoreError> {
        let partitions = partitions.to_vec();
        self.ask(|answer| Question::Forget(partitions, answer)).await
    }

    async fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        notes::check_name(name)?;
        let name = name.to_owned();
        self.ask(|answer| Question::Note(name, answer)).await
    }

    async fn set_note(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        notes::check(name, value)?;
        let (name, value) = (name.to_owned(), value.to_vec());
        self.ask(|answer| Question::SetNote(name, value, answer)).await
    }

    fn lease(&self) -> Duration {
        self.lease
    }
}

#[async_trait]
impl PortableStore for EmbeddedStore {
    async fn export(&self, entries: tokio::sync::mpsc::Sender<Entry>) -> Result<(), StoreError> {
        let export = self.ask(Question::Export).await?;
        let run = tokio::task::spawn_blocking(move || export.run(&entries));
        run.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }

    async fn import(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let entries = entries.to_vec();
        self.ask(|answer| Question::Import(entries, answer)).await
    }
}

#[cfg(test)]
mod tests;

//! The store: etcd's semantics behind one trait, and the engines that keep them.
//!
//! One global revision counts writes. Each key remembers the revision that made it and the one that last
//! changed it. Reads can ask for a past revision until it is compacted; watches start at any revision that
//! is not. Every engine passes the one suite in [`contract`].

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::mpsc;

pub mod contract;
pub mod etcd;
mod hub;
mod memory;
pub mod snapshot;
mod sqlite;
pub mod testing;

pub use etcd::Etcd;
pub use memory::Memory;
pub use sqlite::{Reader, Sqlite, lock};

/// Counts the writes of the whole store. The first write gets a revision above 1; zero never names one.
pub type Revision = u64;

/// How far a store that was restored from a backup is lifted above it: more than can have been written after the
/// backup was made. (upstream: the bump that etcd's documentation advises)
const MARGIN: Revision = 1_000_000_000;

/// A key with its newest value, or its value at the revision asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Box<str>,
    pub value: Bytes,
    /// The write that made the key.
    pub create_revision: Revision,
    /// The write that last changed it.
    pub mod_revision: Revision,
}

impl fmt::Debug for KeyValue {
    /// Values may be secret: only their length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({} bytes)", self.key, self.mod_revision, self.value.len())
    }
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent,
    /// The key exists and was last changed by this write.
    ModRevision(Revision),
}

/// One key changed under a condition: the only way to write.
#[derive(Clone, Debug)]
pub struct Write {
    pub key: Box<str>,
    /// The new value; nothing deletes the key.
    pub value: Option<Bytes>,
    pub expect: Expect,
}

/// What came of writes that follow a first one.
#[derive(Debug)]
pub struct Group {
    /// The revision of the first one.
    pub lead: Revision,
    /// What came of the others, in their order.
    pub rest: Vec<Result<Revision>>,
}

/// Many keys as they were at one revision.
#[derive(Clone, Debug)]
pub struct Page {
    pub items: Vec<KeyValue>,
    /// The revision that the page shows.
    pub revision: Revision,
    /// Whether keys of the range follow the page.
    pub more: bool,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub key: Box<str>,
    pub revision: Revision,
    /// The new value; nothing when the key was deleted.
    pub value: Option<Bytes>,
    /// The write that made the key; zero when the key was deleted.
    pub create_revision: Revision,
    /// What the key held before.
    pub previous: Option<KeyValue>,
}

/// What a watch delivers, in the order of revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Changes of one or more writes; never half of one.
    Events(Vec<Event>),
    /// Nothing up to this revision is left to deliver.
    Progress(Revision),
    /// The revision to start from is gone, or the watcher fell behind: read again and watch from there.
    Compacted(Revision),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The condition of a write did not hold; here is what the key holds.
    #[error("the key has changed")]
    Conflict(Option<KeyValue>),
    /// The revision asked for is compacted; this is the oldest that is not.
    #[error("revision is compacted; the oldest kept is {0}")]
    Compacted(Revision),
    /// The revision asked for has not been written yet; this is the newest.
    #[error("revision is ahead of the newest, {0}")]
    Future(Revision),
    /// No room on the disk: nothing was written, reads go on.
    #[error("no space left for writing: {0}")]
    Full(String),
    /// The value is larger than the engine takes.
    #[error("{0}")]
    TooLarge(String),
    /// Nobody answers: nothing was written.
    #[error("the store is out of reach: {0}")]
    Unreachable(String),
    /// Nobody answered in time whether a write that was sent has happened.
    #[error("the store did not answer; the write may have happened: {0}")]
    Unknown(String),
    /// Someone else has the data directory.
    #[error("{0}")]
    Locked(String),
    /// The data was written by a newer version or is no store of ours.
    #[error("{0}")]
    Format(String),
    #[error("store: {0}")]
    Io(String),
    #[error("the store is closed")]
    Closed,
}

pub type Result<T> = std::result::Result<T, Error>;

/// etcd's semantics. Calls may be cancelled: a write that was sent may still happen.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The newest revision that is durable. Cheap, except for engines over a network.
    async fn revision(&self) -> Result<Revision>;

    /// One key, now or `at` a past revision.
    async fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>>;

    /// The keys of `range` in order, at most `limit` of them (zero: all), now or `at` a past revision.
    async fn range(&self, range: Range<String>, limit: usize, at: Option<Revision>) -> Result<Page>;

    /// How many keys of `range` there are, now or `at` a past revision. Costs time for each of them.
    async fn count(&self, range: Range<String>, at: Option<Revision>) -> Result<usize>;

    /// Changes one key if its condition holds, and answers the write's revision once it is durable.
    async fn write(&self, write: Write) -> Result<Revision>;

    /// Does the write `lead` and, if its condition held, `rest`, each under its own condition. None of the rest is
    /// durable before the lead is. Engines that can do all in the time of one write.
    async fn write_group(&self, lead: Write, rest: Vec<Write>) -> Result<Group> {
        let lead = self.write(lead).await?;
        Ok(Group { lead, rest: join_all(rest.into_iter().map(|write| self.write(write))).await })
    }

    /// Every change under `prefix` with a revision of `from` or later, past ones first.
    ///
    /// The channel is bounded; a watcher that does not read is told `Compacted` and cut off.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<mpsc::Receiver<Watched>>;

    /// Forgets history before `revision`; what each key held then, or came to hold since, stays.
    /// A revision ahead of the newest means the newest, and one behind an earlier call's means nothing.
    async fn compact(&self, revision: Revision) -> Result<()>;

    /// Bytes that the store takes on this machine's disk; nothing for engines that have no files here.
    fn allocated_bytes(&self) -> Option<u64> {
        None
    }

    /// Gives no revision up to this one any more, and forgets the history before it: for a store that takes the
    /// place of another. Nothing if it has come that far already. Nobody else may use the store meanwhile.
    async fn lift(&self, revision: Revision) -> Result<()>;
}

/// The range of all keys that start with `prefix`, which must end in an ASCII character below `~`.
pub fn prefix_range(prefix: &str) -> Range<String> {
    let mut end = prefix.to_owned().into_bytes();
    *end.last_mut().expect("a prefix is not empty") += 1;
    prefix.to_owned()..String::from_utf8(end).expect("an ASCII character plus one is one")
}

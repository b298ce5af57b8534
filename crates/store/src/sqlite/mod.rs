//! The embedded engine: one SQLite file in a directory of its own, crash safe.
//!
//! One thread writes: it takes all that is queued, applies it in one transaction and answers once that
//! is on disk. Reads run on connections of their own and never wait for it. `history` holds one row for
//! each write; the newest row of a key is what the key holds.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::hub::{History, Hub};
use crate::{Error, Event, Group, KeyValue, Page, Result, Revision, Store, Watched, Write};

mod file;
mod read;
mod writer;

pub use file::lock;
use writer::Job;

/// Writes that wait for the writer before callers have to.
const QUEUE: usize = 1024;
/// Reads at the same time, each on its own connection.
const READERS: usize = 4;

/// Closing waits for the writes that were sent.
pub struct Sqlite {
    shared: Arc<Shared>,
    /// Nothing once closing has begun.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    /// The newest durable revision.
    revision: AtomicU64,
    hub: Arc<Hub>,
    idle: Mutex<Vec<Connection>>,
    readers: Semaphore,
}

impl Sqlite {
    /// Opens the store in `dir`, making both if needed. Fails when another process has it open, or when
    /// its format is not ours; both errors name the directory.
    pub fn open(dir: &Path) -> Result<Self> {
        let lock = file::lock(dir)?;
        let path = dir.join("state.db");
        let connection = file::open_writer(dir, &path)?;
        let revision = read::newest(&connection).map_err(file::error)?;
        let shared = Arc::new(Shared {
            path,
            revision: AtomicU64::new(revision),
            hub: Arc::new(Hub::new(revision)),
            idle: Mutex::default(),
            readers: Semaphore::new(READERS),
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = writer::Writer::new(connection, shared.clone(), queue, lock).map_err(file::error)?;
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::Io(error.to_string()))?;
        Ok(Self { shared, jobs: Some(jobs), writer: Some(writer) })
    }

    async fn send<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(Error::Closed)?;
        jobs.send(job(answer)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

/// Reads a store that another process may have open.
pub struct Reader(Arc<Shared>);

impl Reader {
    /// Fails where there is no store.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("state.db");
        if !path.exists() {
            return Err(Error::Io(format!("{} holds no store", dir.display())));
        }
        let connection = file::open_reader(&path)?;
        file::check_format(&connection, dir)?;
        let revision = read::newest(&connection).map_err(file::error)?;
        Ok(Self(Arc::new(Shared {
            path,
            revision: AtomicU64::new(revision),
            hub: Arc::new(Hub::new(revision)),
            idle: Mutex::new(vec![connection]),
            readers: Semaphore::new(READERS),
        })))
    }

    /// As [`Store::range`].
    pub async fn range(&self, range: Range<String>, limit: usize, at: Option<Revision>) -> Result<Page> {
        self.0.read(move |connection| read::range(connection, &range, limit, at)).await
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

impl Shared {
    /// Runs `read` in one read transaction, away from the async threads.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _permit = self.readers.acquire().await.map_err(|_| Error::Closed)?;
        let shared = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = idle.map_or_else(|| file::open_reader(&shared.path), Ok)?;
            let answer = in_transaction(&mut connection, read);
            shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        });
        done.await.map_err(|error| Error::Io(error.to_string()))?
    }
}

fn in_transaction<T>(connection: &mut Connection, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let transaction = connection.transaction().map_err(file::error)?;
    let answer = read(&transaction)?;
    transaction.finish().map_err(file::error)?;
    Ok(answer)
}

/// What the hub reads history through; holds on to the connections, not to the writer.
struct Past(Arc<Shared>);

#[async_trait]
impl History for Past {
    async fn history(&self, from: Revision, limit: usize) -> Result<Vec<Event>> {
        self.0.read(move |connection| read::history(connection, from, limit)).await
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn revision(&self) -> Result<Revision> {
        Ok(self.shared.revision.load(Ordering::Acquire))
    }

    async fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>> {
        let key = key.to_owned();
        self.shared.read(move |connection| read::get(connection, &key, at)).await
    }

    async fn range(&self, range: Range<String>, limit: usize, at: Option<Revision>) -> Result<Page> {
        self.shared.read(move |connection| read::range(connection, &range, limit, at)).await
    }

    async fn count(&self, range: Range<String>, at: Option<Revision>) -> Result<usize> {
        self.shared.read(move |connection| read::count(connection, &range, at)).await
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        Ok(self.write_group(write, Vec::new()).await?.lead)
    }

    async fn write_group(&self, lead: Write, rest: Vec<Write>) -> Result<Group> {
        self.send(|answer| Job::Write { lead, rest, answer }).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<mpsc::Receiver<Watched>> {
        Ok(self.shared.hub.watch(Arc::new(Past(self.shared.clone())), prefix, from))
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        self.send(|answer| Job::Compact { revision, answer }).await
    }

    fn allocated_bytes(&self) -> Option<u64> {
        let of = |suffix: &str| {
            let mut path = self.shared.path.clone().into_os_string();
            path.push(suffix);
            std::fs::metadata(path).map(|metadata| metadata.len())
        };
        // The log, which a checkpoint empties, is not there before the first write.
        Some(of("").ok()? + of("-wal").unwrap_or(0))
    }

    async fn lift(&self, revision: Revision) -> Result<()> {
        self.send(|answer| Job::Lift { revision, answer }).await
    }
}

#[cfg(test)]
mod tests;

//! The one thread that writes.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{Shared, file, read};
use crate::{Error, Event, Expect, Group, KeyValue, Result, Revision, Write};

/// Writes that share one transaction, and so one flush of the disk.
const BATCH: usize = 256;
/// Revisions that one step of compaction passes; a step takes a few milliseconds.
const CLEAN_STEP: Revision = 256;
/// Revisions that compaction passes for each write that it shares a transaction with.
const CLEAN_PER_WRITE: Revision = 2;
/// Pages of 4 KiB in the log that call for a checkpoint.
const CHECKPOINT_PAGES: u64 = 1000;
/// Free pages in the file that are worth giving back to the disk.
const FREE_PAGES: i64 = 4096;
/// Free pages given back in one step.
const VACUUM_STEP: i64 = 512;

pub(super) enum Job {
    Write { lead: Write, rest: Vec<Write>, answer: oneshot::Sender<Result<Group>> },
    Compact { revision: Revision, answer: oneshot::Sender<Result<()>> },
    Lift { revision: Revision, answer: oneshot::Sender<Result<()>> },
}

pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Job>,
    revision: Revision,
    compacted: Revision,
    cleaned: Revision,
    /// There has been a compaction since the file was last found small enough.
    may_shrink: bool,
    /// Pages written since the last checkpoint, about.
    log_pages: u64,
    /// Ends with the writer.
    _lock: File,
}

/// Writes of one caller.
struct Writes {
    lead: Write,
    rest: Vec<Write>,
}

/// What became of one write of a batch, before the batch is on disk.
type Outcome = std::result::Result<Event, Option<KeyValue>>;

/// What became of the writes of one caller; nothing of the rest where the first one's condition did not hold.
struct Outcomes {
    lead: Outcome,
    rest: Vec<Outcome>,
}

impl Writer {
    pub fn new(
        connection: Connection,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Job>,
        lock: File,
    ) -> rusqlite::Result<Self> {
        let revision = read::newest(&connection)?;
        let compacted = read::meta(&connection, "compacted")?;
        let cleaned = read::meta(&connection, "cleaned")?;
        Ok(Self {
            connection,
            shared,
            queue,
            revision,
            compacted,
            cleaned,
            may_shrink: true,
            log_pages: 0,
            _lock: lock,
        })
    }

    /// Until the last sender is gone. Chores fill the time between batches.
    pub fn run(mut self) {
        let mut chores = true;
        loop {
            let first = if chores { self.queue.try_recv().ok() } else { None };
            let first = match first {
                Some(job) => Some(job),
                None if chores && !self.queue.is_closed() => None,
                None => match self.queue.blocking_recv() {
                    Some(job) => Some(job),
                    None => break,
                },
            };
            if let Some(first) = first {
                self.serve(first);
            }
            chores = self.chore();
        }
        self.shared.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }

    /// Serves `first` and what is queued behind it.
    fn serve(&mut self, first: Job) {
        let (mut writes, mut answers) = (Vec::new(), Vec::new());
        let mut count = 0;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Write { lead, rest, answer } => {
                    count += 1 + rest.len();
                    writes.push(Writes { lead, rest });
                    answers.push(answer);
                }
                Job::Compact { revision, answer } => reply(answer, self.compact(revision)),
                Job::Lift { revision, answer } => reply(answer, self.lift(revision)),
            }
            if count < BATCH {
                next = self.queue.try_recv().ok();
            }
        }
        self.write(writes, answers);
    }

    /// Applies a batch, makes it durable, tells watchers and answers, in this order.
    fn write(&mut self, writes: Vec<Writes>, answers: Vec<oneshot::Sender<Result<Group>>>) {
        if writes.is_empty() {
            return;
        }
        match self.commit(writes) {
            Ok(outcomes) => self.publish(outcomes, answers),
            Err(failure) => {
                let failure = file::error(failure);
                tracing::error!(error = %failure, writes = answers.len(), "writes failed");
                answers.into_iter().for_each(|answer| reply(answer, Err(repeat(&failure))));
            }
        }
    }

    fn commit(&mut self, writes: Vec<Writes>) -> rusqlite::Result<Vec<Outcomes>> {
        let transaction = self.connection.transaction()?;
        // Under load compaction rides along: it needs no flush of its own, and keeps ahead of the writes.
        let count: usize = writes.iter().map(|writes| 1 + writes.rest.len()).sum();
        let until = (self.cleaned + CLEAN_PER_WRITE * count as Revision).min(self.compacted);
        clean(&transaction, self.cleaned, until)?;
        let mut batch = Batch { connection: &transaction, revision: self.revision, pages: until - self.cleaned };
        let outcomes = writes.into_iter().map(|writes| batch.apply_all(writes)).collect::<rusqlite::Result<_>>()?;
        let Batch { revision, pages, .. } = batch;
        transaction.commit()?;
        self.revision = revision;
        self.log_pages += pages;
        self.cleaned = until;
        Ok(outcomes)
    }

    fn publish(&self, outcomes: Vec<Outcomes>, answers: Vec<oneshot::Sender<Result<Group>>>) {
        let mut events = Vec::with_capacity(outcomes.len());
        let mut result = |outcome: Outcome| match outcome {
            Ok(event) => {
                let revision = event.revision;
                events.push(event);
                Ok(revision)
            }
            Err(held) => Err(Error::Conflict(held)),
        };
        let results: Vec<Result<Group>> = outcomes
            .into_iter()
            .map(|Outcomes { lead, rest }| {
                Ok(Group { lead: result(lead)?, rest: rest.into_iter().map(&mut result).collect() })
            })
            .collect();
        self.shared.revision.store(self.revision, Ordering::Release);
        self.shared.hub.publish(&events);
        answers.into_iter().zip(results).for_each(|(answer, result)| reply(answer, result));
    }

    /// Moves the oldest readable revision; removing what lies behind it is left to chores.
    fn compact(&mut self, revision: Revision) -> Result<()> {
        let revision = revision.min(self.revision);
        if revision <= self.compacted {
            return Ok(());
        }
        set_meta(&self.connection, "compacted", revision).map_err(file::error)?;
        self.compacted = revision;
        self.may_shrink = true;
        self.shared.hub.forget(revision);
        Ok(())
    }

    /// Gives up the revisions to this one, and all history with them.
    fn lift(&mut self, revision: Revision) -> Result<()> {
        if revision <= self.revision {
            return Ok(());
        }
        self.write_lift(revision).map_err(file::error)?;
        (self.revision, self.compacted, self.cleaned) = (revision, revision, revision);
        self.shared.revision.store(revision, Ordering::Release);
        self.shared.hub.restart(revision);
        Ok(())
    }

    fn write_lift(&mut self, revision: Revision) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        clean(&transaction, self.cleaned, self.revision + 1)?;
        transaction.execute("INSERT OR REPLACE INTO meta VALUES ('lifted', ?1)", [revision as i64])?;
        set_meta(&transaction, "compacted", revision)?;
        set_meta(&transaction, "cleaned", revision)?;
        transaction.commit()
    }

    /// One bounded piece of upkeep; says whether there is more to do at once.
    fn chore(&mut self) -> bool {
        let done = if self.log_pages >= CHECKPOINT_PAGES {
            self.log_pages = 0;
            self.checkpoint().map(|()| true)
        } else if !self.queue.is_empty() {
            Ok(false)
        } else if self.cleaned < self.compacted {
            self.clean_step().map(|()| true)
        } else if self.may_shrink {
            self.shrink_step()
        } else {
            Ok(false)
        };
        done.unwrap_or_else(|error| {
            tracing::warn!(%error, "upkeep of the store failed; it is tried again after the next write");
            false
        })
    }

    /// Moves the log into the file. The log starts over once readers have left it.
    fn checkpoint(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    fn clean_step(&mut self) -> rusqlite::Result<()> {
        let until = (self.cleaned + CLEAN_STEP).min(self.compacted);
        let transaction = self.connection.transaction()?;
        clean(&transaction, self.cleaned, until)?;
        transaction.commit()?;
        self.log_pages += until - self.cleaned;
        self.cleaned = until;
        Ok(())
    }

    /// Shrinks the file a little when much of it is empty; says whether there is more to give back.
    fn shrink_step(&mut self) -> rusqlite::Result<bool> {
        let free = self.connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))?;
        if free < FREE_PAGES {
            self.may_shrink = false;
            return Ok(false);
        }
        let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_STEP})"))?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        self.log_pages += VACUUM_STEP as u64;
        Ok(true)
    }
}

/// Removes what the revisions of a span superseded, and deletions among them that nobody can see any more.
fn clean(connection: &Connection, from: Revision, until: Revision) -> rusqlite::Result<()> {
    if from == until {
        return Ok(());
    }
    let span = params![from as i64, until as i64];
    let mut superseded = connection.prepare_cached(
        "DELETE FROM history WHERE rev IN
         (SELECT prev_rev FROM history WHERE rev >= ?1 AND rev < ?2 AND prev_rev > 0)",
    )?;
    superseded.execute(span)?;
    let mut deletions =
        connection.prepare_cached("DELETE FROM history WHERE rev >= ?1 AND rev < ?2 AND create_rev = 0")?;
    deletions.execute(span)?;
    set_meta(connection, "cleaned", until)
}

/// Writes that become durable together.
struct Batch<'a> {
    connection: &'a Connection,
    /// The newest one.
    revision: Revision,
    /// Pages that are written, about.
    pages: u64,
}

impl Batch<'_> {
    fn apply_all(&mut self, writes: Writes) -> rusqlite::Result<Outcomes> {
        let lead = self.apply(writes.lead)?;
        let rest = if lead.is_ok() { writes.rest } else { Vec::new() };
        let rest = rest.into_iter().map(|write| self.apply(write)).collect::<rusqlite::Result<_>>()?;
        Ok(Outcomes { lead, rest })
    }

    fn apply(&mut self, write: Write) -> rusqlite::Result<Outcome> {
        let previous = read::held(self.connection, &write.key, self.revision)?;
        let holds = match (write.expect, &previous) {
            (Expect::Absent, held) => held.is_none() && write.value.is_some(),
            (Expect::ModRevision(revision), Some(held)) => held.mod_revision == revision,
            (Expect::ModRevision(_), None) => false,
        };
        if !holds {
            return Ok(Err(previous));
        }
        self.pages += 3 + write.value.as_ref().map_or(0, |value| value.len() as u64 / 4096);
        self.revision += 1;
        let event = succeed(write, previous, self.revision);
        insert(self.connection, &event)?;
        Ok(Ok(event))
    }
}

fn succeed(write: Write, previous: Option<KeyValue>, revision: Revision) -> Event {
    let create_revision = match (&write.value, &previous) {
        (None, _) => 0,
        (Some(_), None) => revision,
        (Some(_), Some(previous)) => previous.create_revision,
    };
    Event { key: write.key, revision, value: write.value, create_revision, previous }
}

fn insert(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let previous = event.previous.as_ref().map_or(0, |previous| previous.mod_revision);
    let mut insert = connection
        .prepare_cached("INSERT INTO history (rev, key, value, create_rev, prev_rev) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    insert.execute(params![
        event.revision as i64,
        event.key,
        event.value.as_ref().map(Bytes::as_ref),
        event.create_revision as i64,
        previous as i64
    ])?;
    Ok(())
}

fn set_meta(connection: &Connection, name: &str, value: Revision) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?;
    update.execute(params![name, value as i64]).map(|_| ())
}

/// Answers a caller, who may have stopped waiting: the write stands all the same.
fn reply<T>(answer: oneshot::Sender<Result<T>>, result: Result<T>) {
    if answer.send(result).is_err() {
        tracing::debug!("a caller left before its answer");
    }
}

/// The same failure once more, for everyone in the batch.
fn repeat(failure: &Error) -> Error {
    match failure {
        Error::Full(why) => Error::Full(why.clone()),
        other => Error::Io(other.to_string()),
    }
}

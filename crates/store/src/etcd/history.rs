//! What happened, read from etcd by its watches.

use grpc::{Connection, Streaming};

use super::calls::Failure;
use super::offset::OFFSET_KEY;
use super::proto::{self, EventType, RangeRequest, WatchResponse};
use super::seen::{Seen, print};
use super::{Inner, key_request};
use crate::{Error, Event, KeyValue, Result};

/// An open watch of everything.
pub struct Changes {
    watch: Streaming,
    pub connection: Connection,
    /// What lies before it is not asked for.
    from: i64,
    /// What the revision before must be known by.
    print: Option<u32>,
}

/// What one message of a watch says. Revisions are etcd's.
pub struct Batch {
    /// In order, never half a revision.
    pub events: Vec<Event>,
    /// The newest revision among all that happened, even if no event tells of it.
    pub last: i64,
}

impl Inner {
    /// Everything from revision `from` of etcd on.
    pub async fn changes(&self, from: i64) -> Result<Changes> {
        // The one before is asked for as well. etcd refuses it if it is compacted, and then could not tell
        // what `from` replaced or deleted.
        let (watch, connection) = self.calls.watch((from - 1).max(1)).await?;
        Ok(Changes { watch, connection, from, print: None })
    }

    /// Everything after revision `last` of etcd. If that is the last one `seen`, it must be what it was.
    pub async fn changes_after(&self, last: i64, seen: Seen) -> Result<Changes> {
        let print = seen.print.filter(|_| seen.revision == self.ours(last));
        Ok(Changes { print, ..self.changes(last + 1).await? })
    }

    /// The next changes; an error if the watch is at its end. May be dropped at any time between two messages.
    pub async fn next(&self, changes: &mut Changes) -> Result<Batch> {
        let mut found = Vec::new();
        loop {
            let message: Option<WatchResponse> = changes.watch.message().await.map_err(lost)?;
            let message = message.ok_or_else(|| Error::Unreachable("etcd: the watch has ended".to_owned()))?;
            if let Some(header) = &message.header {
                self.calls.check_cluster(header)?;
            }
            if message.canceled {
                return Err(self.cancelled(&message));
            }
            self.compare_past(changes, &message).await?;
            found.extend(message.events.into_iter().filter_map(|event| {
                let revision = event.kv.as_ref()?.mod_revision;
                (revision >= changes.from).then_some((revision, event))
            }));
            if let (false, Some((last, _))) = (message.fragment, found.last()) {
                let last = *last;
                let events = found.into_iter().filter_map(|(_, event)| self.event(event)).collect();
                return Ok(Batch { events, last });
            }
        }
    }

    /// Condemns an etcd that tells of the revision before the first that is wanted something else than it did.
    async fn compare_past(&self, changes: &mut Changes, message: &WatchResponse) -> Result<()> {
        if message.events.is_empty() {
            return Ok(());
        }
        let Some(expected) = changes.print.take() else { return Ok(()) };
        let past = message.events.iter().filter_map(|event| event.kv.as_ref());
        let last = past.take_while(|kv| kv.mod_revision < changes.from).last();
        if last.is_some_and(|kv| print(text(&kv.key).as_bytes(), &kv.value) == expected) {
            return Ok(());
        }
        // A deletion that history begins with is not told of any more.
        if last.is_none() && !self.keeps(changes.from - 2).await? {
            return Ok(());
        }
        Err(self.calls.condemn(
            "etcd tells of the past something else than it did: it was restored from an older backup while this \
             server ran, which must be restarted",
        ))
    }

    /// Whether etcd can still be asked for a revision.
    async fn keeps(&self, revision: i64) -> Result<bool> {
        let request = RangeRequest { revision: revision.max(1), ..key_request(OFFSET_KEY) };
        match self.range_once(request).await {
            Ok(_) => Ok(true),
            Err(Failure::Compacted) => Ok(false),
            Err(failure) => Err(self.unexpected(failure)),
        }
    }

    fn cancelled(&self, message: &WatchResponse) -> Error {
        match message.compact_revision {
            0 => Error::Unreachable(format!("etcd: the watch was ended: {}", message.cancel_reason)),
            compacted => Error::Compacted(self.ours(compacted + 1)),
        }
    }

    fn event(&self, event: proto::Event) -> Option<Event> {
        let kind = event.kind();
        let kv = event.kv?;
        let key = text(&kv.key);
        let deleted = kind == EventType::Delete;
        Some(Event {
            key,
            revision: self.ours(kv.mod_revision),
            create_revision: if deleted { 0 } else { self.ours(kv.create_revision) },
            value: (!deleted).then_some(kv.value),
            previous: event.previous.map(|previous| self.key_value(previous)),
        })
    }

    pub fn key_value(&self, kv: proto::KeyValue) -> KeyValue {
        KeyValue {
            key: text(&kv.key),
            create_revision: self.ours(kv.create_revision),
            mod_revision: self.ours(kv.mod_revision),
            value: kv.value,
        }
    }
}

fn lost(error: grpc::Error) -> Error {
    Error::Unreachable(format!("etcd: the watch is lost: {error}"))
}

/// Keys that are no text are not of this store, but count as changes like all others.
fn text(key: &[u8]) -> Box<str> {
    String::from_utf8_lossy(key).into()
}

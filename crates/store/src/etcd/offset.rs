//! What is added to etcd's revisions, so that none is given for the second time.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::proto::{self, Compared, PutRequest, Request, TxnRequest, TxnResponse};
use super::seen::Seen;
use super::{Inner, TOLD_WITHIN, compare, key_request, op};
use crate::{Error, Event, MARGIN, Result, Revision};

/// Holds the number. Outside of what the store's keys begin with.
pub const OFFSET_KEY: &str = "keelson/offset";

impl Inner {
    /// Learns the offset, and answers the newest revision of etcd.
    pub async fn load_offset(&self) -> Result<i64> {
        let answer = self.range_once(key_request(OFFSET_KEY)).await.map_err(|failure| self.unexpected(failure))?;
        let offset = match answer.kvs.first() {
            None => 0,
            Some(kv) => offset_of(&kv.value).ok_or_else(|| {
                Error::Format(format!("{OFFSET_KEY} in etcd holds no number: it was not written by keelson"))
            })?,
        };
        self.offset.store(offset, Ordering::Release);
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    /// Writes a larger offset, and forgets what was before.
    pub async fn lift(&self, revision: Revision) -> Result<()> {
        let newest = self.newest().await?;
        let before = self.offset.load(Ordering::Acquire);
        let Some(more) = revision.checked_sub(self.ours(newest)).filter(|more| *more > 0) else { return Ok(()) };
        let held = self.range_once(key_request(OFFSET_KEY)).await.map_err(|failure| self.unexpected(failure))?;
        let held = held.kvs.first().map_or(0, |kv| kv.mod_revision);
        let put = PutRequest {
            key: Bytes::from_static(OFFSET_KEY.as_bytes()),
            value: Bytes::from((before + more).to_string()),
        };
        let txn = TxnRequest {
            compare: vec![compare(OFFSET_KEY, Compared::ModRevision(held))],
            success: vec![op(Request::Put(put))],
            ..TxnRequest::default()
        };
        // What the watch has yet to tell has the offset of before.
        self.is_told(self.ours(newest)).await;
        // First, so that the watch knows the new offset for our own.
        self.offset.store(before + more, Ordering::Release);
        let written = self.calls.write::<TxnResponse>(proto::TXN, &txn).await;
        let failed = match written {
            Ok(answer) if answer.succeeded => None,
            Ok(_) => Some(Error::Locked("another process lifts this etcd's revisions".to_owned())),
            Err(failure) => Some(self.unexpected(failure)),
        };
        if let Some(error) = failed {
            self.offset.store(before, Ordering::Release);
            return Err(error);
        }
        let newest = self.newest().await?;
        self.compact_to(newest).await?;
        self.hub.restart(self.ours(newest));
        Ok(())
    }

    /// Lifts an etcd that was restored from a backup since an earlier process saw it: what was given since that backup
    /// must not be given again, and whoever knows a revision of then reads anew.
    pub async fn lift_restored(&self, newest: i64) -> Result<()> {
        let Some(kept) = self.seen.kept else { return Ok(()) };
        let is_behind = self.ours(newest) < kept.given;
        let other = kept.seen.cluster != self.calls.cluster();
        if !is_behind && !other && self.remembers(kept.seen).await? {
            return Ok(());
        }
        tracing::warn!(
            known = kept.given,
            newest = self.ours(newest),
            "etcd was restored from a backup: revisions go on above all that were given"
        );
        self.lift(kept.given.max(self.ours(newest)) + MARGIN).await
    }

    /// Whether etcd tells of a revision what an earlier process was told. Nobody knows of one that is compacted.
    async fn remembers(&self, kept: Seen) -> Result<bool> {
        let (Some(print), Ok(theirs)) = (kept.print, self.theirs(kept.revision)) else { return Ok(true) };
        let mut changes = self.changes(theirs).await?;
        let told = tokio::time::timeout(TOLD_WITHIN, self.next(&mut changes)).await;
        match told.map_err(|_| Error::Unreachable("etcd does not tell its history".to_owned()))? {
            Ok(batch) => {
                let of_then = batch.events.iter().rfind(|event| event.revision == kept.revision);
                Ok(of_then.is_some_and(|event| Seen::after(kept.cluster, event).print == Some(print)))
            }
            Err(Error::Compacted(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether another process changed the offset.
    pub fn is_foreign_lift(&self, event: &Event) -> bool {
        let offset = event.value.as_deref().and_then(offset_of);
        &*event.key == OFFSET_KEY && offset != Some(self.offset.load(Ordering::Acquire))
    }
}

fn offset_of(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

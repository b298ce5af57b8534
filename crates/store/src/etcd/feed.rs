//! The one watch that feeds all watchers, and what they missed before they came.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Inner;
use super::seen::Seen;
use crate::hub::History;
use crate::{Error, Event, Result, Revision};

/// Wait before a watch that was lost is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(100);
/// How long etcd may take to tell the next of what has happened.
const HISTORY_WITHIN: Duration = Duration::from_secs(10);

/// Publishes everything after revision `last` of etcd, each once and in order, whatever happens to connections.
pub(super) async fn run(inner: Arc<Inner>, mut last: i64) {
    let mut reported = false;
    loop {
        let error = follow(&inner, &mut last, &mut reported).await;
        if matches!(error, Error::Format(_)) {
            // Condemned.
            return;
        }
        if let Error::Compacted(oldest) = error {
            tracing::warn!(oldest, "etcd was out of reach for longer than it keeps history: watches begin anew");
            match inner.newest().await {
                Ok(newest) => {
                    last = newest;
                    inner.seen.told(Seen { print: None, revision: inner.ours(newest), ..inner.seen.last() });
                    inner.told.send_replace(inner.ours(newest));
                    inner.hub.restart(inner.ours(newest));
                }
                Err(error) => tracing::debug!(%error, "watches wait for etcd"),
            }
        } else if !reported {
            reported = true;
            tracing::warn!(%error, "the watch of etcd is opened again");
        }
        tokio::time::sleep(REOPEN_AFTER).await;
    }
}

/// Until the watch fails.
async fn follow(inner: &Inner, last: &mut i64, reported: &mut bool) -> Error {
    let mut changes = match inner.changes_after(*last, inner.seen.last()).await {
        Ok(changes) => changes,
        Err(error) => return error,
    };
    let connection = changes.connection.clone();
    loop {
        let batch = tokio::select! {
            batch = inner.next(&mut changes) => batch,
            () = connection.given_up() => {
                return Error::Unreachable(format!("{} does not answer", connection.url()));
            }
        };
        match batch {
            Ok(batch) => {
                if std::mem::take(reported) {
                    tracing::info!(member = connection.url(), "the watch of etcd goes on");
                }
                if batch.events.iter().any(|event| inner.is_foreign_lift(event)) {
                    return inner.calls.condemn("revisions were lifted by a restore: this server must be restarted");
                }
                inner.publish(&batch.events, batch.last);
                *last = batch.last;
            }
            Err(error) => {
                inner.calls.give_up(&connection);
                return error;
            }
        }
    }
}

impl Inner {
    fn publish(&self, events: &[Event], last: i64) {
        if let Some(event) = events.last() {
            self.seen.told(Seen::after(self.calls.cluster(), event));
        }
        // First, so that who reads history up to there never misses what the hub has told since.
        self.told.send_replace(self.ours(last));
        self.hub.publish(events);
    }
}

/// What the hub reads history through.
pub(super) struct Past(pub Arc<Inner>);

#[async_trait]
impl History for Past {
    async fn history(&self, from: Revision, limit: usize) -> Result<Vec<Event>> {
        let inner = &self.0;
        let told = *inner.told.borrow();
        if from > told {
            return Ok(Vec::new());
        }
        let (from, until) = (inner.theirs(from)?, inner.theirs(told)?);
        let mut changes = inner.changes(from).await?;
        let mut events = Vec::new();
        loop {
            let next = tokio::time::timeout(HISTORY_WITHIN, inner.next(&mut changes));
            let batch = next.await.map_err(|_| Error::Unreachable("etcd does not tell its history".to_owned()))??;
            events.extend(batch.events);
            if batch.last >= until || events.len() >= limit {
                return Ok(events);
            }
        }
    }
}

//! Clients that do not read.
//!
//! Lists and watches are made as they are read, so that nothing piles up for a client that is slow. One that does not
//! read at all still keeps alive what its answer shows; its connection is closed after a while.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::body::{Body, BoxError};

/// How long a client may leave a list or a watch lying, once what is sent ahead of it is full.
pub const UNREAD_MAX: Duration = Duration::from_secs(60);

/// The answers of one connection; clones share everything.
#[derive(Clone, Default)]
pub struct Pace(Arc<Inner>);

#[derive(Default)]
struct Inner {
    next: AtomicU64,
    /// Answers whose next piece has not been asked for yet, and since when.
    waiting: Mutex<BTreeMap<u64, Instant>>,
    /// Something waits again.
    filled: Notify,
}

impl Pace {
    /// The same body, watched.
    pub fn keep(&self, body: Body) -> Body {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        Paced { body, pace: self.clone(), id }.boxed_unsync()
    }

    /// Returns once an answer has waited for [`UNREAD_MAX`].
    pub async fn stalled(&self) {
        loop {
            let oldest = self.0.waiting.lock().values().min().copied();
            match oldest {
                None => self.0.filled.notified().await,
                Some(since) if since.elapsed() >= UNREAD_MAX => return,
                Some(since) => tokio::time::sleep_until(since + UNREAD_MAX).await,
            }
        }
    }

    fn waits(&self, id: u64) {
        let mut waiting = self.0.waiting.lock();
        waiting.insert(id, clock::monotonic());
        if waiting.len() == 1 {
            self.0.filled.notify_one();
        }
    }

    fn goes_on(&self, id: u64) {
        self.0.waiting.lock().remove(&id);
    }
}

struct Paced {
    body: Body,
    pace: Pace,
    id: u64,
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.pace.goes_on(self.id);
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.pace.waits(self.id);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.pace.goes_on(self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::body;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_on_is_noticed() {
        let pace = Pace::default();
        let mut answer = pace.keep(body::stream(futures::stream::repeat(Bytes::from_static(b"x"))));
        let begun = clock::monotonic();
        for _ in 0..3 {
            answer.frame().await.unwrap().unwrap();
            tokio::time::sleep(UNREAD_MAX - Duration::from_secs(1)).await;
            assert!(pace.stalled().now_or_never().is_none(), "it is read on");
        }
        pace.stalled().await;
        assert_eq!(begun.elapsed().as_secs(), 3 * 59 + 1);
        drop(answer);
        assert!(pace.stalled().now_or_never().is_none(), "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_wait_for_what_is_not_there_yet() {
        let pace = Pace::default();
        let mut answer = pace.keep(body::stream(futures::stream::pending()));
        let waits = tokio::time::timeout(3 * UNREAD_MAX, answer.frame()).await;
        assert!(waits.is_err() && pace.stalled().now_or_never().is_none());
    }
}

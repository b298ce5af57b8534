//! The way from a component to the API, which tests cut.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use apiserver::{Body, BoxError, LocalClient};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body::Frame;
use kube::Client;
use tokio::sync::watch;
use tower::ServiceExt;

/// How long a request over a cut link takes to fail, as an attempt to connect does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A fuse that never blows.
const NEVER: u32 = u32::MAX;

/// Clones are the same link.
#[derive(Clone)]
pub struct Link {
    up: watch::Sender<bool>,
    /// Writes that still go through before the link breaks.
    fuse: Arc<AtomicU32>,
    /// Of a hundred requests so many fail, half of them after they were served.
    losses: Arc<AtomicU32>,
}

impl Default for Link {
    fn default() -> Self {
        Self { up: watch::Sender::new(true), fuse: Arc::new(AtomicU32::new(NEVER)), losses: Arc::default() }
    }
}

impl Link {
    /// A client whose requests go over this link.
    pub fn client(&self, server: LocalClient) -> Client {
        let link = self.clone();
        let service = tower::service_fn(move |request| link.clone().carry(server.clone(), request));
        Client::new(service, "default")
    }

    /// Requests under way are dropped, watches end, new requests fail.
    pub fn cut(&self) {
        self.up.send_replace(false);
    }

    pub fn heal(&self) {
        self.up.send_replace(true);
    }

    /// Cuts the link after so many more writes; the last is made, but its answer is lost.
    pub fn cut_after(&self, writes: u32) {
        self.fuse.store(writes, Ordering::Relaxed);
    }

    /// Loses so many of a hundred requests, or their answers.
    pub fn lose(&self, percent: u32) {
        self.losses.store(percent, Ordering::Relaxed);
    }

    async fn carry(
        self,
        server: LocalClient,
        request: Request<kube::client::Body>,
    ) -> Result<Response<Cuttable>, BoxError> {
        let up = self.up.subscribe();
        if !*up.borrow() {
            tokio::time::sleep(CONNECT_TIMEOUT).await;
            return Err("connection timed out".into());
        }
        let fate = Fate::draw(self.losses.load(Ordering::Relaxed));
        if fate == Fate::Lost {
            return Err("connection reset before the request was sent".into());
        }
        let blows = request.method() != Method::GET && self.burn();
        tokio::select! {
            biased;
            answer = server.oneshot(request) => {
                if blows {
                    self.cut();
                }
                if blows || fate == Fate::AnswerLost {
                    return Err("connection reset before the answer came".into());
                }
                let cut = is_cut(up).boxed();
                answer.map(|answer| answer.map(|body| Cuttable { body, cut })).map_err(|never| match never {})
            }
            () = is_cut(up.clone()) => Err("connection reset".into()),
        }
    }

    /// Whether this write is the last one.
    fn burn(&self) -> bool {
        let left = self.fuse.load(Ordering::Relaxed);
        if left == NEVER {
            return false;
        }
        self.fuse.store(left.saturating_sub(1), Ordering::Relaxed);
        left <= 1
    }
}

/// What becomes of one request.
#[derive(PartialEq)]
enum Fate {
    Served,
    Lost,
    AnswerLost,
}

impl Fate {
    fn draw(percent: u32) -> Self {
        let drawn = if percent == 0 { 100 } else { clock::random_below(100) };
        match drawn {
            drawn if drawn >= percent as usize => Self::Served,
            drawn if drawn % 2 == 0 => Self::Lost,
            _ => Self::AnswerLost,
        }
    }
}

/// Resolves when the link is cut.
async fn is_cut(mut up: watch::Receiver<bool>) {
    if up.wait_for(|up| !up).await.is_err() {
        // Nobody is left to cut it.
        std::future::pending().await
    }
}

/// An answer that breaks off when its link is cut.
struct Cuttable {
    body: Body,
    cut: BoxFuture<'static, ()>,
}

impl http_body::Body for Cuttable {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.cut.poll_unpin(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err("connection reset".into()))),
            Poll::Pending => Pin::new(&mut self.body).poll_frame(cx),
        }
    }
}

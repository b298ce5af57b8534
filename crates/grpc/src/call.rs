//! Calls on one HTTP/2 connection.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::frame::{failure, frame, unframe};
use crate::{Error, transport};

/// Messages of a stream that wait to be sent.
const OUTGOING: usize = 16;
/// Bytes that a peer may send ahead on one stream, and on all of a connection.
const WINDOW: u32 = 4 << 20;

pub type Sender = SendRequest<UnsyncBoxBody<Bytes, Infallible>>;

/// How a connection that seems idle is found to be dead.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    pub every: Duration,
    pub answer_within: Duration,
}

/// Speaks HTTP/2 on `stream`; a task drives the connection until all senders are gone.
pub async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    keep_alive: Option<KeepAlive>,
) -> Result<(Sender, Driver), Error> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    if let Some(KeepAlive { every, answer_within }) = keep_alive {
        builder.keep_alive_interval(every).keep_alive_timeout(answer_within);
    }
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(transport)?;
    let (end, ended) = watch::channel(None);
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await.map_err(transport) {
            tracing::debug!(%error, "a connection ended");
            end.send_replace(Some(error.to_string()));
        }
    });
    Ok((sender, Driver { task: driver.abort_handle(), ended }))
}

/// What keeps a connection going.
#[derive(Clone)]
pub struct Driver {
    task: AbortHandle,
    ended: watch::Receiver<Option<String>>,
}

impl Driver {
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Why the connection ended, such as by an alert of TLS, of which those who used it only know that it did. Waits for
    /// the end.
    pub async fn why(&self) -> Option<String> {
        self.ended.clone().wait_for(Option::is_some).await.ok().and_then(|why| why.clone())
    }
}

/// One question, one answer.
pub async fn unary(sender: &mut Sender, uri: &str, headers: &HeaderMap, body: Bytes) -> Result<Bytes, Error> {
    let response = send(sender, uri, headers, Full::new(body).boxed_unsync()).await?;
    let in_head = failure(response.headers());
    let body = response.into_body().collect().await.map_err(transport)?;
    if let Some(failure) = body.trailers().and_then(failure).or(in_head) {
        return Err(failure);
    }
    unframe(&mut BytesMut::from(body.to_bytes()))?.ok_or_else(|| transport("the answer is cut short"))
}

/// Opens a call in which both sides send as they like. `first` goes out at once: servers may say nothing before it.
pub async fn open<Q: Message>(
    sender: &mut Sender,
    uri: &str,
    headers: &HeaderMap,
    first: &Q,
) -> Result<Streaming, Error> {
    let (requests, outgoing) = mpsc::channel(OUTGOING);
    requests.try_send(frame(first)).expect("the channel is empty");
    let outgoing = ReceiverStream::new(outgoing).map(|message| Ok(Frame::data(message)));
    let response = send(sender, uri, headers, StreamBody::new(outgoing).boxed_unsync()).await?;
    match failure(response.headers()) {
        Some(failure) => Err(failure),
        None => Ok(Streaming { _requests: requests, body: response.into_body(), arrived: BytesMut::new() }),
    }
}

async fn send(
    sender: &mut Sender,
    uri: &str,
    headers: &HeaderMap,
    body: UnsyncBoxBody<Bytes, Infallible>,
) -> Result<Response<Incoming>, Error> {
    let mut request = Request::post(uri)
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .header(http::header::TE, "trailers")
        .body(body)
        .map_err(transport)?;
    request.headers_mut().extend(headers.clone());
    let response = sender.send_request(request).await.map_err(unsent)?;
    match response.status() {
        http::StatusCode::OK => Ok(response),
        status => Err(transport(format!("the server speaks no gRPC: it answered {status}"))),
    }
}

/// A request that was still waiting for the connection when that ended was not sent.
fn unsent(error: hyper::Error) -> Error {
    let was_waiting = error.is_canceled();
    match transport(error) {
        Error::Transport(why) if was_waiting => Error::Unreachable(why),
        other => other,
    }
}

/// The messages of a server, as they come. Dropping it ends the call.
pub struct Streaming {
    /// The call lasts as long as our side of it is open.
    _requests: mpsc::Sender<Bytes>,
    body: Incoming,
    arrived: BytesMut,
}

impl Streaming {
    /// The next message; nothing when the server has ended the call well. May be dropped at any time.
    pub async fn message<A: Message + Default>(&mut self) -> Result<Option<A>, Error> {
        loop {
            if let Some(message) = unframe(&mut self.arrived)? {
                return A::decode(message).map(Some).map_err(transport);
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(transport)?;
            match (frame.data_ref(), frame.trailers_ref().and_then(failure)) {
                (Some(data), _) => self.arrived.extend_from_slice(data),
                (None, Some(failure)) => return Err(failure),
                (None, None) => {}
            }
        }
    }
}

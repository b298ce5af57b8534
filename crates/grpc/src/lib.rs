//! Unary gRPC calls, without TLS. Calls are rare: each has a connection of its own.

use std::path::PathBuf;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Flag and length in front of a message.
const FRAME: usize = 5;
/// Codes of failures that may not come again. (upstream: the retryable codes of OTLP)
const PASSING: [u32; 7] = [1, 4, 8, 10, 11, 14, 15];

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A name that begins with a zero byte is one of the abstract namespace.
    Unix(PathBuf),
    /// `host:port`
    Tcp(String),
}

#[derive(Clone, Debug)]
pub struct Client {
    pub endpoint: Endpoint,
    pub timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("deadline exceeded")]
    Deadline,
    #[error("{0}")]
    Transport(String),
    #[error("rpc error: code = {code} desc = {message}")]
    Status { code: u32, message: String },
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Deadline | Self::Transport(_) => true,
            Self::Status { code, .. } => PASSING.contains(code),
        }
    }
}

fn transport(error: impl std::fmt::Display) -> Error {
    Error::Transport(error.to_string())
}

impl Client {
    /// Calls `/package.Service/Method`. May be dropped at any time.
    pub async fn call<Q: Message, A: Message + Default>(&self, path: &str, request: &Q) -> Result<A, Error> {
        let calling = self.send(path, frame(request));
        let answer = tokio::time::timeout(self.timeout, calling).await.map_err(|_| Error::Deadline)??;
        A::decode(answer).map_err(transport)
    }

    async fn send(&self, path: &str, body: Bytes) -> Result<Bytes, Error> {
        match &self.endpoint {
            Endpoint::Unix(socket) => exchange(UnixStream::connect(socket).await.map_err(transport)?, path, body).await,
            Endpoint::Tcp(address) => exchange(TcpStream::connect(address).await.map_err(transport)?, path, body).await,
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
    body: Bytes,
) -> Result<Bytes, Error> {
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(transport)?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://localhost{path}"))
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .header(http::header::TE, "trailers")
        .body(Full::new(body))
        .map_err(transport)?;
    let response = sender.send_request(request).await.map_err(transport)?;
    let in_head = failure(response.headers());
    let body = response.into_body().collect().await.map_err(transport)?;
    connection.abort();
    if let Some(failure) = body.trailers().and_then(failure).or(in_head) {
        return Err(failure);
    }
    let framed = body.to_bytes();
    if framed.len() < FRAME { Err(transport("the answer is cut short")) } else { Ok(framed.slice(FRAME..)) }
}

/// What went wrong, by the code and the message in headers or trailers.
fn failure(headers: &HeaderMap) -> Option<Error> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let code = text("grpc-status");
    let failed = !["", "0"].contains(&code);
    // 2 is what a code that says nothing stands for.
    failed.then(|| Error::Status { code: code.parse().unwrap_or(2), message: text("grpc-message").to_owned() })
}

fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(length + FRAME);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    message.encode(&mut frame).expect("a buffer grows as it must");
    frame.freeze()
}

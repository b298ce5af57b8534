//! gRPC as a client.
//!
//! [`Client`] makes unary calls that are rare, each on a connection of its own and without TLS. A [`Channel`]
//! keeps a connection to one of several servers, with TLS where they want it, for calls and for streams.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

mod call;
mod channel;
mod frame;

pub use call::Streaming;
pub use channel::{Channel, Connection, Server};

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
    /// No server takes a connection: nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Transport(String),
    #[error("rpc error: code = {code} desc = {message}")]
    Status { code: u32, message: String },
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Deadline | Self::Unreachable(_) | Self::Transport(_) => true,
            Self::Status { code, .. } => PASSING.contains(code),
        }
    }
}

/// With what caused it: an alert of TLS stands behind a "connection error".
fn transport(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = error.into();
    let first: &dyn std::error::Error = &*error;
    let causes = std::iter::successors(Some(first), |cause| cause.source());
    Error::Transport(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

impl Client {
    /// Calls `/package.Service/Method`. May be dropped at any time.
    pub async fn call<Q: Message, A: Message + Default>(&self, path: &str, request: &Q) -> Result<A, Error> {
        let calling = self.send(path, frame::frame(request));
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
    let (mut sender, driver) = call::handshake(stream, None).await?;
    let answer = call::unary(&mut sender, &format!("http://localhost{path}"), &HeaderMap::new(), body).await;
    driver.abort();
    answer
}

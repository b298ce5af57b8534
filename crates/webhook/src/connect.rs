//! One connection: name, address, TLS.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Config;
use crate::error::{self, Error};
use crate::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence after which a peer's kernel is asked whether it is there, and how often, each second.
const PROBE_AFTER_SECONDS: u32 = 4;
const PROBES: u32 = 4;

/// Finds where a server is, such as that of a Service.
pub trait Resolve: Send + Sync {
    /// `address:port` for the host and port of a URL; the error says why there is none.
    fn resolve(&self, host: &str, port: u16) -> Result<String, String>;
}

/// Makes connections to servers, for a pool of them. Clones are alike.
#[derive(Clone)]
pub struct Connector {
    tls: Arc<rustls::ClientConfig>,
    server_name: Option<ServerName<'static>>,
    resolver: Option<Arc<dyn Resolve>>,
}

/// What the pool of connections is told of a connection that was not made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

impl Connector {
    pub(crate) fn new(config: Config, http1: bool) -> Result<Self, Error> {
        let tls = tls::client(&config.trust, config.identity.as_ref(), http1)?;
        Self::over(tls, config.server_name, config.resolver)
    }

    /// With TLS of its own; `server_name` is in the servers' certificates, if not the host of the URL.
    pub fn over(
        tls: rustls::ClientConfig,
        server_name: Option<String>,
        resolver: Option<Arc<dyn Resolve>>,
    ) -> Result<Self, Error> {
        let name = |name: String| ServerName::try_from(name).map_err(|error| Error::Config(error.to_string()));
        Ok(Self { tls: Arc::new(tls), server_name: server_name.map(name).transpose()?, resolver })
    }

    async fn connect(self, uri: Uri) -> Result<Stream, ConnectError> {
        if uri.scheme_str() != Some("https") {
            return Err(ConnectError(format!(
                "unsupported protocol scheme {:?}",
                uri.scheme_str().unwrap_or_default()
            )));
        }
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(443);
        let address = match &self.resolver {
            Some(resolver) => resolver.resolve(host, port).map_err(ConnectError)?,
            None => format!("{host}:{port}"),
        };
        let dialed = TcpStream::connect(&address).await.and_then(|stream| set_up(&stream).map(|()| stream));
        let stream = dialed.map_err(|error| ConnectError(error::dial(&address, &error)))?;
        let name = match self.server_name {
            Some(name) => name,
            None => ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                .map_err(|error| ConnectError(error.to_string()))?,
        };
        let shaken = TlsConnector::from(self.tls).connect(name, stream).await;
        shaken.map(|stream| Stream(TokioIo::new(stream))).map_err(|error| ConnectError(error::handshake(&error)))
    }
}

/// A peer whose machine is gone says nothing: the kernel asks after it, so that who waits for a watch is told.
fn set_up(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &PROBE_AFTER_SECONDS)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &1)?;
    setsockopt(stream, sockopt::TcpKeepCount, &PROBES)?;
    // Of what was sent and is not acknowledged.
    Ok(setsockopt(stream, sockopt::TcpUserTimeout, &((PROBE_AFTER_SECONDS + PROBES) * 1000))?)
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.clone().connect(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectError("dial tcp: i/o timeout".to_owned())),
            }
        })
    }
}

/// A connection of the pool, which wants to know what it speaks.
pub struct Stream(TokioIo<TlsStream<TcpStream>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let (_, session) = self.0.inner().get_ref();
        if session.alpn_protocol() == Some(b"h2") { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

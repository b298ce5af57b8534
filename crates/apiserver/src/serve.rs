//! The listener: TCP, TLS, HTTP/1.1 and HTTP/2 on one port.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use auth::authn::ClientCertificate;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tower::util::MapRequest;

use crate::access::ClientAddress;
use crate::pace::{Pace, UNREAD_MAX};
use crate::server::{ApiService, Server};

/// Requests that one HTTP/2 connection may have open: the informers of a client share a connection.
const STREAMS_MAX: u32 = 1000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that a request's head may have, and that are held for a client that does not read as fast as it is sent to.
const BUFFER_BYTES: usize = 128 << 10;
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long requests may go on after the server is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last traces may take to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait after an accept fails, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Server {
    /// Serves until `shutdown` and a delay; then ends watches, lets requests finish for a while, and returns.
    ///
    /// Without `tls` the connection is plain, which is for tests. Dropping the future closes the listener
    /// and leaves open connections to themselves.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(self.config().limits.connections));
        let acceptor = tls.map(TlsAcceptor::from);
        let mut stop = std::pin::pin!(self.stop(shutdown));
        loop {
            let accepting = async {
                let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                accepted = accepting => accepted,
                () = &mut stop => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (server, acceptor) = (self.clone(), acceptor.clone());
            connections.spawn(async move {
                server.connection(stream, peer.ip(), acceptor).await;
                drop(place);
            });
        }
        drop(listener);
        self.closing().cancel();
        connections.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "connections are still open");
        }
        self.flush_audit_log();
        if let Some(tracer) = self.tracer()
            && tokio::time::timeout(FLUSH_TIMEOUT, tracer.flush()).await.is_err()
        {
            tracing::warn!("the last traces could not be sent");
        }
        Ok(())
    }

    /// Ends once nobody should come any more: those who look at whether the server is ready were given time to see
    /// that it is not.
    async fn stop(&self, shutdown: CancellationToken) {
        shutdown.cancelled().await;
        self.stopping().cancel();
        tokio::time::sleep(self.config().limits.shutdown_delay).await;
    }

    async fn connection(&self, stream: TcpStream, address: IpAddr, acceptor: Option<TlsAcceptor>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone");
            return;
        }
        let Some(acceptor) = acceptor else { return self.http(stream, Peer { address, certificate: None }).await };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let certificate = certificates.map(|chain| ClientCertificate::from(chain.to_vec()));
                self.http(stream, Peer { address, certificate }).await;
            }
            Ok(Err(error)) => {
                self.counts().broken_handshakes.inc();
                tracing::debug!(%error, "TLS handshake error");
            }
            Err(_) => {
                self.counts().broken_handshakes.inc();
                tracing::debug!("TLS handshake timed out");
            }
        }
    }

    async fn http(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let pace = Pace::default();
        // Nobody but the audit log and traces ask where a request comes from.
        let asked = self.audit().is_some() || self.tracer().is_some();
        let address = asked.then_some(ClientAddress(peer.address));
        let service = with_connection(self.service(), peer.certificate, address, pace.clone());
        let service = TowerToHyperService::new(service);
        let builder = builder();
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        let closing = self.closing();
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = pace.stalled() => {
                tracing::info!(after = ?UNREAD_MAX, "a client that does not read is cut off");
                return;
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "the connection broke");
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .max_send_buf_size(BUFFER_BYTES)
        .max_header_list_size(BUFFER_BYTES as u32)
        .adaptive_window(true);
    builder
}

type Incoming = http::Request<hyper::body::Incoming>;

/// Who is at the other end of a connection.
struct Peer {
    address: IpAddr,
    certificate: Option<ClientCertificate>,
}

/// Tells each request about the connection it came by.
fn with_connection(
    service: ApiService,
    certificate: Option<ClientCertificate>,
    address: Option<ClientAddress>,
    pace: Pace,
) -> MapRequest<ApiService, impl FnMut(Incoming) -> Incoming + Clone> {
    service.map_request(move |mut request: Incoming| {
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        request.extensions_mut().insert(pace.clone());
        if let Some(address) = address {
            request.extensions_mut().insert(address);
        }
        request
    })
}

//! One request passed on to a backend, with its body streamed, and its connection where it is upgraded.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kinds::KindDef;
use machinery::ApiError;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::body::{self, Body};
use crate::call::Call;
use crate::respond::Answer;
use crate::server::Server;

/// Where a request is passed on to.
pub struct Backend {
    /// `host:port`
    pub address: String,
    pub secure: Secure,
    /// Path and query there.
    pub path: String,
}

/// How a backend is spoken to.
pub enum Secure {
    Not,
    /// By TLS, as nobody, with whoever answers: pods and ports of nodes have certificates of their own choice, and must
    /// not be taken in by the server's.
    Anyone,
    /// By TLS, as the client that nodes trust.
    Node,
    /// By TLS of its own, with a server of this name.
    As {
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    },
}

impl Secure {
    /// As the scheme of a proxied request says.
    pub fn proxied(tls: bool) -> Self {
        if tls { Self::Anyone } else { Self::Not }
    }
}

static ANYONE: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let config = webhook::client_config(&webhook::Trust::Anyone, None, true);
    Arc::new(config.expect("it names no certificate that could be unreadable"))
});

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Headers that hold for one connection only.
const HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Headers that speak to this server alone.
const OURS: [HeaderName; 2] = [header::AUTHORIZATION, header::HOST];

/// Passes the request on and answers what the backend answers.
pub async fn forward(
    server: &Server,
    call: &mut Call,
    kind: Option<&'static KindDef>,
    backend: Backend,
) -> Result<Answer, ApiError> {
    let running = server.metrics().long_running(&call.info, kind);
    let upgrade = call.headers().get(header::UPGRADE).cloned();
    let client = call.parts.extensions.remove::<OnUpgrade>();
    let request = request(call, &backend, upgrade.as_ref())?;
    let mut sender = connect(server, &backend).await?;
    let mut response = sender.send_request(request).await.map_err(|error| unreachable(&backend, &error.to_string()))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (mut parts, incoming) = response.into_parts();
        strip(&mut parts.headers, &HOP);
        parts.version = Version::default();
        return Ok(Response::from_parts(parts, body::guarded(body::boxed(incoming), running)));
    }
    let client = client.ok_or_else(|| ApiError::bad_request("Upgrade request required"))?;
    let node = hyper::upgrade::on(&mut response);
    let closing = server.closing();
    tokio::spawn(async move {
        tunnel(client, node, closing).await;
        drop(running);
    });
    let (parts, _) = response.into_parts();
    Ok(Response::from_parts(parts, body::empty()))
}

fn request(call: &mut Call, backend: &Backend, upgrade: Option<&HeaderValue>) -> Result<Request<Body>, ApiError> {
    let mut request = Request::new(call.take_body());
    *request.method_mut() = call.parts.method.clone();
    *request.uri_mut() = backend.path.parse().map_err(|error| ApiError::bad_request(format!("bad path: {error}")))?;
    let mut headers = call.parts.headers.clone();
    strip(&mut headers, &HOP);
    strip(&mut headers, &OURS);
    let impersonation: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    strip(&mut headers, &impersonation);
    let host = HeaderValue::try_from(&backend.address).map_err(ApiError::internal)?;
    headers.insert(header::HOST, host);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    *request.headers_mut() = headers;
    Ok(request)
}

fn strip(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

async fn connect(server: &Server, backend: &Backend) -> Result<SendRequest<Body>, ApiError> {
    let connecting = open(server, backend);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(|why| unreachable(backend, &why)),
        Err(_) => Err(unreachable(backend, &format!("dial tcp {}: i/o timeout", backend.address))),
    }
}

/// Upstream's text and code differ between a node and what is proxied to.
fn unreachable(backend: &Backend, why: &str) -> ApiError {
    if matches!(backend.secure, Secure::Node) {
        ApiError::internal(format!("error dialing backend: {why}"))
    } else {
        ApiError::unavailable(format!("error trying to reach service: {why}"))
    }
}

async fn open(server: &Server, backend: &Backend) -> Result<SendRequest<Body>, String> {
    let dial = |error| webhook::dial(&backend.address, &error);
    let stream = TcpStream::connect(&backend.address).await.map_err(dial)?;
    stream.set_nodelay(true).map_err(dial)?;
    let host = || {
        let host = backend.address.rsplit_once(':').map_or(backend.address.as_str(), |(host, _)| host);
        ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|error| error.to_string())
    };
    let (config, name) = match &backend.secure {
        Secure::Not => return handshake(stream).await,
        Secure::As { config, name } => (config.clone(), name.clone()),
        Secure::Anyone => (ANYONE.clone(), host()?),
        Secure::Node => {
            let config = server.config().node_tls.clone();
            (config.ok_or("no client certificate for nodes is set up")?, host()?)
        }
    };
    let stream = TlsConnector::from(config).connect(name, stream).await;
    handshake(stream.map_err(|error| webhook::handshake(&error))?).await
}

async fn handshake(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<SendRequest<Body>, String> {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "the connection to a backend broke");
        }
    });
    Ok(sender)
}

/// Copies both ways until both sides are done, one breaks, or the server closes.
async fn tunnel(client: OnUpgrade, node: OnUpgrade, closing: CancellationToken) {
    let (client, node) = match tokio::try_join!(client, node) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade failed");
            return;
        }
    };
    let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut client, &mut node) => match copied {
            Ok((sent, received)) => tracing::debug!(sent, received, "a tunnel ended"),
            Err(error) => tracing::debug!(%error, "a tunnel broke"),
        },
        () = closing.cancelled() => {}
    }
}

/// The start of a body as text; what can not be read is left out.
pub async fn read_some(mut body: Body, limit: usize) -> String {
    let mut read = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        read.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
        if read.len() >= limit {
            read.truncate(limit);
            break;
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

//! Requests over TLS: as fast as they are answered on some keep-alive HTTP/1.1 connections, or many at once on
//! one of HTTP/2.
//!
//! A connection of HTTP/1.1 sends its next request when the last one was answered in full (a closed loop). Bodies
//! are read to their end and thrown away, as parsing them would cost the server's share of the processor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::ConfigExt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// One request may take this long.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// An API server, and the certificate that we show it.
pub struct Target {
    /// `host:port`
    address: String,
    server_name: ServerName<'static>,
    tls: ClientConfig,
}

impl Target {
    /// Shows the client certificate of the configuration; tokens and plugins are not looked at.
    pub fn new(config: &kube::Config) -> anyhow::Result<Self> {
        let host = config.cluster_url.host().context("the server's URL has no host")?;
        let port = config.cluster_url.port_u16().unwrap_or(443);
        let server_name = config.tls_server_name.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(server_name.trim_matches(['[', ']']).to_owned())?;
        Ok(Self { address: format!("{host}:{port}"), server_name, tls: config.rustls_client_config()? })
    }

    async fn connect(&self, protocol: &str) -> anyhow::Result<TokioIo<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![protocol.into()];
        let stream = TlsConnector::from(Arc::new(tls)).connect(self.server_name.clone(), stream).await?;
        Ok(TokioIo::new(stream))
    }

    pub fn get(&self, path: &str) -> Request<Full<Bytes>> {
        self.request(Method::GET, path, Bytes::new())
    }

    /// Makes an object of its JSON.
    pub fn post(&self, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        self.request(Method::POST, path, body.into())
    }

    /// Replaces an object, whatever its revision.
    pub fn put(&self, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        self.request(Method::PUT, path, body.into())
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let request = Request::builder().method(method).uri(path).header(HOST, &self.address);
        request.header(CONTENT_TYPE, "application/json").body(Full::new(body)).expect("paths of measurements are URIs")
    }
}

pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub async fn open(target: &Target) -> anyhow::Result<Self> {
        let (sender, connection) = http1::handshake(target.connect("http/1.1").await?).await?;
        // Its end shows in the sender.
        let driver = tokio::spawn(async move { connection.await.ok() }).abort_handle();
        Ok(Self { sender, driver })
    }

    /// Sends a request that must succeed; says how long the answer's body was.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<u64> {
        let exchange = async {
            let what = format!("{} {}", request.method(), request.uri());
            // The last answer was read, but its end may not have been dealt with.
            self.sender.ready().await.with_context(|| what.clone())?;
            let response = self.sender.send_request(request).await.with_context(|| what.clone())?;
            read(response).await.context(what)
        };
        tokio::time::timeout(REQUEST_LIMIT, exchange).await.context("no answer")?
    }

    /// Sends a request and leaves its answer unread.
    pub async fn begin(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        successful(self.sender.send_request(request).await?).await
    }
}

/// One connection of HTTP/2 with as many requests at once as the server allows; it ends with its last holder.
#[derive(Clone)]
pub struct Shared(http2::SendRequest<Full<Bytes>>);

impl Shared {
    pub async fn open(target: &Target) -> anyhow::Result<Self> {
        let io = target.connect("h2").await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        // Its end shows in the sender.
        tokio::spawn(async move { connection.await.ok() });
        Ok(Self(sender))
    }

    /// The body of an answer that must be a success.
    pub async fn begin(&self, target: &Target, path: &str) -> anyhow::Result<Incoming> {
        let mut request = target.get(path);
        *request.uri_mut() = format!("https://{}{path}", target.address).parse()?;
        Ok(successful(self.0.clone().send_request(request).await?).await?.into_body())
    }
}

async fn successful(response: Response<Incoming>) -> anyhow::Result<Response<Incoming>> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    bail!("{status}: {}", String::from_utf8_lossy(&text));
}

async fn read(response: Response<Incoming>) -> anyhow::Result<u64> {
    let mut body = successful(response).await?.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(length)
}

/// When to stop sending: at whichever comes first.
#[derive(Clone, Copy)]
pub struct Bound {
    pub requests: u64,
    pub time: Duration,
}

#[derive(Default)]
pub struct Outcome {
    pub latencies: Vec<Duration>,
    pub bytes: u64,
    pub elapsed: Duration,
}

impl Outcome {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends `request(0)`, `request(1)`, ... over some connections; fails with the first request that fails.
pub async fn run(
    target: &Arc<Target>,
    connections: usize,
    bound: Bound,
    request: impl Fn(&Target, u64) -> Request<Full<Bytes>> + Send + Sync + 'static,
) -> anyhow::Result<Outcome> {
    let opened = futures::future::try_join_all((0..connections).map(|_| Connection::open(target))).await?;
    let (next, request) = (Arc::new(AtomicU64::new(0)), Arc::new(request));
    let mut workers = JoinSet::new();
    let started = clock::monotonic();
    for mut connection in opened {
        let (target, next, request) = (target.clone(), next.clone(), request.clone());
        workers.spawn(async move {
            let mut outcome = Outcome::default();
            while started.elapsed() < bound.time {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= bound.requests {
                    break;
                }
                let sent = clock::monotonic();
                outcome.bytes += connection.send(request(&target, index)).await?;
                outcome.latencies.push(sent.elapsed());
            }
            anyhow::Ok(outcome)
        });
    }
    let mut sum = Outcome::default();
    while let Some(ended) = workers.join_next().await {
        let outcome = ended??;
        sum.latencies.extend(outcome.latencies);
        sum.bytes += outcome.bytes;
    }
    sum.elapsed = started.elapsed();
    ensure!(!sum.latencies.is_empty(), "no request was sent");
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_requests_over_time() {
        let outcome =
            Outcome { latencies: vec![Duration::from_millis(1); 50], bytes: 0, elapsed: Duration::from_millis(250) };
        assert_eq!(outcome.rate(), 200.0);
    }

    #[test]
    fn requests_name_the_host_of_their_target() {
        let config = kube::Config::new("https://[::1]:6443".parse().unwrap());
        let target = Target::new(&config).unwrap();
        assert_eq!(target.address, "[::1]:6443");
        let request = target.get("/readyz");
        assert_eq!((request.headers()[HOST].as_bytes(), request.uri().path()), (&b"[::1]:6443"[..], "/readyz"));
    }
}

//! HTTPS calls to servers that a configuration names, such as webhooks and issuers of tokens.
//!
//! A [`Client`] keeps connections to its servers, shows them a certificate where it has one, and bounds how long an
//! answer may take and how large it may be. Errors read as those of Go's clients, which people look for.

mod connect;
mod error;
pub mod testing;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

pub use connect::{ConnectError, Connector, Resolve, Stream};
pub use error::{Error, dial, handshake};
pub use tls::{Identity, Trust, Unverified, client_config};

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long a connection waits for its next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How many connections to one server wait for their next request.
const IDLE_MAX: usize = 8;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How servers are known and reached, and what they are shown.
#[derive(Clone, Default)]
pub struct Config {
    pub trust: Trust,
    /// The name in the server's certificate, where it is not the host of the URL.
    pub server_name: Option<String>,
    pub identity: Option<Identity>,
    /// Finds addresses; without it the system's names are asked.
    pub resolver: Option<Arc<dyn Resolve>>,
}

/// What is not left to the server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A connection carries one request at a time.
    pub http1: bool,
    /// The most of an answer that is read.
    pub answer_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { http1: false, answer_bytes_max: ANSWER_BYTES_MAX }
    }
}

/// Clones share connections.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    answer_bytes_max: usize,
}

impl Client {
    /// Fails if certificates or the key cannot be read.
    pub fn new(config: Config) -> Result<Self, Error> {
        Self::bounded(config, Bounds::default())
    }

    /// The same within other bounds.
    pub fn bounded(config: Config, bounds: Bounds) -> Result<Self, Error> {
        Ok(Self::with(Connector::new(config, bounds.http1)?, bounds))
    }

    /// A client with TLS of its own, to servers whose certificates bear `server_name`, if not the host of the URL.
    pub fn over(tls: rustls::ClientConfig, server_name: Option<String>) -> Result<Self, Error> {
        Ok(Self::with(Connector::over(tls, server_name, None)?, Bounds::default()))
    }

    fn with(connector: Connector, bounds: Bounds) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self { http, answer_bytes_max: bounds.answer_bytes_max }
    }

    /// Sends the text of a JSON document and reads the one that is answered.
    pub async fn post_json(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Value, Error> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        request.headers_mut().insert(ACCEPT, JSON);
        json(self.send(url, request, timeout).await?)
    }

    pub async fn get_json(&self, url: &str, timeout: Duration) -> Result<Value, Error> {
        json(self.get(url, HeaderMap::new(), timeout).await?)
    }

    /// The whole answer, whatever its status.
    pub async fn get(&self, url: &str, headers: HeaderMap, timeout: Duration) -> Result<Response<Bytes>, Error> {
        let mut request = Request::new(Bytes::new());
        *request.headers_mut() = headers;
        request.headers_mut().entry(ACCEPT).or_insert(JSON);
        self.send(url, request, timeout).await
    }

    /// Sends a request, whose URI is `url`, and reads the whole answer, whatever its status.
    pub async fn send(&self, url: &str, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, Error> {
        let (mut parts, body) = request.into_parts();
        let method = parts.method.clone();
        let failed = |why: String| Error::failed(&method, url, why);
        parts.uri = url.parse().map_err(|error| failed(format!("{error}")))?;
        let exchange = async {
            let answer = self.http.request(Request::from_parts(parts, Full::from(body))).await;
            let (head, body) = answer.map_err(|error| failed(error::cause(&error)))?.into_parts();
            let body = Limited::new(body, self.answer_bytes_max).collect().await.map_err(|error| {
                let too_large = error.downcast_ref::<LengthLimitError>().is_some();
                failed(if too_large { "the answer is too large".to_owned() } else { error::cause(&*error) })
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::Timeout { method, url: url.to_owned() }),
        }
    }
}

fn json(answer: Response<Bytes>) -> Result<Value, Error> {
    if !answer.status().is_success() {
        return Err(Error::status(answer.status(), answer.body()));
    }
    serde_json::from_slice(answer.body()).map_err(|error| Error::NotJson(error.to_string()))
}

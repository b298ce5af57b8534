//! A client of the servers whose certificate can be replaced while it is used.
//!
//! It speaks HTTP/2 and asks the server it speaks to whether it is there: one that hangs while its kernel keeps the
//! connection is left for another.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use auth::tls::{self, Identity, Trust};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::Config;
use kube::client::middleware::BaseUriLayer;
use kube::client::{Body, ConfigExt as _};
use tower::ServiceBuilder;
use webhook::Connector;

use super::servers::{Dial, Servers};

/// What all servers show to be called, wherever they are.
const NAME: &str = "kubernetes.default.svc";

/// How often a server is asked whether it is there, and how long it may take to say so.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Connections that watches are spread over: servers take a thousand on each, and a full node follows every object that
/// its pods name.
const WATCH_CONNECTIONS: usize = 4;

/// Connections for watches, and one for all else.
struct Pool {
    watches: [legacy::Client<Dial, Body>; WATCH_CONNECTIONS],
    rest: legacy::Client<Dial, Body>,
}

/// Connections that all show the same certificate; clones share them.
#[derive(Clone)]
pub struct Connections {
    pool: Arc<ArcSwap<Pool>>,
    trust: Trust,
    identity: Arc<Identity>,
    servers: Servers,
}

impl Connections {
    pub fn new(trust: &Trust, (certificate, key): &(String, String), servers: Servers) -> anyhow::Result<Self> {
        let identity = Identity::from_pem(certificate, key)?;
        let pool = Arc::new(ArcSwap::from_pointee(pool(trust, Some(identity.clone()), &servers)?));
        Ok(Self { pool, trust: trust.clone(), identity, servers })
    }

    pub fn client(&self) -> kube::Client {
        kube::Client::new(ServiceBuilder::new().layer(base_uri()).service(self.clone()), "default")
    }

    /// Shows this certificate from the next request on. What is under way goes on by the one before.
    pub fn replace(&self, (certificate, key): &(String, String)) -> anyhow::Result<()> {
        self.identity.replace(certificate, key)?;
        self.pool.store(Arc::new(pool(&self.trust, Some(self.identity.clone()), &self.servers)?));
        Ok(())
    }
}

/// A client of a machine that has no certificate yet.
pub fn by_token(trust: &Trust, token: &str, servers: &Servers) -> anyhow::Result<kube::Client> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
    bearer.set_sensitive(true);
    let pool = Arc::new(pool(trust, None, servers)?);
    let send = move |mut request: http::Request<Body>| {
        request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        pool.connection(request.uri()).request(request)
    };
    let service = ServiceBuilder::new().layer(base_uri()).service_fn(send);
    Ok(kube::Client::new(service, "default"))
}

fn base_uri() -> BaseUriLayer {
    Config::new(http::Uri::from_static("https://kubernetes.default.svc")).base_uri_layer()
}

fn pool(trust: &Trust, identity: Option<Arc<Identity>>, servers: &Servers) -> anyhow::Result<Pool> {
    let mut tls = tls::following(trust, identity)?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let dial = Dial { servers: servers.clone(), connector: Connector::over(tls, Some(NAME.to_owned()), None)? };
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).http2_only(true);
    builder.http2_keep_alive_interval(ASK_EVERY).http2_keep_alive_timeout(ANSWER_WITHIN);
    let watches = std::array::from_fn(|_| builder.build(dial.clone()));
    Ok(Pool { watches, rest: builder.build(dial) })
}

impl Pool {
    fn connection(&self, uri: &http::Uri) -> &legacy::Client<Dial, Body> {
        let mut words = uri.query().into_iter().flat_map(|query| query.split('&'));
        if !words.any(|word| word == "watch=true") {
            return &self.rest;
        }
        let mut hasher = DefaultHasher::new();
        uri.hash(&mut hasher);
        &self.watches[hasher.finish() as usize % WATCH_CONNECTIONS]
    }
}

impl tower::Service<http::Request<Body>> for Connections {
    type Response = http::Response<Incoming>;
    type Error = legacy::Error;
    type Future = legacy::ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.pool.load().connection(request.uri()).request(request)
    }
}

#[cfg(test)]
mod tests {
    use auth::pki::{Authority, LeafSpec};
    use auth::tls::ClientAuth;
    use http::{Request, Response};
    use tokio::net::TcpListener;
    use webhook::testing::{Asked, serve};

    use super::*;

    #[tokio::test]
    async fn a_token_is_shown_to_whichever_server_answers() {
        let authority = Authority::create("ca").unwrap();
        let (certificate, key) = authority.issue(&LeafSpec::server("api", vec![NAME.to_owned()], vec![])).unwrap();
        let tls = tls::server_config(Identity::from_pem(&certificate, &key).unwrap(), ClientAuth::None).unwrap();
        let answer = |asked: Asked| Response::new(asked.headers[AUTHORIZATION].to_str().unwrap().to_owned());
        let live = serve(tls, move |asked| Box::pin(std::future::ready(answer(asked)))).await;
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let urls = [dead.local_addr().unwrap(), live.address].map(|address| format!("https://{address}"));
        // It takes connections and ends them.
        tokio::spawn(async move {
            while let Ok((connection, _)) = dead.accept().await {
                drop(connection);
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let servers = Servers::open(&urls, directory.path().join("servers")).unwrap();
        let trust = Trust::new(authority.certificate_pem().unwrap()).unwrap();
        let client = by_token(&trust, "abcdef.0123456789abcdef", &servers).unwrap();
        let told = client.request_text(Request::get("/").body(Vec::new()).unwrap()).await.unwrap();
        assert_eq!(told, "Bearer abcdef.0123456789abcdef");
    }
}

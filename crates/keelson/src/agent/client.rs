//! A client of the servers whose certificate can be replaced while it is used.

use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use auth::tls::{self, Identity, Trust};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::Config;
use kube::client::{Body, ConfigExt as _};
use tower::ServiceBuilder;
use webhook::Connector;

use super::servers::{Dial, Servers};

/// What all servers show to be called, wherever they are.
const NAME: &str = "kubernetes.default.svc";

type Pool = legacy::Client<Dial, Body>;

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
        let pool = Arc::new(ArcSwap::from_pointee(pool(trust, &identity, &servers)?));
        Ok(Self { pool, trust: trust.clone(), identity, servers })
    }

    pub fn client(&self) -> kube::Client {
        let config = Config::new(http::Uri::from_static("https://kubernetes.default.svc"));
        let service = ServiceBuilder::new().layer(config.base_uri_layer()).service(self.clone());
        kube::Client::new(service, "default")
    }

    /// Shows this certificate from the next request on. What is under way goes on by the one before.
    pub fn replace(&self, (certificate, key): &(String, String)) -> anyhow::Result<()> {
        self.identity.replace(certificate, key)?;
        self.pool.store(Arc::new(pool(&self.trust, &self.identity, &self.servers)?));
        Ok(())
    }
}

fn pool(trust: &Trust, identity: &Arc<Identity>, servers: &Servers) -> anyhow::Result<Pool> {
    let tls = tls::following(trust, Some(identity.clone()))?;
    let connector = Connector::over(tls, Some(NAME.to_owned()), None)?;
    let builder = &mut legacy::Client::builder(TokioExecutor::new());
    Ok(builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build(Dial { servers: servers.clone(), connector }))
}

impl tower::Service<http::Request<Body>> for Connections {
    type Response = http::Response<Incoming>;
    type Error = legacy::Error;
    type Future = legacy::ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.pool.load().request(request)
    }
}

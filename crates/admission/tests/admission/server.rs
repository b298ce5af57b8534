//! A webhook of a test: a server on the loopback, with a certificate of its own authority.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auth::pki::{Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The response of an AdmissionReview, to which the uid of the request is added.
    Response(Value),
    Raw(u16, String),
    /// Nothing ever.
    Never,
}

impl Answer {
    pub fn allow() -> Self {
        Self::Response(json!({"allowed": true}))
    }

    pub fn deny(message: &str) -> Self {
        Self::Response(json!({"allowed": false, "status": {"message": message}}))
    }

    /// Allows, and changes the object by a JSON patch.
    pub fn patch(operations: &Value) -> Self {
        let patch = STANDARD.encode(operations.to_string());
        Self::Response(json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
    }
}

type Handler = dyn Fn(&Value) -> Answer + Send + Sync;

/// Runs until it is dropped.
pub struct Server {
    pub port: u16,
    /// `caBundle`
    pub authorities: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    answer: Box<Handler>,
    asked: Mutex<Vec<Value>>,
    connections: AtomicUsize,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Serves on the loopback, as `localhost` and as the service `guard` of the namespace `shop`. `answer` is given
    /// what was asked.
    ///
    /// # Panics
    /// If it can not listen.
    pub async fn start(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        let authority = Authority::create("webhooks").expect("an authority");
        let tls = tls_of(&authority, ClientAuth::None);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback");
        let port = listener.local_addr().expect("it listens").port();
        let shared = Arc::new(Shared { answer: Box::new(answer), asked: Mutex::default(), connections: 0.into() });
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), shared.clone()));
        let authorities = STANDARD.encode(authority.certificate_pem().expect("a certificate"));
        Self { port, authorities, shared, task }
    }

    /// Its `clientConfig`, by URL.
    pub fn client_config(&self) -> Value {
        json!({"url": format!("https://localhost:{}/check", self.port), "caBundle": self.authorities})
    }

    /// What it was asked since the last look: the requests of the reviews.
    pub fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.shared.asked.lock())
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

/// What a server shows that the authority vouches for.
pub fn tls_of(authority: &Authority, clients: ClientAuth<'_>) -> rustls::ServerConfig {
    let names = ["localhost", "guard.shop.svc"].map(str::to_owned).to_vec();
    let spec = LeafSpec::server("guard", names, vec!["127.0.0.1".parse().expect("an address")]);
    let (certificate, key) = authority.issue(&spec).expect("a certificate");
    let identity = Identity::from_pem(&certificate, &key).expect("an identity");
    tls::server_config(identity, clients).expect("settings of TLS")
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), shared.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            shared.connections.fetch_add(1, Ordering::Relaxed);
            let service = service_fn(|request| handle(&shared, request));
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            drop(served);
        });
    }
}

async fn handle(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let asked = review["request"].clone();
    let answer = (shared.answer)(&asked);
    let uid = asked["uid"].clone();
    shared.asked.lock().push(asked);
    let (status, text) = match answer {
        Answer::Response(mut response) => {
            response["uid"] = uid;
            let review = json!({
                "apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response,
            });
            (200, review.to_string())
        }
        Answer::Raw(status, text) => (status, text),
        Answer::Never => pending().await,
    };
    let answer = Response::builder().status(status).body(Full::new(Bytes::from(text)));
    Ok(answer.expect("a status that HTTP knows"))
}

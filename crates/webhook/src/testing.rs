//! A server of a test's own on the loopback, for clients that want a real one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a server was asked.
pub struct Asked {
    pub method: Method,
    /// With its port.
    pub host: String,
    /// With its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
    /// What the client showed.
    pub certificate: Option<CertificateDer<'static>>,
}

pub type Answering = std::pin::Pin<Box<dyn Future<Output = Response<String>> + Send>>;

/// Listens until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers whoever asks at a free port of the loopback.
pub async fn serve(tls: rustls::ServerConfig, answer: impl Fn(Asked) -> Answering + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
    let address = listener.local_addr().expect("it listens");
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, acceptor, answer) = (connections.clone(), TlsAcceptor::from(Arc::new(tls)), Arc::new(answer));
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(connection(stream, acceptor.clone(), answer.clone()));
        }
    });
    Server { address, connections, task }
}

async fn connection<F: Fn(Asked) -> Answering + Send + Sync + 'static>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    answer: Arc<F>,
) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.and_then(|chain| chain.first()).map(|leaf| leaf.clone().into_owned());
    let service = service_fn(move |request: Request<Incoming>| {
        let (certificate, answer) = (certificate.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
            let host = head.uri.authority().map_or(host.unwrap_or_default(), |authority| authority.as_str());
            let asked = Asked {
                method: head.method,
                host: host.to_owned(),
                path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
                headers: head.headers,
                body: String::from_utf8_lossy(&body).into_owned(),
                certificate,
            };
            Ok::<_, Infallible>(answer(asked).await.map(|body| Full::new(Bytes::from(body))))
        }
    });
    // A client that goes away ends it.
    if let Err(error) = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection broke");
    }
}

//! The node's own HTTPS API: logs, exec, attach, port-forward, statistics. Upstream's paths.
//!
//! Callers are known by their client certificates, or by their tokens; see [`auth`].

pub mod auth;
pub mod images;
pub mod logs;
pub mod metrics;
pub mod portforward;
pub mod query;
pub mod spdy;
pub mod stats;
pub mod streams;
pub mod websocket;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use containers::ContainerStatus;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use k8s_openapi::api::core::v1::Pod;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::config::Error;
use crate::container::sandbox::POD_UID_LABEL;
use crate::context::Node;
use crate::pod::observe::container_name;
use crate::pod::spec;
use crate::pods::Table;
use auth::{Access, access, check};
use query::Query;

/// How long a caller may take for the handshake, for the head of a request, and to answer a ping.
const CALLER_TIMEOUT: Duration = Duration::from_secs(32);

pub type Body = BoxBody<Bytes, Infallible>;

/// An answer that is an error: its code and its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(pub StatusCode, pub String);

impl Refusal {
    fn not_found(text: impl Into<String>) -> Refusal {
        Refusal(StatusCode::NOT_FOUND, text.into())
    }

    fn bad_request(text: impl Into<String>) -> Refusal {
        Refusal(StatusCode::BAD_REQUEST, text.into())
    }
}

impl From<containers::Error> for Refusal {
    fn from(error: containers::Error) -> Refusal {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

pub type Answer = Result<Response<Body>, Refusal>;

/// Serves the node's API.
#[derive(Clone)]
pub struct Server {
    pub node: Arc<Node>,
    pub table: Table,
    pub samples: stats::Samples,
}

impl Server {
    pub fn new(node: Arc<Node>, table: Table) -> Server {
        Server { node, table, samples: stats::Samples::default() }
    }

    /// Serves until the task is dropped; without a listener there is nothing to serve.
    pub async fn serve(self, listener: Option<TcpListener>) -> Result<(), Error> {
        let (Some(listener), Some(tls)) = (listener, self.node.config.tls.clone()) else {
            return std::future::pending().await;
        };
        images::clear_spool(&self.node.config.root_dir);
        let acceptor = TlsAcceptor::from(tls);
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(self.clone().connection(acceptor.clone(), stream));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(self, acceptor: TlsAcceptor, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "no TCP_NODELAY");
        }
        let stream = match tokio::time::timeout(CALLER_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(%error, "a TLS handshake failed"),
            Err(_) => return,
        };
        let access = access(stream.get_ref().1.peer_certificates());
        let service = service_fn(move |request| {
            let (server, access) = (self.clone(), access.clone());
            async move { Ok::<_, Infallible>(server.answer(request, access).await) }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(CALLER_TIMEOUT);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(CALLER_TIMEOUT);
        if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
            debug!(%error, "a connection ended");
        }
    }

    /// Answers one request of a caller with this access.
    pub async fn answer(&self, request: Request<Incoming>, access: Access) -> Response<Body> {
        let path = request.uri().path().to_string();
        let (parts, body) = request.into_parts();
        let answer = match check(&self.node.client, &self.node.config.node_name, access, &parts).await {
            Ok(()) => self.route(Request::from_parts(parts, body), &path).await,
            Err(refusal) => Err(refusal),
        };
        answer.unwrap_or_else(|Refusal(code, message)| response(code, "text/plain; charset=utf-8", message))
    }

    async fn route(&self, request: Request<Incoming>, path: &str) -> Answer {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["healthz"] => Ok(text("ok")),
            ["pods"] => Ok(self.pods()),
            ["configz"] => Ok(response(StatusCode::OK, "application/json", self.node.config.configz().to_string())),
            ["containerLogs", namespace, pod, container] => logs::answer(self, namespace, pod, container, &query).await,
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                streams::exec(self, request, namespace, pod, container, &query).await
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                streams::attach(self, request, namespace, pod, container, &query).await
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
                portforward::answer(self, request, namespace, pod, &query).await
            }
            ["images"] => images::answer(self.node.runtime.clone(), &self.node.config.root_dir, request, &query).await,
            ["stats", "summary"] => stats::answer(self).await,
            ["metrics", "resource"] => metrics::resource(self).await,
            ["metrics"] => metrics::of_agent(self).await,
            _ => Err(Refusal::not_found("404 page not found")),
        }
    }

    fn pods(&self) -> Response<Body> {
        let pods: Vec<Arc<Pod>> = self.table.list();
        let items: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
        let list = serde_json::json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items });
        response(StatusCode::OK, "application/json", list.to_string())
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Pod>, Refusal> {
        self.table.find(namespace, name).ok_or_else(|| Refusal::not_found("pod does not exist"))
    }

    /// All runs of a pod's container that the runtime knows, oldest first.
    async fn runs(&self, pod: &Pod, container: &str) -> Result<Vec<ContainerStatus>, Refusal> {
        let all = self.node.runtime.list_containers().await?;
        let of_pod =
            |status: &ContainerStatus| status.labels.get(POD_UID_LABEL).map(String::as_str) == Some(spec::uid(pod));
        let mut runs: Vec<_> =
            all.into_iter().filter(|status| of_pod(status) && container_name(status) == container).collect();
        runs.sort_by_key(|status| status.attempt);
        Ok(runs)
    }
}

pub fn response(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

fn text(body: impl Into<Bytes>) -> Response<Body> {
    response(StatusCode::OK, "text/plain; charset=utf-8", body)
}

/// A response whose body is what comes through the channel.
fn streamed(receiver: mpsc::Receiver<Bytes>) -> Response<Body> {
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// Logs how a streaming task ended, when it ended badly.
fn finished(what: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        debug!(%error, "{what} ended");
    }
}

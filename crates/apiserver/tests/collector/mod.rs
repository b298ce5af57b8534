//! A collector of traces for tests, by OTLP over gRPC.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use trace::otlp::{EXPORT, ExportTraceServiceRequest, Span};

/// What it was sent.
#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Collector {
    /// Serves on a thread of its own, as a process would; answers where.
    pub fn serve(&self, listener: TcpListener) -> String {
        let address = listener.local_addr().unwrap().to_string();
        listener.set_nonblocking(true).unwrap();
        let taken = self.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { taken.accept(tokio::net::TcpListener::from_std(listener).unwrap()).await });
        });
        address
    }

    async fn accept(self, listener: tokio::net::TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let taken = self.clone();
            let service = hyper::service::service_fn(move |request| take(request, taken.clone()));
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // A client that is done just goes.
            tokio::spawn(async move { drop(builder.serve_connection(TokioIo::new(stream), service).await) });
        }
    }

    pub fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
    }
}

type Answered = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn take(request: Request<Incoming>, collector: Collector) -> Result<Answered, Infallible> {
    assert_eq!(request.uri().path(), EXPORT);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let request = ExportTraceServiceRequest::decode(body.slice(5..)).unwrap();
    collector.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    let empty = Full::new(Bytes::from_static(&[0; 5])).with_trailers(std::future::ready(Some(Ok(trailers))));
    Ok(Response::builder().header("content-type", "application/grpc").body(empty.boxed_unsync()).unwrap())
}

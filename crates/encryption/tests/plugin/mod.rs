//! A KMS plugin for tests: it hides what it is given behind the number of its key.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixListener;

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    healthz: String,
    #[prost(string, tag = "3")]
    key_id: String,
}

/// An EncryptRequest and a DecryptResponse.
#[derive(Clone, PartialEq, Message)]
struct Plain {
    #[prost(bytes = "vec", tag = "1")]
    plaintext: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct EncryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    key_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct DecryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    ciphertext: Vec<u8>,
    #[prost(string, tag = "3")]
    key_id: String,
}

/// The number of its key; the highest bit: it still encrypts by the one before.
pub struct Plugin(Arc<AtomicU8>);

const BEHIND: u8 = 0x80;

impl Plugin {
    /// Serves on a thread of its own, as a process would.
    pub fn start(socket: &Path) -> Self {
        let key = Arc::new(AtomicU8::new(1));
        let (listener, serving) = (std::os::unix::net::UnixListener::bind(socket).unwrap(), key.clone());
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { serve(UnixListener::from_std(listener).unwrap(), serving).await });
        });
        Self(key)
    }

    pub fn rotate(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether it says that it has another key than it encrypts by.
    pub fn fall_behind(&self, behind: bool) {
        let key = self.0.load(Ordering::SeqCst) & !BEHIND;
        self.0.store(if behind { key | BEHIND } else { key }, Ordering::SeqCst);
    }
}

async fn serve(listener: UnixListener, key: Arc<AtomicU8>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let key = key.clone();
        let service = hyper::service::service_fn(move |request| answer(request, key.load(Ordering::SeqCst)));
        tokio::spawn(async move {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // A client that is done just goes.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

fn hidden(bytes: &[u8], key: u8) -> Vec<u8> {
    bytes.iter().rev().map(|byte| byte ^ key).collect()
}

async fn answer(request: Request<Incoming>, key: u8) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes().slice(5..);
    let said = key & !BEHIND;
    let used = if key == said { said } else { said - 1 };
    let message = match path.as_str() {
        "/v2.KeyManagementService/Status" => {
            Status { version: "v2".to_owned(), healthz: "ok".to_owned(), key_id: said.to_string() }.encode_to_vec()
        }
        "/v2.KeyManagementService/Encrypt" => {
            let ciphertext = hidden(&Plain::decode(body).unwrap().plaintext, used);
            EncryptResponse { ciphertext, key_id: used.to_string() }.encode_to_vec()
        }
        _ => {
            let request = DecryptRequest::decode(body).unwrap();
            Plain { plaintext: hidden(&request.ciphertext, request.key_id.parse().unwrap()) }.encode_to_vec()
        }
    };
    let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    Ok(Response::builder().header("content-type", "application/grpc").body(body.boxed_unsync()).unwrap())
}

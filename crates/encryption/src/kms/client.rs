//! Unary gRPC calls over a Unix socket. Calls are rare: each has a connection of its own.

use std::path::PathBuf;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;

/// Flag and length in front of a message.
const FRAME: usize = 5;

pub(super) struct Client {
    pub socket: PathBuf,
    pub timeout: Duration,
}

impl Client {
    pub async fn call<Q: Message, A: Message + Default>(&self, method: &str, request: &Q) -> Result<A, String> {
        let calling = self.send(method, frame(&request.encode_to_vec()));
        let answer =
            tokio::time::timeout(self.timeout, calling).await.map_err(|_| "deadline exceeded".to_owned())??;
        A::decode(answer).map_err(|error| error.to_string())
    }

    async fn send(&self, method: &str, body: Bytes) -> Result<Bytes, String> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| error.to_string())?;
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let request = http::Request::post(format!("http://localhost/v2.KeyManagementService/{method}"))
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .header(http::header::TE, "trailers")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let in_head = failure(response.headers());
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        connection.abort();
        if let Some(failure) = body.trailers().and_then(failure).or(in_head) {
            return Err(failure);
        }
        let framed = body.to_bytes();
        if framed.len() < FRAME { Err("the answer is cut short".to_owned()) } else { Ok(framed.slice(FRAME..)) }
    }
}

/// What went wrong, by the code and the message in headers or trailers.
fn failure(headers: &http::HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let code = text("grpc-status");
    (!["", "0"].contains(&code.as_str())).then(|| format!("rpc error: code = {code} desc = {}", text("grpc-message")))
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + FRAME);
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(message);
    frame.freeze()
}

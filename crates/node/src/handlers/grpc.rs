//! The gRPC health check, in the few bytes that it needs: one unary call of `grpc.health.v1.Health/Check`.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{Outcome, Target};

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u8 = 1;
/// gRPC's code for a method that is not there.
const UNIMPLEMENTED: &str = "12";

/// Asks a container's health service; only `SERVING` is a success.
pub async fn grpc_health(target: &Target, port: u16, service: &str, timeout: Duration) -> Outcome {
    let address = target.address(port);
    let expired = || {
        format!(
            "timeout: failed to connect service \"{address}\" within {}s: context deadline exceeded",
            timeout.as_secs()
        )
    };
    tokio::time::timeout(timeout, check(target, port, service)).await.map_err(|_| expired())?
}

async fn check(target: &Target, port: u16, service: &str) -> Outcome {
    let address = target.address(port);
    let failed = |error: &dyn std::fmt::Display| format!("error: health rpc probe failed: {error}");
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header(http::header::CONTENT_TYPE, "application/grpc")
        .header(http::header::TE, "trailers")
        .body(Full::new(message(service)))
        .map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let header_status = status_of(response.headers());
    let body = response.into_body().collect().await.map_err(|error| failed(&error))?;
    connection.abort();
    let status = body.trailers().and_then(status_of).or(header_status);
    match status.as_deref() {
        None | Some("0") => serving(&body.to_bytes(), service),
        Some(UNIMPLEMENTED) => Err(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {service}"
        )),
        Some(code) => Err(failed(&format!("rpc error: code = {code}"))),
    }
}

fn status_of(headers: &http::HeaderMap) -> Option<String> {
    headers.get("grpc-status")?.to_str().ok().map(str::to_string)
}

/// `HealthCheckRequest{service}` in gRPC's frame: not compressed, length, field 1.
fn message(service: &str) -> Bytes {
    let mut request = BytesMut::new();
    if !service.is_empty() {
        request.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            request.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        request.put_u8(length as u8);
        request.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(request.len() + 5);
    frame.put_u8(0);
    frame.put_u32(request.len() as u32);
    frame.extend_from_slice(&request);
    frame.freeze()
}

/// `HealthCheckResponse{status}` after the frame's head: field 1, a small number.
fn serving(body: &[u8], service: &str) -> Outcome {
    match body.get(5..) {
        Some([0x08, SERVING, ..]) => Ok(format!("service healthy: {service}")),
        _ => Err(format!("service unhealthy (responded with \"{}\")", name(body.get(6).copied()))),
    }
}

fn name(status: Option<u8>) -> &'static str {
    match status {
        Some(1) => "SERVING",
        Some(2) => "NOT_SERVING",
        Some(3) => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_holds_the_service_and_the_answer_its_status() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("db")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        assert!(serving(&[0, 0, 0, 0, 2, 8, 1], "").is_ok());
        assert_eq!(
            serving(&[0, 0, 0, 0, 2, 8, 2], "").unwrap_err(),
            "service unhealthy (responded with \"NOT_SERVING\")"
        );
    }
}

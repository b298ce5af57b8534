//! What hooks and probes do: run a command, ask by HTTP, connect, ask by gRPC, wait.
//!
//! upstream: pkg/probe, pkg/kubelet/lifecycle

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use containers::Runtime;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

mod grpc;
mod insecure;

pub use grpc::grpc_health;

/// Of a probe's answer no more than this is read or shown.
const BODY_MAX: usize = 10 * 1024;

/// Who is asked.
#[derive(Clone)]
pub struct Target {
    pub runtime: Arc<dyn Runtime>,
    pub container_id: String,
    pub ip: IpAddr,
    pub container: Container,
}

/// How it went: whether it counts as a success, and what was said.
pub type Outcome = Result<String, String>;

impl Target {
    /// Runs a command in the container; its output is the text.
    pub async fn exec(&self, command: &[String], timeout: Duration) -> Outcome {
        match self.runtime.exec_sync(&self.container_id, command, timeout).await {
            Err(containers::Error::DeadlineExceeded(_)) => {
                Err(format!("command timed out: \"{}\" timed out after {}", command.join(" "), seconds(timeout)))
            }
            Err(error) => Err(error.to_string()),
            Ok(output) => {
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text[..text.len().min(BODY_MAX)]).into_owned();
                if output.exit_code == 0 { Ok(text) } else { Err(text) }
            }
        }
    }

    /// A status from 200 to 399 is a success.
    pub async fn http_get(&self, action: &HTTPGetAction, agent: &str, timeout: Duration) -> Outcome {
        let port = self.port(&action.port)?;
        let host = action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| self.ip.to_string());
        let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let path = action.path.as_deref().unwrap_or("/");
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let url = format!("{scheme}://{authority}{path}");
        let refused = |error: &dyn std::fmt::Display| format!("Get \"{url}\": {error}");
        let request = request(action, &authority, &path, agent).map_err(|error| refused(&error))?;
        let asked = tokio::time::timeout(timeout, ask(scheme == "https", &host, port, request)).await;
        let expired = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        let (status, body) = asked.map_err(|_| refused(&expired))?.map_err(|error| refused(&error))?;
        if (200..400).contains(&status) {
            Ok(body)
        } else {
            Err(format!("HTTP probe failed with statuscode: {status}"))
        }
    }

    /// An accepted connection is a success.
    pub async fn connect(&self, host: Option<&str>, port: &IntOrString, timeout: Duration) -> Outcome {
        let port = self.port(port)?;
        let host = host.filter(|host| !host.is_empty()).map_or_else(|| self.ip.to_string(), str::to_string);
        match tokio::time::timeout(timeout, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(_)) => Ok(String::new()),
            Ok(Err(error)) => Err(format!("dial tcp {host}:{port}: connect: {}", io_text(&error))),
            Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
        }
    }

    /// A port by its number, or by the name that the container gives it.
    pub fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => name.parse().ok().or_else(|| {
                let named = self.container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
                named.map(|port| port.container_port)
            }),
        };
        let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| match port {
            IntOrString::Int(number) => format!("invalid port number: {number}"),
            IntOrString::String(name) => format!("couldn't find port \"{name}\" in container"),
        })
    }

    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }
}

/// A duration in seconds as Go prints it.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

/// Go's words for what the kernel said.
fn io_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        std::io::ErrorKind::HostUnreachable => "no route to host".into(),
        std::io::ErrorKind::ConnectionReset => "connection reset by peer".into(),
        _ => error.to_string(),
    }
}

type Request = http::Request<Empty<Bytes>>;

fn request(action: &HTTPGetAction, authority: &str, path: &str, agent: &str) -> Result<Request, http::Error> {
    let mut request = http::Request::get(path);
    let headers = action.http_headers.iter().flatten();
    let has = |name: &str| action.http_headers.iter().flatten().any(|header| header.name.eq_ignore_ascii_case(name));
    if !has("host") {
        request = request.header(http::header::HOST, authority);
    }
    if !has("user-agent") {
        request = request.header(http::header::USER_AGENT, agent);
    }
    if !has("accept") {
        request = request.header(http::header::ACCEPT, "*/*");
    }
    for header in headers {
        request = request.header(&header.name, &header.value);
    }
    request.header(http::header::CONNECTION, "close").body(Empty::new())
}

async fn ask(tls: bool, host: &str, port: u16, request: Request) -> Result<(u16, String), String> {
    let dialed = TcpStream::connect((host, port)).await;
    let stream = dialed.map_err(|error| format!("dial tcp {host}:{port}: connect: {}", io_text(&error)))?;
    if tls {
        let stream = insecure::connect(host, stream).await.map_err(|error| error.to_string())?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request,
) -> Result<(u16, String), String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
        // What is longer than anyone would read is cut off, not an error.
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::pin!(asking);
    tokio::select! {
        answer = &mut asking => answer,
        ended = connection => match ended {
            Ok(()) => asking.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests;

//! What goes wrong with a call, in the words of Go's clients.

use std::io::{self, ErrorKind};

use http::{Method, StatusCode};
use rustls::CertificateError;

/// The most of a refusal's text that is repeated.
const REFUSAL_BYTES_MAX: usize = 2048;

/// Why a call gave no answer, or none that can be used. Each is worth another try later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Certificates or keys that cannot be read.
    #[error("{0}")]
    Config(String),
    /// No answer came.
    #[error("{method} {url:?}: {why}")]
    Failed { method: String, url: String, why: String },
    #[error("{} {url:?}: context deadline exceeded", verb(.method))]
    Timeout { method: Method, url: String },
    /// An answer of another class than 2xx; the text is client-go's for it.
    #[error("{message}")]
    Status { code: StatusCode, message: String },
    #[error("couldn't get version/kind; json parse error: {0}")]
    NotJson(String),
}

impl Error {
    pub(crate) fn failed(method: &Method, url: &str, why: String) -> Self {
        Self::Failed { method: verb(method), url: url.to_owned(), why }
    }

    /// upstream: apimachinery pkg/api/errors, NewGenericServerResponse
    pub(crate) fn status(code: StatusCode, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_BYTES_MAX)]);
        let body = body.trim();
        let message = match code {
            StatusCode::BAD_REQUEST => "the server rejected our request for an unknown reason".to_owned(),
            StatusCode::UNAUTHORIZED => "the server has asked for the client to provide credentials".to_owned(),
            StatusCode::FORBIDDEN => body.to_owned(),
            StatusCode::NOT_FOUND => "the server could not find the requested resource".to_owned(),
            StatusCode::METHOD_NOT_ALLOWED => {
                "the server does not allow this method on the requested resource".to_owned()
            }
            StatusCode::CONFLICT => "the server reported a conflict".to_owned(),
            StatusCode::SERVICE_UNAVAILABLE => "the server is currently unable to handle the request".to_owned(),
            StatusCode::GATEWAY_TIMEOUT => "the server was unable to return a response in the time allotted, but may \
                 still be processing the request"
                .to_owned(),
            StatusCode::TOO_MANY_REQUESTS => {
                "the server has received too many requests and has asked us to try again later".to_owned()
            }
            code if code.is_server_error() => {
                format!("an error on the server ({body:?}) has prevented the request from succeeding")
            }
            code => format!(
                "the server responded with the status code {} but did not return more information",
                code.as_u16()
            ),
        };
        Self::Status { code, message }
    }
}

/// `Post`, `Get`, ...: methods as Go's errors write them.
fn verb(method: &Method) -> String {
    let mut letters = method.as_str().chars();
    letters.next().into_iter().chain(letters.flat_map(char::to_lowercase)).collect()
}

/// The innermost reason of an error.
pub(crate) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => innermost.to_string(),
    }
}

/// Why no connection to `address` was made.
pub fn dial(address: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {why}")
}

/// Why the other side is not whom it should be.
pub fn handshake(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let problem = match inner {
        Some(rustls::Error::InvalidCertificate(problem)) => problem,
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            return "tls: first record does not look like a TLS handshake".to_owned();
        }
        _ => return error.to_string(),
    };
    let why = match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired
        | CertificateError::NotValidYet
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYetContext { .. } => "certificate has expired or is not yet valid".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("certificate is valid for {}, not {}", names(presented), expected.to_str())
        }
        other => other.to_string(),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}

/// Names of a certificate, told apart from their kinds: `DnsName("a")` is `a`.
fn names(presented: &[String]) -> String {
    let name = |text: &String| text.split('"').nth(1).unwrap_or(text).to_owned();
    presented.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_those_of_go() {
        let url = "https://hook.test/x".to_owned();
        let refused = dial("127.0.0.1:1", &ErrorKind::ConnectionRefused.into());
        let error = Error::failed(&Method::POST, &url, refused);
        assert_eq!(
            error.to_string(),
            "Post \"https://hook.test/x\": dial tcp 127.0.0.1:1: connect: connection refused"
        );
        let timeout = Error::Timeout { method: Method::GET, url };
        assert_eq!(timeout.to_string(), "Get \"https://hook.test/x\": context deadline exceeded");
        assert_eq!(
            Error::status(StatusCode::INTERNAL_SERVER_ERROR, b"boom\n").to_string(),
            "an error on the server (\"boom\") has prevented the request from succeeding"
        );
        assert_eq!(names(&["DnsName(\"a\")".to_owned(), "b".to_owned()]), "a, b");
    }
}

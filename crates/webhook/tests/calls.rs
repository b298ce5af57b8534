//! Calls to real servers over TLS on the loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth::pki::{Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity};
use http::{HeaderMap, Response};
use serde_json::json;
use webhook::testing::{self, Asked, Server};
use webhook::{Client, Config, Resolve, Trust};

const TIMEOUT: Duration = Duration::from_secs(10);

struct Hook {
    server: Server,
    authority: Authority,
}

/// A server named `hook.test` that answers what it is sent: `/echo`, `/slow`, `/broken`, `/who` tells whether the
/// client showed a certificate.
async fn serve() -> Hook {
    let authority = Authority::create("hook-ca").unwrap();
    let spec = LeafSpec::server("hook", vec!["hook.test".to_owned()], vec![]);
    let (certificate, key) = authority.issue(&spec).unwrap();
    let ca = authority.certificate_pem().unwrap();
    let identity = Identity::from_pem(&certificate, &key).unwrap();
    let config = tls::server_config(identity, ClientAuth::Optional(&ca)).unwrap();
    let server = testing::serve(config, |asked| Box::pin(answer(asked))).await;
    Hook { server, authority }
}

async fn answer(asked: Asked) -> Response<String> {
    let (status, body) = match asked.path.as_str() {
        "/echo" => (200, asked.body),
        "/who" => (200, json!({"certificate": asked.certificate.is_some()}).to_string()),
        "/slow" => std::future::pending().await,
        "/text" => (200, "no JSON".to_owned()),
        _ => (500, "boom".to_owned()),
    };
    Response::builder().status(status).body(body).unwrap()
}

/// Finds every name at one address.
struct At(SocketAddr);

impl Resolve for At {
    fn resolve(&self, host: &str, port: u16) -> Result<String, String> {
        match (host, port) {
            ("hook.test", 443) => Ok(self.0.to_string()),
            _ => Err(format!("service {host:?} not found")),
        }
    }
}

impl Hook {
    fn config(&self) -> Config {
        let trust = Trust::Authorities(self.authority.certificate_pem().unwrap());
        Config { trust, resolver: Some(Arc::new(At(self.server.address))), ..Config::default() }
    }
}

async fn post(client: &Client, url: &str) -> Result<serde_json::Value, String> {
    let answer = client.post_json(url, HeaderMap::new(), json!({"a": 1}).to_string().into(), TIMEOUT).await;
    answer.map_err(|error| error.to_string())
}

#[tokio::test]
async fn documents_are_exchanged_over_one_connection() {
    let hook = serve().await;
    let client = Client::new(hook.config()).unwrap();
    for _ in 0..5 {
        assert_eq!(post(&client, "https://hook.test/echo").await, Ok(json!({"a": 1})));
    }
    assert_eq!(hook.server.connections(), 1);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let hook = serve().await;
    let client = Client::new(hook.config()).unwrap();
    let error = |text: &str| Err(text.to_owned());
    assert_eq!(
        post(&client, "https://hook.test/broken").await,
        error("an error on the server (\"boom\") has prevented the request from succeeding")
    );
    assert_eq!(
        post(&client, "https://other.test/echo").await,
        error("Post \"https://other.test/echo\": service \"other.test\" not found")
    );
    assert_eq!(
        post(&client, "http://hook.test/echo").await,
        error("Post \"http://hook.test/echo\": unsupported protocol scheme \"http\"")
    );
    assert!(post(&client, "https://hook.test/text").await.unwrap_err().contains("json parse error"));
    let url = "https://hook.test/slow";
    let slow = client.post_json(url, HeaderMap::new(), "{}".into(), Duration::from_millis(50)).await;
    assert_eq!(slow.unwrap_err().to_string(), "Post \"https://hook.test/slow\": context deadline exceeded");
}

#[tokio::test]
async fn a_server_must_be_vouched_for_under_its_name() {
    let hook = serve().await;
    let stranger = Authority::create("stranger").unwrap().certificate_pem().unwrap();
    let with = |trust: Trust, name: Option<&str>| {
        Client::new(Config { trust, server_name: name.map(str::to_owned), ..hook.config() }).unwrap()
    };
    let untrusted = "Post \"https://hook.test/echo\": tls: failed to verify certificate: x509: certificate signed by \
                     unknown authority";
    for trust in [Trust::Authorities(stranger), Trust::System] {
        assert_eq!(post(&with(trust, None), "https://hook.test/echo").await, Err(untrusted.to_owned()));
    }
    let misnamed = with(hook.config().trust, Some("else.test"));
    let error = post(&misnamed, "https://hook.test/echo").await.unwrap_err();
    assert!(error.ends_with("x509: certificate is valid for hook.test, not else.test"), "{error}");
    assert!(post(&with(Trust::Anyone, Some("else.test")), "https://hook.test/echo").await.is_ok());
    let bad = Client::new(Config { trust: Trust::Authorities("none".to_owned()), ..Config::default() });
    let bad = bad.err().unwrap().to_string();
    assert_eq!(bad, "data does not contain any valid RSA or ECDSA certificates");
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let hook = serve().await;
    let (certificate, key) = hook.authority.issue(&LeafSpec::client("me", &[])).unwrap();
    let identity = Some(webhook::Identity { certificate, key });
    let client = Client::new(Config { identity, ..hook.config() }).unwrap();
    assert_eq!(post(&client, "https://hook.test/who").await, Ok(json!({"certificate": true})));
    let stranger = Client::new(hook.config()).unwrap();
    assert_eq!(post(&stranger, "https://hook.test/who").await, Ok(json!({"certificate": false})));
}

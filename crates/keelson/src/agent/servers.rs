//! The servers of the cluster as an agent knows them: those it was started with, and those that the cluster's own
//! endpoints name. A connection goes to the one that answered last, or to the next that does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, bail};
use arc_swap::{ArcSwap, ArcSwapOption};
use control::Informers;
use http::Uri;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use webhook::{Connector, Stream};

use crate::cluster;

/// How long one server may take to accept a connection before the next is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The same where there is no other.
const CONNECT_ALONE_WITHIN: Duration = Duration::from_secs(30);
const DEFAULT_PORT: u16 = 6443;

/// Clones share what they learn.
#[derive(Clone)]
pub struct Servers(Arc<Known>);

struct Known {
    /// `https://host:port`, as the command line says.
    named: Vec<Uri>,
    learned: ArcSwap<Vec<Uri>>,
    /// The one that answered last.
    current: ArcSwapOption<Uri>,
    /// Keeps what was learned, for a start when none of `named` is there.
    file: std::path::PathBuf,
}

impl Servers {
    /// `urls` are those of the command line.
    pub fn open(urls: &[String], file: std::path::PathBuf) -> anyhow::Result<Self> {
        let named = urls.iter().map(|url| parse(url)).collect::<anyhow::Result<Vec<Uri>>>()?;
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        let learned = kept.lines().filter_map(|url| parse(url).ok()).collect();
        let learned = ArcSwap::from_pointee(learned);
        Ok(Self(Arc::new(Known { named, learned, current: ArcSwapOption::empty(), file })))
    }

    /// Keeps up with the endpoints of the API.
    pub fn follow(&self, informers: &Informers) {
        let servers = self.clone();
        informers.get::<EndpointSlice>().subscribe(move |change| {
            let urls = cluster::server_urls(change.object());
            if !urls.is_empty() && !change.is_deletion() {
                servers.learn(&urls);
            }
        });
    }

    fn learn(&self, urls: &[String]) {
        let learned: Vec<Uri> = urls.iter().filter_map(|url| parse(url).ok()).collect();
        if **self.0.learned.load() == learned {
            return;
        }
        tracing::info!(servers = urls.join(" "), "the cluster's servers");
        self.0.learned.store(Arc::new(learned));
        if let Err(error) = auth::pki::write_private(&self.0.file, &(urls.join("\n") + "\n")) {
            tracing::warn!(%error, "the cluster's servers are not kept for the next start");
        }
    }

    /// All of them, the one to be tried first in front.
    fn in_order(&self) -> Vec<Uri> {
        let (current, learned) = (self.0.current.load_full(), self.0.learned.load_full());
        let all = current.as_deref().into_iter().chain(&self.0.named).chain(learned.iter());
        let mut order: Vec<Uri> = Vec::new();
        all.for_each(|server| {
            if !order.contains(server) {
                order.push(server.clone())
            }
        });
        order
    }

    /// Calls `attempt` for one server after another until it succeeds; answers its result, or of each why not.
    pub async fn first<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
        &self,
        mut attempt: impl FnMut(Uri) -> F,
    ) -> anyhow::Result<T> {
        let (order, mut failures) = (self.in_order(), Vec::new());
        let within = if order.len() > 1 { CONNECT_WITHIN } else { CONNECT_ALONE_WITHIN };
        for server in order {
            match tokio::time::timeout(within, attempt(server.clone())).await {
                Ok(Ok(connected)) => {
                    let before = self.0.current.swap(Some(Arc::new(server.clone())));
                    if before.is_some_and(|before| *before != server) {
                        tracing::warn!(%server, "another server is spoken to");
                    }
                    return Ok(connected);
                }
                Ok(Err(error)) => failures.push(format!("{server} ({error:#})")),
                Err(_) => failures.push(format!("{server} (no answer within {within:?})")),
            }
        }
        bail!("no server of the cluster can be reached: {}", failures.join(", "))
    }
}

pub fn host_and_port(server: &Uri) -> (&str, u16) {
    (server.host().unwrap_or_default().trim_matches(['[', ']']), server.port_u16().unwrap_or(DEFAULT_PORT))
}

/// With a port, and nothing behind it.
fn parse(url: &str) -> anyhow::Result<Uri> {
    let uri: Uri = url.trim().parse().with_context(|| format!("--server {url} is no URL"))?;
    match (uri.scheme_str(), uri.host(), uri.path()) {
        (Some("https"), Some(host), "/" | "") => {
            Ok(format!("https://{host}:{}/", uri.port_u16().unwrap_or(DEFAULT_PORT)).parse()?)
        }
        _ => bail!("--server {url} is no URL such as https://10.0.0.5:6443"),
    }
}

/// Connects to whichever server answers, whatever URL is asked for.
#[derive(Clone)]
pub struct Dial {
    pub servers: Servers,
    pub connector: Connector,
}

impl tower::Service<Uri> for Dial {
    type Response = Stream;
    type Error = anyhow::Error;
    type Future = Pin<Box<dyn Future<Output = anyhow::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), anyhow::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { servers, mut connector } = self.clone();
        Box::pin(async move { servers.first(|server| connector.call(server)).await })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    fn order(servers: &Servers) -> Vec<String> {
        servers.in_order().iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn the_one_that_answers_is_kept_to_and_what_was_learned_outlasts_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (there, gone) = (format!("https://{}/", listener.local_addr().unwrap()), format!("https://{closed}/"));
        let open = || Servers::open(std::slice::from_ref(&gone), dir.path().join("servers")).unwrap();
        let servers = open();
        let any = async || {
            let connect =
                |server: Uri| async move { TcpStream::connect(host_and_port(&server)).await.map(|_| server.clone()) };
            servers.first(connect).await
        };
        let none = any().await.unwrap_err().to_string();
        assert!(none.contains(&closed.to_string()), "{none}");
        servers.learn(&[gone.clone(), there.clone()]);
        assert_eq!(any().await.unwrap().to_string(), there);
        assert_eq!(order(&servers), [there.clone(), gone.clone()]);
        assert_eq!(order(&open()), [gone, there]);
    }

    #[test]
    fn servers_are_named_by_https_urls() {
        assert_eq!(parse("https://a").unwrap().to_string(), "https://a:6443/");
        assert_eq!(host_and_port(&parse("https://[fd00::1]:1/").unwrap()), ("fd00::1", 1));
        for wrong in ["", "10.0.0.5:6443", "http://a", "https://a/path"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

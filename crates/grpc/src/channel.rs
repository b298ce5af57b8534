//! A lasting connection to whichever of several servers answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use prost::Message;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::call::{self, Driver, KeepAlive, Sender, Streaming};
use crate::frame::frame;
use crate::{Error, transport};

/// How long one server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Servers of Go's gRPC refuse peers that ask more often than every 5 seconds.
const KEEP_ALIVE: KeepAlive = KeepAlive { every: Duration::from_secs(6), answer_within: Duration::from_secs(3) };
/// How long the end of a connection is waited for, to say why a call failed.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// One of the servers: `https://host:port` or `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    url: String,
    tls: bool,
    host: String,
    port: u16,
}

impl Server {
    pub fn parse(url: &str) -> Result<Self, Error> {
        let invalid = || transport(format!("{url:?} is no URL of a server such as https://10.0.0.1:2379"));
        let uri: http::Uri = url.parse().map_err(|_| invalid())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid()),
        };
        let (Some(host), Some(port), "" | "/") = (uri.host(), uri.port_u16(), uri.path()) else {
            return Err(invalid());
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(invalid());
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), tls, host, port })
    }

    pub fn tls(&self) -> bool {
        self.tls
    }
}

/// Clones share the connection. It is made on first use, and anew when it is lost or given up.
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

struct Shared {
    servers: Vec<Server>,
    tls: Option<Arc<ClientConfig>>,
    headers: HeaderMap,
    open: Mutex<Option<Connection>>,
    /// The server that is tried first.
    next: AtomicUsize,
    /// Why the last try failed to reach any of them, for those who waited for it.
    failed: watch::Sender<Option<Arc<str>>>,
}

/// A connection to one of the servers.
#[derive(Clone)]
pub struct Connection {
    server: Server,
    sender: Sender,
    driver: Driver,
    headers: HeaderMap,
    given_up: CancellationToken,
}

impl Channel {
    /// `servers` are equals, and at least one. `headers` go with every call.
    pub fn new(servers: Vec<Server>, tls: Option<ClientConfig>, headers: HeaderMap) -> Self {
        let tls = tls.map(|mut tls| {
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(tls)
        });
        let (open, next, failed) = (Mutex::default(), AtomicUsize::new(0), watch::Sender::new(None));
        Self(Arc::new(Shared { servers, tls, headers, open, next, failed }))
    }

    /// The open connection, or one to the first server that takes one; an error tells of each why not.
    pub async fn connection(&self) -> Result<Connection, Error> {
        let mut failed = self.0.failed.subscribe();
        // Who waits while all servers are tried takes what came of it: one after the other would wait for ever.
        let mut open = tokio::select! {
            biased;
            Ok(()) = failed.changed() => {
                let why = failed.borrow().as_deref().unwrap_or_default().to_owned();
                return Err(Error::Unreachable(why));
            }
            open = self.0.open.lock() => open,
        };
        if let Some(connection) = open.as_ref().filter(|connection| connection.is_usable()) {
            return Ok(connection.clone());
        }
        let mut failures = Vec::new();
        for _ in &self.0.servers {
            let server = &self.0.servers[self.0.next.load(Ordering::Relaxed) % self.0.servers.len()];
            let connecting = tokio::time::timeout(CONNECT_WITHIN, self.connect(server));
            match connecting.await.unwrap_or(Err(Error::Deadline)) {
                Ok(connection) => return Ok(open.insert(connection).clone()),
                Err(error) => failures.push(format!("{}: {error}", server.url)),
            }
            self.0.next.fetch_add(1, Ordering::Relaxed);
        }
        let why = failures.join("; ");
        self.0.failed.send_replace(Some(why.as_str().into()));
        Err(Error::Unreachable(why))
    }

    async fn connect(&self, server: &Server) -> Result<Connection, Error> {
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(transport)?;
        stream.set_nodelay(true).map_err(transport)?;
        let (sender, driver) = match (&self.0.tls, server.tls) {
            (_, false) => call::handshake(stream, Some(KEEP_ALIVE)).await?,
            (None, true) => return Err(transport("no authority was given by which to know the server")),
            (Some(tls), true) => {
                let name = ServerName::try_from(server.host.clone()).map_err(transport)?;
                let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(transport)?;
                call::handshake(stream, Some(KEEP_ALIVE)).await?
            }
        };
        let headers = self.0.headers.clone();
        Ok(Connection { server: server.clone(), sender, driver, headers, given_up: CancellationToken::new() })
    }

    /// Later calls go to another server. Those that are under way go on, but are told (see
    /// [`Connection::given_up`]).
    pub fn give_up(&self, connection: &Connection) {
        if !connection.given_up.is_cancelled() {
            connection.given_up.cancel();
            self.0.next.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Connection {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.given_up.is_cancelled()
    }

    /// The URL of the server.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Returns once someone found that this server does not answer as it should.
    pub async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    /// Calls `/package.Service/Method`. May be dropped at any time: what was sent may still happen.
    pub async fn call<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        request: &Q,
        within: Duration,
    ) -> Result<A, Error> {
        let mut headers = self.headers.clone();
        let limit = HeaderValue::from_str(&format!("{}m", within.as_millis())).expect("digits make a header");
        headers.insert("grpc-timeout", limit);
        let (mut sender, uri) = (self.sender.clone(), format!("{}{path}", self.server.url));
        let calling = call::unary(&mut sender, &uri, &headers, frame(request));
        match tokio::time::timeout(within, calling).await.map_err(|_| Error::Deadline)? {
            Ok(answer) => A::decode(answer).map_err(transport),
            Err(error) => Err(self.explained(error).await),
        }
    }

    /// The failure of a call, with why the connection ended if that is what failed it.
    async fn explained(&self, error: Error) -> Error {
        if !self.sender.is_closed() {
            return error;
        }
        // Streams that go on may keep a connection that takes no more calls.
        let Ok(Some(why)) = tokio::time::timeout(ENDS_WITHIN, self.driver.why()).await else { return error };
        match error {
            Error::Unreachable(_) => Error::Unreachable(why),
            Error::Transport(_) => Error::Transport(why),
            error => error,
        }
    }

    /// Opens a stream of messages both ways, which begins with `first`.
    pub async fn open<Q: Message>(&self, path: &str, first: &Q, within: Duration) -> Result<Streaming, Error> {
        let (mut sender, uri) = (self.sender.clone(), format!("{}{path}", self.server.url));
        let opening = call::open(&mut sender, &uri, &self.headers, first);
        match tokio::time::timeout(within, opening).await.map_err(|_| Error::Deadline)? {
            Ok(stream) => Ok(stream),
            Err(error) => Err(self.explained(error).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_scheme_host_and_port() {
        let named = |url: &str| Server::parse(url).ok().map(|server| (server.tls, server.host, server.port));
        assert_eq!(named("https://10.0.0.1:2379/"), Some((true, "10.0.0.1".to_owned(), 2379)));
        assert_eq!(named("http://[::1]:1"), Some((false, "::1".to_owned(), 1)));
        for wrong in ["", "10.0.0.1:2379", "ftp://a:1", "https://a", "https://a:1/path", "https://:1"] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn who_can_not_be_reached_is_named() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let servers = vec![Server::parse(&format!("http://{closed}")).unwrap()];
        let channel = Channel::new(servers, None, HeaderMap::new());
        let Err(Error::Unreachable(why)) = channel.connection().await else { panic!("nobody listens there") };
        assert!(why.contains(&closed.to_string()), "{why}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_while_no_server_answers_is_told_with_the_first() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let servers = vec![Server::parse(&format!("https://{}", silent.local_addr().unwrap())).unwrap()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let channel = Channel::new(servers, Some(tls), HeaderMap::new());
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let channel = channel.clone();
            asking.spawn(async move { channel.connection().await.err() });
        }
        let told = tokio::time::timeout(2 * CONNECT_WITHIN, asking.join_all()).await.unwrap();
        assert!(told.iter().all(|error| matches!(error, Some(Error::Unreachable(_)))), "{told:?}");
    }
}

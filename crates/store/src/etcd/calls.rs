//! Calls to whichever member answers, and what their failures mean.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use grpc::{Channel, Connection, Streaming};
use http::{HeaderMap, HeaderValue};
use prost::Message;
use tokio::sync::watch;

use super::proto::{Answer, ResponseHeader, WatchRequest};
use super::{proto, watch_request};
use crate::{Error, Result};

/// How long one member may take to answer a read before another is asked.
const READ_WITHIN: Duration = Duration::from_secs(3);
/// How long a write may take. etcd itself gives up after 7 seconds.
const WRITE_WITHIN: Duration = Duration::from_secs(8);
/// How long what certainly has not happened is tried again.
const TRY_FOR: Duration = Duration::from_secs(8);
/// Wait between two tries; an election takes a second or two.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Codes of gRPC.
mod code {
    pub const UNKNOWN: u32 = 2;
    pub const INVALID_ARGUMENT: u32 = 3;
    pub const DEADLINE_EXCEEDED: u32 = 4;
    pub const PERMISSION_DENIED: u32 = 7;
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    pub const OUT_OF_RANGE: u32 = 11;
    pub const UNAVAILABLE: u32 = 14;
    pub const DATA_LOSS: u32 = 15;
}

/// Descriptions by which etcd tells apart what has one code. (upstream: api/v3rpc/rpctypes)
mod description {
    pub const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
    pub const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
    pub const NO_LEADER: &str = "etcdserver: no leader";
    pub const TOO_MANY: &str = "etcdserver: too many requests";
    pub const TOO_LARGE: &str = "etcdserver: request is too large";
    /// Said by gRPC in front of etcd.
    pub const LARGER: &str = "grpc: received message larger than max";
    pub const DROPPED: &str = "raft proposal dropped";
    /// Of a member that ends while it is asked.
    pub const STOPPED: &str = "raft: stopped";
    /// Of a member that waited for others in vain.
    pub const OUT_OF_TIME: &str = "context deadline exceeded";
    /// Somebody changed users or roles while it was asked.
    pub const AUTH_CHANGED: &str = "etcdserver: revision of auth store is old";
    /// No certificate was shown, or one without a common name.
    pub const NO_USER: &str = "etcdserver: user name is empty";
}

/// A failure that callers look at before it becomes one of the store.
#[derive(Debug)]
pub enum Failure {
    Compacted,
    Future,
    Store(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Members of one cluster, and how far it was seen to have come.
pub struct Calls {
    channel: Channel,
    cluster: OnceLock<u64>,
    newest: AtomicI64,
    /// Why nobody is asked anything any more.
    condemned: watch::Sender<Option<String>>,
}

impl Calls {
    pub fn new(servers: Vec<grpc::Server>, tls: Option<rustls::ClientConfig>) -> Self {
        // A member that lost its leader is to say so at once instead of waiting for one.
        let mut headers = HeaderMap::new();
        headers.insert("hasleader", HeaderValue::from_static("true"));
        let channel = Channel::new(servers, tls, headers);
        Self { channel, cluster: OnceLock::new(), newest: AtomicI64::new(0), condemned: watch::channel(None).0 }
    }

    /// Zero before anybody answered.
    pub fn cluster(&self) -> u64 {
        self.cluster.get().copied().unwrap_or_default()
    }

    /// Ends all calls, for good: what this process knows of etcd holds no more.
    pub fn condemn(&self, why: &str) -> Error {
        let first = |known: &mut Option<String>| {
            let is_first = known.is_none();
            known.get_or_insert_with(|| why.to_owned());
            is_first
        };
        if self.condemned.send_if_modified(first) {
            tracing::error!(why, "this server must be started again");
        }
        Error::Format(why.to_owned())
    }

    /// Returns once that has happened.
    pub async fn condemned(&self) -> String {
        let mut condemned = self.condemned.subscribe();
        let why = condemned.wait_for(Option::is_some).await.expect("the sender is here");
        why.clone().unwrap_or_default()
    }

    fn refuse_condemned(&self) -> Result<()> {
        self.condemned.borrow().as_ref().map_or(Ok(()), |why| Err(Error::Format(why.clone())))
    }

    /// Reads what is newest on a majority of members. May be dropped at any time.
    pub async fn read<A: Answer>(&self, path: &str, request: &impl Message) -> std::result::Result<A, Failure> {
        self.repeat(path, request, READ_WITHIN, is_passing, read_failure).await
    }

    /// Changes something; tried again only while it certainly has not happened.
    pub async fn write<A: Answer>(&self, path: &str, request: &impl Message) -> std::result::Result<A, Failure> {
        self.repeat(path, request, WRITE_WITHIN, has_not_happened, write_failure).await
    }

    async fn repeat<A: Answer>(
        &self,
        path: &str,
        request: &impl Message,
        within: Duration,
        again: fn(&grpc::Error) -> bool,
        meaning: fn(grpc::Error) -> Failure,
    ) -> std::result::Result<A, Failure> {
        let until = clock::monotonic() + TRY_FOR;
        loop {
            self.refuse_condemned()?;
            let known = self.newest.load(Ordering::Acquire);
            match self.once::<A>(path, request, within).await {
                Ok(answer) => {
                    self.check(answer.header(), known)?;
                    return Ok(answer);
                }
                Err(error) if again(&error) && clock::monotonic() + TRY_EVERY < until => {
                    tracing::debug!(%error, "etcd is asked again");
                    tokio::time::sleep(TRY_EVERY).await;
                }
                Err(error) => return Err(meaning(error)),
            }
        }
    }

    async fn once<A: Answer>(
        &self,
        path: &str,
        request: &impl Message,
        within: Duration,
    ) -> std::result::Result<A, grpc::Error> {
        let connection = self.channel.connection().await?;
        let answer = connection.call(path, request, within).await.map_err(|error| named(&connection, error));
        if answer.as_ref().is_err_and(is_the_members_fault) {
            self.channel.give_up(&connection);
        }
        answer
    }

    /// Opens a watch of everything from a revision on, on a connection that is told with it.
    pub async fn watch(&self, from: i64) -> Result<(Streaming, Connection)> {
        self.refuse_condemned()?;
        let connection = self.channel.connection().await.map_err(unreachable)?;
        let request: WatchRequest = watch_request(from);
        match connection.open(proto::WATCH, &request, READ_WITHIN).await {
            Ok(watch) => Ok((watch, connection)),
            Err(error) => {
                self.channel.give_up(&connection);
                Err(unreachable(named(&connection, error)))
            }
        }
    }

    pub fn give_up(&self, connection: &Connection) {
        self.channel.give_up(connection);
    }

    /// Whoever answers must be of the cluster that answered first, and know what was `known` when it was asked.
    fn check(&self, header: Option<&ResponseHeader>, known: i64) -> Result<()> {
        let header = header.ok_or_else(|| Error::Io("etcd: an answer has no header".to_owned()))?;
        self.check_cluster(header)?;
        if header.revision < known {
            let now = header.revision;
            return Err(self.condemn(&format!(
                "etcd went back from revision {known} to {now}: it was restored from an older backup while this \
                 server ran, which must be restarted"
            )));
        }
        self.newest.fetch_max(header.revision, Ordering::AcqRel);
        Ok(())
    }

    pub fn check_cluster(&self, header: &ResponseHeader) -> Result<()> {
        let expected = *self.cluster.get_or_init(|| header.cluster_id);
        if header.cluster_id == expected {
            return Ok(());
        }
        Err(self.condemn(&format!(
            "etcd cluster {:x} answers where {expected:x} did: members of two clusters are named, or etcd was \
             restored from a backup while this server ran, which must be restarted",
            header.cluster_id
        )))
    }
}

/// The failure of a connection, or silence on it, with whose it is.
fn named(connection: &Connection, error: grpc::Error) -> grpc::Error {
    match error {
        grpc::Error::Deadline => grpc::Error::Transport(format!("{}: {error}", connection.url())),
        grpc::Error::Transport(why) => grpc::Error::Transport(format!("{}: {why}", connection.url())),
        grpc::Error::Unreachable(why) => grpc::Error::Unreachable(format!("{}: {why}", connection.url())),
        other => other,
    }
}

/// Whether another member may do better.
fn is_the_members_fault(error: &grpc::Error) -> bool {
    match error {
        // It takes connections and ends them, as one does that does not know our authority.
        grpc::Error::Deadline | grpc::Error::Transport(_) | grpc::Error::Unreachable(_) => true,
        grpc::Error::Status { code, message } => match *code {
            code::DEADLINE_EXCEEDED | code::UNAVAILABLE | code::DATA_LOSS => true,
            code::UNKNOWN => [description::STOPPED, description::OUT_OF_TIME].contains(&message.as_str()),
            _ => false,
        },
    }
}

/// Whether a read may succeed when it is tried again.
fn is_passing(error: &grpc::Error) -> bool {
    is_the_members_fault(error) || has_not_happened(error)
}

/// Whether a write that failed so has certainly changed nothing, and may succeed when it is tried again.
fn has_not_happened(error: &grpc::Error) -> bool {
    match error {
        grpc::Error::Unreachable(_) => true,
        grpc::Error::Deadline | grpc::Error::Transport(_) => false,
        grpc::Error::Status { code, message } => match *code {
            code::UNAVAILABLE => message == description::NO_LEADER,
            code::RESOURCE_EXHAUSTED => message == description::TOO_MANY,
            code::UNKNOWN => message == description::DROPPED,
            code::INVALID_ARGUMENT => message == description::AUTH_CHANGED,
            _ => false,
        },
    }
}

fn unreachable(error: grpc::Error) -> Error {
    Error::Unreachable(format!("etcd: {error}"))
}

fn read_failure(error: grpc::Error) -> Failure {
    if is_passing(&error) { Failure::Store(unreachable(error)) } else { refusal(error) }
}

fn write_failure(error: grpc::Error) -> Failure {
    if has_not_happened(&error) {
        Failure::Store(unreachable(error))
    } else if is_the_members_fault(&error) {
        Failure::Store(Error::Unknown(format!("etcd: {error}")))
    } else {
        refusal(error)
    }
}

/// What etcd decided.
fn refusal(error: grpc::Error) -> Failure {
    let grpc::Error::Status { code, message } = error else { return Failure::Store(unreachable(error)) };
    match code {
        code::OUT_OF_RANGE if message == description::COMPACTED => Failure::Compacted,
        code::OUT_OF_RANGE => Failure::Future,
        code::RESOURCE_EXHAUSTED if message == description::NO_SPACE => Failure::Store(Error::Full(message)),
        code::PERMISSION_DENIED => Failure::Store(Error::Io(denied(&message))),
        code::INVALID_ARGUMENT if message == description::NO_USER => Failure::Store(Error::Io(denied(&message))),
        code::INVALID_ARGUMENT if message == description::TOO_LARGE => Failure::Store(Error::TooLarge(message)),
        code::RESOURCE_EXHAUSTED if message.starts_with(description::LARGER) => {
            Failure::Store(Error::TooLarge(description::TOO_LARGE.to_owned()))
        }
        _ => Failure::Store(Error::Io(format!("etcd: {message} (code {code})"))),
    }
}

/// What etcd's own authentication answers, with what would help.
fn denied(message: &str) -> String {
    format!(
        "etcd: {message} (the user that the client certificate names as its common name must be allowed to read all \
         keys, and to write those that begin with /registry/, /keelson/ and keelson/)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u32, message: &str) -> grpc::Error {
        grpc::Error::Status { code, message: message.to_owned() }
    }

    #[test]
    fn failures_say_whether_a_write_happened() {
        let table = [
            (grpc::Error::Unreachable("refused".to_owned()), "unreachable unreachable"),
            (grpc::Error::Deadline, "unreachable unknown"),
            (grpc::Error::Transport("reset".to_owned()), "unreachable unknown"),
            (status(14, "etcdserver: no leader"), "unreachable unreachable"),
            (status(14, "etcdserver: request timed out"), "unreachable unknown"),
            (status(2, "raft proposal dropped"), "unreachable unreachable"),
            (status(8, "etcdserver: too many requests"), "unreachable unreachable"),
            (status(8, "etcdserver: mvcc: database space exceeded"), "full full"),
            (status(3, "etcdserver: revision of auth store is old"), "unreachable unreachable"),
            (status(3, "etcdserver: user name is empty"), "io io"),
            (status(3, "etcdserver: request is too large"), "too large too large"),
            (status(8, "grpc: received message larger than max (3145765 vs. 2097152)"), "too large too large"),
            (status(3, "etcdserver: key is not provided"), "io io"),
            (status(15, "etcdserver: corrupt cluster"), "unreachable unknown"),
            (status(2, "raft: stopped"), "unreachable unknown"),
            (status(2, "context deadline exceeded"), "unreachable unknown"),
            (status(4, "context deadline exceeded"), "unreachable unknown"),
            (status(7, "etcdserver: permission denied"), "io io"),
            (status(11, "etcdserver: mvcc: required revision has been compacted"), "compacted compacted"),
            (status(11, "etcdserver: mvcc: required revision is a future revision"), "future future"),
        ];
        for (error, expected) in table {
            let text = error.to_string();
            let copy = match &error {
                grpc::Error::Deadline => grpc::Error::Deadline,
                grpc::Error::Unreachable(why) => grpc::Error::Unreachable(why.clone()),
                grpc::Error::Transport(why) => grpc::Error::Transport(why.clone()),
                grpc::Error::Status { code, message } => status(*code, message),
            };
            let found = format!("{} {}", called(read_failure(error)), called(write_failure(copy)));
            assert_eq!(found, expected, "{text}");
        }
    }

    fn called(failure: Failure) -> &'static str {
        match failure {
            Failure::Compacted => "compacted",
            Failure::Future => "future",
            Failure::Store(Error::Unreachable(_)) => "unreachable",
            Failure::Store(Error::Unknown(_)) => "unknown",
            Failure::Store(Error::Full(_)) => "full",
            Failure::Store(Error::TooLarge(_)) => "too large",
            Failure::Store(_) => "io",
        }
    }

    #[test]
    fn a_cluster_neither_goes_back_nor_becomes_another() {
        let calls = Calls::new(Vec::new(), None);
        let header = |cluster_id, revision| ResponseHeader { cluster_id, revision };
        assert!(calls.check(Some(&header(1, 10)), 0).is_ok());
        assert!(calls.check(Some(&header(1, 9)), 9).is_ok(), "it was asked before 10 was known");
        assert!(matches!(calls.check(Some(&header(1, 9)), 10), Err(Error::Format(_))));
        assert!(matches!(calls.check(Some(&header(2, 11)), 10), Err(Error::Format(_))));
        assert!(calls.refuse_condemned().is_err());
    }
}

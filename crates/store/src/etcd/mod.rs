//! The engine over a network: an etcd, shared by several servers (docs/decisions/0010).
//!
//! One watch of everything feeds the hub that all watchers read from, as the embedded engines do. Members are
//! asked in turn: whoever does not answer is left, and what certainly has not happened is tried again.
//!
//! Revisions are etcd's plus an offset that is kept in etcd itself, so that a store that was moved or restored
//! never gives a revision for the second time ([`offset`]).

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;

use crate::hub::Hub;
use crate::{Error, Expect, KeyValue, Page, Result, Revision, Store, Watched, Write};

mod calls;
mod feed;
mod history;
mod offset;
mod proto;
mod seen;

use calls::{Calls, Failure};
use offset::OFFSET_KEY;
use proto::{
    Compare, CompareTarget, Compared, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, Request, RequestOp,
    Response, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest,
};
use seen::Seen;

/// Keys read at a time where all are asked for.
const PAGE: usize = 1000;

/// How long the watch may take to come as far as etcd has.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// Where an etcd is, and how to speak to it.
pub struct Config {
    /// `https://host:port` or `http://host:port` of its members.
    pub endpoints: Vec<String>,
    /// Whom to trust, and what to show; needed for `https`.
    pub tls: Option<rustls::ClientConfig>,
    /// A file that keeps how far etcd was seen to have come, so that one that was restored from a backup since is
    /// recognised.
    pub seen: Option<PathBuf>,
}

/// Must be made and dropped inside a tokio runtime.
pub struct Etcd {
    inner: Arc<Inner>,
    feed: JoinHandle<()>,
}

struct Inner {
    calls: Calls,
    hub: Arc<Hub>,
    offset: AtomicU64,
    /// The newest revision that watchers were told of.
    told: watch::Sender<Revision>,
    seen: seen::Memory,
    /// Whether the last put was refused for want of space.
    full: AtomicBool,
    /// How many times the newest revision was asked for, and what came of the last time.
    rounds: AtomicU64,
    round: Mutex<Round>,
}

/// One question for the newest revision, which answers all who wanted to know before it was asked.
#[derive(Default)]
struct Round {
    number: u64,
    newest: Option<i64>,
}

impl Etcd {
    /// Fails when no member answers within some seconds; the error says why each did not.
    pub async fn connect(config: Config) -> Result<Self> {
        let parse = |url: &String| grpc::Server::parse(url).map_err(|error| Error::Io(error.to_string()));
        let servers: Vec<grpc::Server> = config.endpoints.iter().map(parse).collect::<Result<_>>()?;
        if servers.is_empty() {
            return Err(Error::Io("no member of etcd is named".to_owned()));
        }
        let seen = seen::Memory::open(config.seen.as_deref());
        let inner = Inner {
            calls: Calls::new(servers, config.tls),
            hub: Arc::new(Hub::new(0)),
            offset: AtomicU64::new(0),
            told: watch::channel(0).0,
            seen: seen.map_err(|error| Error::Io(format!("how far etcd has come can not be kept: {error}")))?,
            full: AtomicBool::new(false),
            rounds: AtomicU64::new(0),
            round: Mutex::default(),
        };
        inner.read_anything().await?;
        let newest = loop {
            let newest = inner.load_offset().await?;
            match inner.lift_restored(newest).await {
                // Another server was faster.
                Err(Error::Locked(_)) => {}
                lifted => break lifted.and(inner.newest().await)?,
            }
        };
        inner.seen.told(Seen { cluster: inner.calls.cluster(), revision: inner.ours(newest), print: None });
        inner.told.send_replace(inner.ours(newest));
        inner.hub.restart(inner.ours(newest));
        let inner = Arc::new(inner);
        let feed = tokio::spawn(feed::run(inner.clone(), newest));
        Ok(Self { inner, feed })
    }
}

impl Etcd {
    /// Returns, with what is wrong, once etcd was found to be another than it was: nothing is read or written any
    /// more, and the process must start anew.
    pub async fn condemned(&self) -> String {
        self.inner.calls.condemned().await
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

impl Inner {
    fn ours(&self, theirs: i64) -> Revision {
        u64::try_from(theirs).unwrap_or(0) + self.offset.load(Ordering::Acquire)
    }

    /// A revision that etcd may be asked for; what lies before the offset is long gone.
    fn theirs(&self, ours: Revision) -> Result<i64> {
        let offset = self.offset.load(Ordering::Acquire);
        let theirs = ours.checked_sub(offset).filter(|theirs| *theirs > 0);
        let theirs = theirs.ok_or(Error::Compacted(offset + 1))?;
        Ok(i64::try_from(theirs).unwrap_or(i64::MAX))
    }

    /// The newest revision of etcd, asked once for all who ask at the same time.
    async fn newest(&self) -> Result<i64> {
        let before = self.rounds.load(Ordering::Acquire);
        let mut round = self.round.lock().await;
        if let Some(newest) = round.newest.filter(|_| round.number > before) {
            return Ok(newest);
        }
        let number = self.rounds.fetch_add(1, Ordering::AcqRel) + 1;
        *round = Round { number, newest: None };
        let newest = self.ask_newest().await?;
        round.newest = Some(newest);
        Ok(newest)
    }

    /// One that a majority knows.
    async fn ask_newest(&self) -> Result<i64> {
        let answer = self.range_once(key_request(OFFSET_KEY)).await.map_err(|failure| self.unexpected(failure))?;
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    /// Fails where etcd's own users are not allowed to read all keys, which its watch needs.
    async fn read_anything(&self) -> Result<()> {
        let anything = self.range_once(range_request("\0", "\0", 1)).await;
        anything.map(drop).map_err(|failure| self.unexpected(failure))
    }

    /// Forgets what happened before a revision of etcd.
    async fn compact_to(&self, kept: i64) -> Result<()> {
        // etcd drops what the revision it is given deleted; this store keeps that.
        let request = proto::CompactionRequest { revision: kept - 1 };
        if request.revision < 1 {
            return Ok(());
        }
        match self.calls.write::<proto::CompactionResponse>(proto::COMPACT, &request).await {
            Ok(_) => self.forget(self.ours(kept)).await,
            Err(Failure::Compacted) => {}
            Err(failure) => return Err(self.unexpected(failure)),
        }
        Ok(())
    }

    async fn range_once(&self, request: RangeRequest) -> std::result::Result<RangeResponse, Failure> {
        self.calls.read(proto::RANGE, &request).await
    }

    /// Reads at a past revision, unless the one before it is compacted: that is as far as this store remembers.
    async fn range_at(&self, request: RangeRequest, at: Revision) -> Result<RangeResponse> {
        let theirs = self.theirs(at)?;
        let before = RangeRequest { revision: theirs - 1, count_only: true, ..key_request(OFFSET_KEY) };
        let request = RangeRequest { revision: theirs, ..request };
        let success = vec![op(Request::Range(before)), op(Request::Range(request))];
        let txn = TxnRequest { success, ..TxnRequest::default() };
        match self.calls.read::<TxnResponse>(proto::TXN, &txn).await {
            Ok(answer) => last_range(answer),
            Err(Failure::Compacted) => Err(Error::Compacted(self.oldest(theirs).await?)),
            Err(Failure::Future) => Err(Error::Future(self.ours(self.newest().await?))),
            Err(Failure::Store(error)) => Err(error),
        }
    }

    async fn read(&self, request: RangeRequest, at: Option<Revision>) -> Result<RangeResponse> {
        match at {
            None => self.range_once(request).await.map_err(|failure| self.unexpected(failure)),
            Some(at) => self.range_at(request, at).await,
        }
    }

    /// The oldest revision that can be read, given one that can not: only a watch tells.
    async fn oldest(&self, compacted: i64) -> Result<Revision> {
        let mut changes = self.changes(compacted).await?;
        match self.next(&mut changes).await {
            Err(Error::Compacted(oldest)) => Ok(oldest),
            Err(error) => Err(error),
            Ok(_) => Ok(self.ours(compacted)),
        }
    }

    fn unexpected(&self, failure: Failure) -> Error {
        match failure {
            Failure::Store(error) => error,
            other => Error::Io(format!("etcd: {other:?} where nothing of the past was asked for")),
        }
    }

    fn page(&self, answer: RangeResponse) -> Page {
        let revision = self.ours(answer.header.as_ref().map_or(0, |header| header.revision));
        let items = answer.kvs.into_iter().map(|kv| self.key_value(kv)).collect();
        Page { items, revision, more: answer.more }
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        let Write { key, value, expect } = write;
        let Some(compared) = comparison(expect, self.offset.load(Ordering::Acquire), value.is_some()) else {
            return Err(Error::Conflict(self.get(&key, None).await?));
        };
        let puts = value.is_some();
        let key_bytes = Bytes::copy_from_slice(key.as_bytes());
        let change = match value {
            Some(value) => Request::Put(PutRequest { key: key_bytes, value }),
            None => Request::Delete(DeleteRangeRequest { key: key_bytes }),
        };
        let txn = TxnRequest {
            compare: vec![compare(&key, compared)],
            success: vec![op(change)],
            failure: vec![op(Request::Range(key_request(&key)))],
        };
        let answer = self.calls.write(proto::TXN, &txn).await.map_err(|failure| self.unexpected(failure));
        if puts {
            self.note_space(&answer);
        }
        let answer: TxnResponse = answer?;
        if answer.succeeded {
            let revision = self.ours(answer.header.map_or(0, |header| header.revision));
            self.seen.gave(revision);
            return Ok(revision);
        }
        let held = last_range(answer)?.kvs.into_iter().next();
        Err(Error::Conflict(held.map(|kv| self.key_value(kv))))
    }

    /// Says once that etcd ran full, and once that it takes puts again; deletions it always takes.
    fn note_space(&self, answer: &Result<TxnResponse>) {
        match answer {
            Err(Error::Full(why)) if !self.full.swap(true, Ordering::Relaxed) => tracing::error!(
                why,
                "nothing can be written until etcd has space: delete what is not needed, compact its history, \
                 defragment its members, and disarm the alarm NOSPACE"
            ),
            Ok(_) if self.full.swap(false, Ordering::Relaxed) => tracing::info!("etcd has space again"),
            _ => {}
        }
    }

    /// Drops what the hub remembers from before `kept`, once it has come that far.
    async fn forget(&self, kept: Revision) {
        if self.is_told(kept).await {
            self.hub.forget(kept);
        }
    }

    /// Waits until watchers were told of everything up to a revision; for nothing before there can be watchers.
    async fn is_told(&self, revision: Revision) -> bool {
        let mut told = self.told.subscribe();
        let reached = told.wait_for(|told| *told == 0 || *told >= revision);
        tokio::time::timeout(TOLD_WITHIN, reached).await.is_ok()
    }

    async fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>> {
        let answer = self.read(key_request(key), at).await?;
        Ok(answer.kvs.into_iter().next().map(|kv| self.key_value(kv)))
    }
}

#[async_trait]
impl Store for Etcd {
    async fn revision(&self) -> Result<Revision> {
        Ok(self.inner.ours(self.inner.newest().await?))
    }

    async fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>> {
        self.inner.get(key, at).await
    }

    async fn range(&self, range: Range<String>, limit: usize, at: Option<Revision>) -> Result<Page> {
        let size = if limit == 0 { PAGE } else { limit };
        let request = |start: &str| range_request(start, &range.end, size);
        let mut page = self.inner.page(self.inner.read(request(&range.start), at).await?);
        page.revision = at.unwrap_or(page.revision);
        while limit == 0 && page.more {
            let start = page.items.last().map_or_else(|| range.start.clone(), |last| format!("{}\0", last.key));
            let next = self.inner.page(self.inner.read(request(&start), Some(page.revision)).await?);
            page.more = next.more;
            page.items.extend(next.items);
        }
        Ok(page)
    }

    async fn count(&self, range: Range<String>, at: Option<Revision>) -> Result<usize> {
        let request = RangeRequest { count_only: true, ..range_request(&range.start, &range.end, 0) };
        Ok(usize::try_from(self.inner.read(request, at).await?.count).unwrap_or(0))
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        self.inner.write(write).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<mpsc::Receiver<Watched>> {
        Ok(self.inner.hub.watch(Arc::new(feed::Past(self.inner.clone())), prefix, from))
    }

    async fn lift(&self, revision: Revision) -> Result<()> {
        self.inner.lift(revision).await
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let inner = &self.inner;
        let newest = inner.newest().await?;
        let Ok(kept) = inner.theirs(revision).map(|revision| revision.min(newest)) else { return Ok(()) };
        inner.compact_to(kept).await
    }
}

/// What etcd is to compare; nothing where no state of the key could satisfy the condition.
fn comparison(expect: Expect, offset: u64, puts: bool) -> Option<Compared> {
    match expect {
        Expect::Absent => puts.then_some(Compared::CreateRevision(0)),
        Expect::ModRevision(revision) => {
            let theirs = revision.checked_sub(offset).and_then(|theirs| i64::try_from(theirs).ok());
            theirs.filter(|theirs| *theirs > 0).map(Compared::ModRevision)
        }
    }
}

fn compare(key: &str, compared: Compared) -> Compare {
    let target = match compared {
        Compared::CreateRevision(_) => CompareTarget::Create,
        Compared::ModRevision(_) => CompareTarget::Mod,
    };
    Compare { target: target.into(), key: Bytes::copy_from_slice(key.as_bytes()), compared: Some(compared) }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// What the last question of a transaction was answered by.
fn last_range(answer: TxnResponse) -> Result<RangeResponse> {
    match answer.responses.into_iter().next_back().and_then(|response| response.response) {
        Some(Response::Range(mut range)) => {
            range.header = answer.header;
            Ok(range)
        }
        None => Err(Error::Io("etcd: a transaction does not answer what was asked".to_owned())),
    }
}

fn key_request(key: &str) -> RangeRequest {
    RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() }
}

fn range_request(start: &str, end: &str, limit: usize) -> RangeRequest {
    RangeRequest {
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
        ..key_request(start)
    }
}

/// Asks for every key: each revision then brings an event, so that the watch tells by itself how far it has come.
fn watch_request(start_revision: i64) -> WatchRequest {
    let everything = Bytes::from_static(b"\0");
    WatchRequest {
        create: Some(WatchCreateRequest {
            key: everything.clone(),
            range_end: everything,
            start_revision,
            prev_kv: true,
            fragment: true,
        }),
    }
}

#[cfg(test)]
mod tests;

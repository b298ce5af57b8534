//! Keeps an informer's cache as the server has it.
//!
//! It lists by a streaming watch, goes on from the last resource version after a broken connection, and lists again
//! when that version is gone.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::WatchParams;
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Api, Client};
use serde::Deserialize;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::events::{Event, Events, Kind};
use super::{Informer, Watched, cache};
use crate::{ObjectKey, WatchBackoff};

/// How long the server is asked to answer, and how much longer a silent connection is believed in.
const WATCH_SECONDS: u32 = 290;
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
/// The annotation of the bookmark that ends a list.
const LIST_ENDS: &str = "k8s.io/initial-events-end";

pub struct Reflector<K> {
    informer: Informer<K>,
    client: Client,
    params: WatchParams,
    share: bool,
    /// The resource version up to which all is in the cache; none before the first list and after a gap.
    reached: Option<String>,
    backoff: WatchBackoff,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the watch expired")]
    Expired,
    #[error("the answer was cut off")]
    CutOff,
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Client(#[from] kube::Error),
    #[error("cannot ask: {0}")]
    Request(#[from] kube::core::request::Error),
    #[error("cannot read an event: {0}")]
    Event(#[from] serde_json::Error),
}

impl Failure {
    fn of(status: &Status) -> Self {
        if status.code == 410 { Failure::Expired } else { Failure::Refused(status.message.clone()) }
    }
}

/// The objects of a list that is under way; none once it is complete.
type Listed = Option<Vec<ObjectKey>>;

impl<K: Watched> Reflector<K> {
    pub fn new(informer: Informer<K>, client: Client, share: bool, fields: &str, labels: &str) -> Self {
        let params = WatchParams {
            field_selector: (!fields.is_empty()).then(|| fields.to_owned()),
            label_selector: (!labels.is_empty()).then(|| labels.to_owned()),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        Self { informer, client, params, share, reached: None, backoff: WatchBackoff::default() }
    }

    pub async fn run(mut self) {
        loop {
            match self.follow().await {
                Ok(()) => continue,
                Err(Failure::Expired) => {
                    debug!("watch expired, listing again");
                    self.reached = None;
                }
                Err(error) => warn!(%error, "watch failed, trying again"),
            }
            if let Some(pause) = self.backoff.next() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Takes in what one answer tells, until it ends.
    async fn follow(&mut self) -> Result<(), Failure> {
        let mut listed = self.reached.is_none().then(Vec::new);
        let mut body = self.ask(listed.is_some()).await?;
        let mut events = Events::new(self.share);
        let mut told = false;
        while let Ok(Some(frame)) = timeout(SILENCE, body.frame()).await {
            let Ok(frame) = frame?.into_data() else { continue };
            for event in events.read(frame)? {
                self.take(event, &mut listed)?;
                self.backoff = WatchBackoff::default();
                told = true;
            }
        }
        if told && listed.is_none() { Ok(()) } else { Err(Failure::CutOff) }
    }

    async fn ask(&self, list: bool) -> Result<Body, Failure> {
        let path = Api::<K>::all(self.client.clone()).resource_url().to_owned();
        let params = WatchParams { send_initial_events: list, ..self.params.clone() };
        let request = Request::new(path).watch(&params, self.reached.as_deref().unwrap_or("0"))?;
        let answer = self.client.send(request.map(Body::from)).await?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let code = answer.status();
        let said = answer.into_body().collect_bytes().await?;
        let status: Result<Status, _> = serde_json::from_slice(&said);
        Err(status.map_or_else(|_| Failure::Refused(code.to_string()), |status| Failure::of(&status)))
    }

    fn take(&mut self, event: Event, listed: &mut Listed) -> Result<(), Failure> {
        match event.kind {
            Kind::Added | Kind::Modified => {
                let Some(object) = decoded::<K>(&event.object) else { return Ok(()) };
                match listed {
                    Some(keys) => keys.push(ObjectKey::of(object.meta())),
                    None => self.reached.clone_from(&object.meta().resource_version),
                }
                self.informer.insert(object, Some(event.object));
            }
            Kind::Deleted => {
                let meta = serde_json::from_slice::<Metadata>(&event.object)?.metadata;
                self.informer.remove(&meta);
                self.reached = meta.resource_version;
            }
            Kind::Bookmark => {
                let meta = serde_json::from_slice::<Metadata>(&event.object)?.metadata;
                let ends = meta.annotations.is_some_and(|annotations| annotations.contains_key(LIST_ENDS));
                if let Some(keys) = listed.take_if(|_| ends) {
                    self.informer.retain(keys);
                }
                if listed.is_none() {
                    self.reached = meta.resource_version;
                }
            }
            Kind::Error => return Err(Failure::of(&serde_json::from_slice(&event.object)?)),
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Metadata {
    metadata: ObjectMeta,
}

/// An object that this version cannot read is left as it was.
fn decoded<K: Watched>(json: &Bytes) -> Option<K> {
    let decoded = cache::decode(json);
    decoded.inspect_err(|error| warn!(%error, "an object of a watch can not be read")).ok()
}

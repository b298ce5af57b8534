//! Metadata watches of every kind that can be deleted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use control::{CancellationToken, WatchBackoff, WorkQueue};
use futures::StreamExt;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tracing::{Instrument, debug, info_span, warn};

use super::graph::{Graph, Identity, Uid, Work};
use crate::discovery::{Served, discover};

/// The time that a new kind's watch is waited for before others' garbage is collected without it.
const SYNC_MAX: Duration = Duration::from_secs(30);
/// The time that the server gets to serve a kind after its definition changed.
const SETTLE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(10);
/// Owners that are remembered when they are gone. (upstream: the size of absentOwnerCache)
const ABSENT_MAX: usize = 500;

/// Kinds that change too much and own nothing. (upstream: DefaultIgnoredResources)
const IGNORED: [&str; 2] = ["events", "events.events.k8s.io"];
/// Kinds whose objects add or remove other kinds.
const DEFINING: [&str; 2] = ["customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"];

struct Monitor {
    served: Served,
    synced: watch::Receiver<bool>,
    task: AbortHandle,
    known: Known,
}

/// What a monitor has seen and not seen go, for the one that comes after it.
type Known = Arc<Mutex<HashSet<Uid>>>;

pub struct Monitors {
    client: Client,
    shutdown: CancellationToken,
    graph: Mutex<Graph>,
    /// Owners that went lately, the first at the front: their kind may go with them, and then nobody can be asked.
    absent: Mutex<VecDeque<Identity>>,
    /// By group and kind.
    monitors: Mutex<HashMap<(String, String), Monitor>>,
    /// Whether discovery succeeded once.
    discovered: watch::Sender<bool>,
    redefined: Notify,
    queue: Mutex<Option<WorkQueue<Work>>>,
}

impl Monitors {
    pub fn new(client: Client, shutdown: CancellationToken) -> Self {
        Self {
            client,
            shutdown,
            graph: Mutex::default(),
            absent: Mutex::default(),
            monitors: Mutex::default(),
            discovered: watch::Sender::new(false),
            redefined: Notify::new(),
            queue: Mutex::default(),
        }
    }

    /// Follows discovery and its kinds until shutdown; work goes into `queue`.
    pub fn start(self: &Arc<Self>, queue: WorkQueue<Work>) {
        *self.queue.lock() = Some(queue);
        let this = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = this.follow() => {}
                () = this.shutdown.cancelled() => {}
            }
            this.monitors.lock().values().for_each(|monitor| monitor.task.abort());
        });
    }

    pub fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock()
    }

    pub fn queue(&self, work: impl IntoIterator<Item = Work>) {
        if let Some(queue) = &*self.queue.lock() {
            work.into_iter().for_each(|work| queue.add(work));
        }
    }

    pub fn gone(&self, uid: &str) {
        let mut graph = self.graph.lock();
        let owner = graph.node(uid).filter(|node| !node.dependents.is_empty()).map(|node| node.id.clone());
        let work = graph.gone(uid);
        drop(graph);
        if let Some(owner) = owner {
            let mut absent = self.absent.lock();
            absent.push_back(owner);
            if absent.len() > ABSENT_MAX {
                absent.pop_front();
            }
        }
        self.queue(work);
    }

    /// Whether an owner is known to be gone, without asking the server.
    pub fn is_absent(&self, owner: &Identity) -> bool {
        self.absent.lock().contains(owner)
    }

    /// The kind under whatever version is watched.
    pub fn served(&self, group: &str, kind: &str) -> Option<Served> {
        let monitors = self.monitors.lock();
        monitors.get(&(group.to_owned(), kind.to_owned())).map(|monitor| monitor.served.clone())
    }

    /// Resolves when every kind was listed, or [`SYNC_MAX`] has passed.
    pub async fn synced(&self) {
        let all = async {
            let mut discovered = self.discovered.subscribe();
            if discovered.wait_for(|discovered| *discovered).await.is_err() {
                return;
            }
            let waiting: Vec<_> = self.monitors.lock().values().map(|monitor| monitor.synced.clone()).collect();
            for mut synced in waiting {
                // A monitor that has ended, because its kind is gone, needs no waiting for.
                if synced.wait_for(|synced| *synced).await.is_err() {
                    debug!("a kind vanished before it was listed");
                }
            }
        };
        if tokio::time::timeout(SYNC_MAX, all).await.is_err() {
            warn!("some kinds cannot be listed, collecting garbage without them");
        }
    }

    async fn follow(self: &Arc<Self>) {
        loop {
            match discover(&self.client).await {
                Ok(found) => {
                    let complete = found.failures.is_empty();
                    let deletable = |served: &Served| ["delete", "list", "watch"].iter().all(|verb| served.can(verb));
                    let served = found.served.into_iter().filter(deletable);
                    self.watch_kinds(served.filter(|served| !IGNORED.contains(&&*served.group_resource())), complete);
                    self.discovered.send_replace(true);
                    if !complete {
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                    self.redefined.notified().await;
                    tokio::time::sleep(SETTLE).await;
                }
                Err(error) => {
                    warn!(%error, "discovery failed, trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Starts what is new, or served in another version, and, if discovery was complete, ends what is gone.
    fn watch_kinds(self: &Arc<Self>, served: impl Iterator<Item = Served>, complete: bool) {
        let mut monitors = self.monitors.lock();
        let mut present = HashSet::new();
        for served in served {
            let key = (served.resource.group.clone(), served.resource.kind.clone());
            present.insert(key.clone());
            let before = monitors.get(&key);
            if before.is_some_and(|before| before.served.resource == served.resource) {
                continue;
            }
            let known = before.map_or_else(Known::default, |before| {
                before.task.abort();
                before.known.clone()
            });
            monitors.insert(key, self.monitor(served, known));
        }
        if complete {
            monitors.retain(|key, monitor| {
                let stays = present.contains(key);
                if !stays {
                    monitor.task.abort();
                }
                stays
            });
        }
    }

    fn monitor(self: &Arc<Self>, served: Served, known: Known) -> Monitor {
        let (sender, synced) = watch::channel(false);
        let span = info_span!("garbage monitor", kind = served.group_resource());
        let following = self.clone().follow_kind(served.clone(), sender, known.clone());
        let task = tokio::spawn(following.instrument(span)).abort_handle();
        Monitor { served, synced, task, known }
    }

    async fn follow_kind(self: Arc<Self>, served: Served, synced: watch::Sender<bool>, known: Known) {
        let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(self.client.clone(), &served.resource);
        let mut events = watcher(api, watcher::Config::default()).backoff(WatchBackoff::default()).boxed();
        let mut listed: HashSet<Uid> = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(object)) => {
                    listed.insert(self.observe(&served, &object));
                }
                Ok(watcher::Event::InitDone) => {
                    let now = std::mem::take(&mut listed);
                    let before = std::mem::replace(&mut *known.lock(), now.clone());
                    before.difference(&now).for_each(|uid| self.gone(uid));
                    synced.send_replace(true);
                    // What came between discovery and this list is told by no event.
                    self.note_definition(&served);
                }
                Ok(watcher::Event::Apply(object)) => {
                    let uid = self.observe(&served, &object);
                    known.lock().insert(uid);
                    self.note_definition(&served);
                }
                Ok(watcher::Event::Delete(object)) => {
                    let uid = control::meta::uid(&object.metadata);
                    known.lock().remove(uid);
                    self.gone(uid);
                    self.note_definition(&served);
                }
                Err(error) => debug!(%error, "watch failed, trying again"),
            }
        }
    }

    fn note_definition(&self, served: &Served) {
        if DEFINING.contains(&&*served.group_resource()) {
            self.redefined.notify_one();
        }
    }

    fn observe(&self, served: &Served, object: &PartialObjectMeta<DynamicObject>) -> Uid {
        let meta = &object.metadata;
        let id = Identity {
            group: served.resource.group.clone(),
            kind: served.resource.kind.clone(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: control::meta::uid(meta).into(),
        };
        let uid = id.uid.clone();
        let work = self.graph.lock().observe(id, meta);
        self.queue(work);
        uid
    }
}

//! Pods that wait for a node, as upstream orders them: active ones by priority and age; those that failed
//! back off; those that no node fits wait until something changes that could help.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::pods::PodInfo;

pub const BACKOFF_MIN: Duration = Duration::from_secs(1);
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// After so long a pod is tried again although nothing that could help was seen.
const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(5 * 60);

/// Something that changed in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    NodeAdded,
    NodeLabels,
    NodeTaints,
    NodeAllocatable,
    /// A pod was given a node, or its labels changed there.
    PodPlaced,
    PodGone,
}

/// Whether a change can make `plugin` accept a pod that it refused.
fn can_help(plugin: &str, change: Change) -> bool {
    use Change::{NodeAdded, NodeAllocatable, NodeLabels, NodeTaints, PodGone, PodPlaced};
    let helpful: &[Change] = match plugin {
        "NodeName" => &[NodeAdded],
        "NodeUnschedulable" | "TaintToleration" => &[NodeAdded, NodeTaints],
        "NodeAffinity" => &[NodeAdded, NodeLabels],
        "NodePorts" => &[NodeAdded, PodGone],
        "NodeResourcesFit" => &[NodeAdded, NodeAllocatable, PodGone],
        _ => &[NodeAdded, NodeLabels, NodeTaints, PodPlaced, PodGone],
    };
    helpful.contains(&change)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Active,
    Backoff(Instant),
    Unschedulable {
        since: Instant,
        plugins: BTreeSet<&'static str>,
    },
    /// Being scheduled; what changed meanwhile decides where it goes if that fails.
    Working {
        changes: Vec<Change>,
    },
    /// Held back by its own scheduling gates.
    Gated,
}

struct Entry {
    pod: Arc<PodInfo>,
    attempts: u32,
    place: Place,
}

/// The order of active pods: highest priority first, then oldest.
type Rank = (std::cmp::Reverse<i32>, Timestamp, String);

/// Pods by uid, each in one place.
#[derive(Default)]
pub struct Queue {
    entries: HashMap<String, Entry>,
    active: BTreeSet<Rank>,
    /// When backing off ends.
    waking: BTreeSet<(Instant, String)>,
}

impl Queue {
    /// Takes in a pod, or its newer state. A pod that changed itself is tried again.
    pub fn set(&mut self, pod: Arc<PodInfo>, now: Instant) {
        let uid = pod.uid.clone();
        let gated = !pod.gates().is_empty();
        let Some(entry) = self.entries.get_mut(&uid) else {
            self.entries.insert(uid.clone(), Entry { pod, attempts: 0, place: Place::Gated });
            self.place(&uid, if gated { Place::Gated } else { Place::Active });
            return;
        };
        let changed = entry.pod.pod.spec != pod.pod.spec || entry.pod.labels() != pod.labels();
        let place = entry.place.clone();
        self.unplace(&uid);
        self.entries.get_mut(&uid).expect("it is there").pod = pod;
        let next = match place {
            Place::Working { .. } | Place::Backoff(_) | Place::Active => place,
            Place::Gated if gated => Place::Gated,
            Place::Gated => Place::Active,
            Place::Unschedulable { .. } if changed => self.retry_place(&uid, now),
            Place::Unschedulable { .. } => place,
        };
        self.place(&uid, next);
    }

    pub fn remove(&mut self, uid: &str) {
        self.unplace(uid);
        self.entries.remove(uid);
    }

    /// The next pod to schedule. It must be given back by [`Self::remove`], [`Self::failed`] or
    /// [`Self::unschedulable`].
    pub fn pop(&mut self, now: Instant) -> Option<Arc<PodInfo>> {
        self.wake(now);
        let (_, _, uid) = self.active.first()?.clone();
        self.unplace(&uid);
        self.place(&uid, Place::Working { changes: Vec::new() });
        let entry = self.entries.get_mut(&uid).expect("an active pod has an entry");
        entry.attempts += 1;
        Some(entry.pod.clone())
    }

    /// Scheduling went wrong for a reason that is not the pod's: it is tried again after its back-off.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        let place = self.backoff_place(uid, now);
        self.place(uid, place);
    }

    /// No node fits: the pod waits for a change that could help one of `plugins`.
    pub fn unschedulable(&mut self, uid: &str, plugins: BTreeSet<&'static str>, now: Instant) {
        let Some(entry) = self.entries.get(uid) else { return };
        let helped = match &entry.place {
            Place::Working { changes } => changes.iter().any(|change| helps(&plugins, *change)),
            _ => false,
        };
        let place = if helped { self.backoff_place(uid, now) } else { Place::Unschedulable { since: now, plugins } };
        self.place(uid, place);
    }

    /// Tells of a change; pods that it could help are tried again.
    pub fn changed(&mut self, change: Change, now: Instant) {
        let mut helped = Vec::new();
        for (uid, entry) in &mut self.entries {
            match &mut entry.place {
                Place::Unschedulable { plugins, .. } if helps(plugins, change) => helped.push(uid.clone()),
                Place::Working { changes } if !changes.contains(&change) => changes.push(change),
                _ => {}
            }
        }
        for uid in helped {
            let place = self.retry_place(&uid, now);
            self.place(&uid, place);
        }
    }

    /// When [`Self::pop`] may have something although nothing changed.
    pub fn next_wake(&self) -> Option<Instant> {
        let backoff = self.waking.first().map(|(at, _)| *at);
        let forgotten = self.entries.values().filter_map(|entry| match entry.place {
            Place::Unschedulable { since, .. } => Some(since + UNSCHEDULABLE_MAX),
            _ => None,
        });
        backoff.into_iter().chain(forgotten).min()
    }

    /// Pods that are active, backing off, and waiting for a change.
    pub fn lengths(&self) -> [usize; 3] {
        let waiting = self.entries.values().filter(|entry| matches!(entry.place, Place::Unschedulable { .. })).count();
        [self.active.len(), self.waking.len(), waiting]
    }

    fn wake(&mut self, now: Instant) {
        while let Some((_, uid)) = self.waking.first().filter(|(at, _)| *at <= now).cloned() {
            self.place(&uid, Place::Active);
        }
        let is_forgotten = |entry: &Entry| match entry.place {
            Place::Unschedulable { since, .. } => now >= since + UNSCHEDULABLE_MAX,
            _ => false,
        };
        let forgotten = self.entries.iter().filter(|(_, entry)| is_forgotten(entry)).map(|(uid, _)| uid.clone());
        for uid in forgotten.collect::<Vec<_>>() {
            self.place(&uid, Place::Active);
        }
    }

    /// Active if the pod's back-off is over, else backing off.
    fn retry_place(&self, uid: &str, now: Instant) -> Place {
        let Some(Entry { attempts, place: Place::Unschedulable { since, .. }, .. }) = self.entries.get(uid) else {
            return Place::Active;
        };
        let ends = *since + backoff(*attempts);
        if ends <= now { Place::Active } else { Place::Backoff(ends) }
    }

    fn backoff_place(&self, uid: &str, now: Instant) -> Place {
        Place::Backoff(now + backoff(self.entries.get(uid).map_or(1, |entry| entry.attempts)))
    }

    fn place(&mut self, uid: &str, place: Place) {
        self.unplace(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        match &place {
            Place::Active => drop(self.active.insert(rank(&entry.pod))),
            Place::Backoff(until) => drop(self.waking.insert((*until, uid.to_owned()))),
            _ => {}
        }
        entry.place = place;
    }

    fn unplace(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else { return };
        match &entry.place {
            Place::Active => drop(self.active.remove(&rank(&entry.pod))),
            Place::Backoff(until) => drop(self.waking.remove(&(*until, uid.to_owned()))),
            _ => {}
        }
    }
}

fn helps(plugins: &BTreeSet<&'static str>, change: Change) -> bool {
    // Without a plugin there was no node at all.
    if plugins.is_empty() { change == Change::NodeAdded } else { plugins.iter().any(|of| can_help(of, change)) }
}

fn backoff(attempts: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(BACKOFF_MAX)
}

fn rank(pod: &PodInfo) -> Rank {
    (std::cmp::Reverse(pod.priority()), pod.created(), pod.uid.clone())
}

#[cfg(test)]
mod tests;

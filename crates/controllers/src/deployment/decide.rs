//! How a deployment moves its replica sets towards its template. (upstream: pkg/controller/deployment)
//!
//! One call makes one step: it scales, creates or removes replica sets and says what the status is after
//! that. The next change of a replica set brings the next step.

use std::time::Duration;

use jiff::Timestamp;

use super::conditions::{self, Conditions, Progress};
use super::proportional;

/// A replica set of the deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct SetView {
    pub name: String,
    pub created: Timestamp,
    /// Its template is the deployment's.
    pub current: bool,
    /// `spec.replicas`
    pub wanted: i32,
    pub replicas: i32,
    pub ready: i32,
    pub available: i32,
    pub terminating: i32,
    pub revision: i64,
    /// `deployment.kubernetes.io/desired-replicas` and `…/max-replicas`
    pub noted_desired: Option<i32>,
    pub noted_max: Option<i32>,
    pub observed: bool,
    pub deleting: bool,
    /// Its annotations or `minReadySeconds` differ from the deployment's.
    pub stale: bool,
    /// Reason and message of its `ReplicaFailure` condition.
    pub failure: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Recreate,
    /// Both as counts of pods, already resolved against the number of replicas.
    RollingUpdate {
        max_surge: i32,
        max_unavailable: i32,
    },
}

/// The numbers of `status` and its conditions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub observed_generation: i64,
    pub replicas: i32,
    pub updated: i32,
    pub ready: i32,
    pub available: i32,
    pub unavailable: i32,
    pub terminating: i32,
    pub conditions: Conditions,
}

#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub name: String,
    pub generation: i64,
    pub desired: i32,
    pub paused: bool,
    pub deleting: bool,
    pub strategy: Strategy,
    /// Nothing if there is no deadline.
    pub progress_deadline: Option<Duration>,
    /// Old replica sets to keep; nothing keeps all.
    pub history_limit: Option<usize>,
    pub sets: Vec<SetView>,
    /// A pod of an old replica set has not ended yet.
    pub old_pods_running: bool,
    /// The name that a new replica set for the template gets.
    pub new_set_name: String,
    pub status: Status,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Makes the replica set of the present template.
    Create {
        replicas: i32,
        revision: i64,
    },
    /// Sets the current replica set's revision if its own is lower, and brings its annotations up to date.
    Refresh {
        set: String,
        revision: i64,
    },
    Scale {
        set: String,
        from: i32,
        to: i32,
    },
    Delete {
        set: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub status: Status,
    /// When the progress deadline passes.
    pub requeue_after: Option<Duration>,
}

/// The most pods there may be at once.
pub fn max_total(view: &View) -> i32 {
    match view.strategy {
        Strategy::Recreate => view.desired,
        Strategy::RollingUpdate { max_surge, .. } => view.desired + max_surge,
    }
}

fn max_unavailable(view: &View) -> i32 {
    match view.strategy {
        Strategy::RollingUpdate { max_unavailable, .. } if view.desired > 0 => max_unavailable.min(view.desired),
        _ => 0,
    }
}

/// The state that the steps below work on: `wanted` moves as actions are added.
struct Work<'a> {
    view: &'a View,
    sets: Vec<SetView>,
    actions: Vec<Action>,
    conditions: Conditions,
}

pub fn decide(view: &View) -> Plan {
    let mut sets = view.sets.clone();
    sets.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)));
    // Two sets of one template come from a lost race: the older one is the current one.
    let current = sets.iter().position(|set| set.current);
    sets.iter_mut().enumerate().for_each(|(at, set)| set.current = Some(at) == current);
    let mut work = Work { view, sets, actions: Vec::new(), conditions: view.status.conditions.clone() };
    if view.deleting {
        return work.plan(false);
    }
    work.note_pause();
    work.sync_revision();
    if view.paused || work.was_resized() {
        work.resize();
        if view.paused {
            work.clean_up();
        }
        return work.plan(false);
    }
    match view.strategy {
        Strategy::Recreate => work.recreate(),
        Strategy::RollingUpdate { .. } => work.roll(),
    }
    work.plan(true)
}

impl Work<'_> {
    fn current(&self) -> Option<usize> {
        self.sets.iter().position(|set| set.current)
    }

    fn old(&self) -> impl Iterator<Item = usize> + use<> {
        let old: Vec<usize> = (0..self.sets.len()).filter(|at| !self.sets[*at].current).collect();
        old.into_iter()
    }

    fn total_wanted(&self) -> i32 {
        self.sets.iter().map(|set| set.wanted).sum()
    }

    fn scale(&mut self, at: usize, to: i32) -> bool {
        let (desired, max) = (Some(self.view.desired), Some(max_total(self.view)));
        let set = &mut self.sets[at];
        let resized = set.wanted != to;
        if resized || set.noted_desired != desired || set.noted_max != max {
            self.actions.push(Action::Scale { set: set.name.clone(), from: set.wanted, to });
            (set.wanted, set.noted_desired, set.noted_max) = (to, desired, max);
        }
        resized
    }

    fn next_revision(&self) -> i64 {
        self.old().map(|at| self.sets[at].revision).max().unwrap_or_default() + 1
    }

    fn note_pause(&mut self) {
        if self.view.progress_deadline.is_some() {
            self.conditions.note_pause(self.view.paused, self.view.now);
        }
    }

    fn sync_revision(&mut self) {
        let Some(at) = self.current() else { return };
        let (revision, set) = (self.next_revision(), &mut self.sets[at]);
        if set.stale || set.revision < revision {
            set.revision = set.revision.max(revision);
            self.actions.push(Action::Refresh { set: set.name.clone(), revision: set.revision });
        }
        if self.view.progress_deadline.is_some() && self.conditions.progressing().is_none() {
            let message = format!("Found new replica set {:?}", set.name);
            self.conditions.set_progressing("True", "FoundNewReplicaSet", &message, self.view.now);
        }
    }

    /// Whether `spec.replicas` changed since the active sets were last scaled.
    fn was_resized(&self) -> bool {
        let mut active = self.sets.iter().filter(|set| set.wanted > 0);
        active.any(|set| set.noted_desired.is_some_and(|noted| noted != self.view.desired))
    }

    /// Brings the sets to a changed `spec.replicas` without moving the rollout.
    fn resize(&mut self) {
        if let Some(at) = self.active_or_latest() {
            if self.sets[at].wanted != self.view.desired {
                self.scale(at, self.view.desired);
            }
            return;
        }
        if self.is_saturated() {
            for at in self.old().filter(|at| self.sets[*at].wanted > 0).collect::<Vec<_>>() {
                self.scale(at, 0);
            }
            return;
        }
        if let Strategy::RollingUpdate { max_surge, .. } = self.view.strategy {
            let sizes = proportional::share(&self.sets, self.view.desired, max_surge, self.view.status.replicas);
            for (at, size) in sizes {
                self.scale(at, size);
            }
        }
    }

    /// The only active set, or if none is active the current or else the newest one.
    fn active_or_latest(&self) -> Option<usize> {
        let active: Vec<usize> = (0..self.sets.len()).filter(|at| self.sets[*at].wanted > 0).collect();
        match active[..] {
            [] => self.current().or_else(|| self.old().last()),
            [only] => Some(only),
            _ => None,
        }
    }

    /// The current set has all pods, and they are available.
    fn is_saturated(&self) -> bool {
        let desired = self.view.desired;
        let Some(at) = self.current() else { return false };
        let set = &self.sets[at];
        set.noted_desired == Some(desired) && set.wanted == desired && set.available == desired
    }

    fn roll(&mut self) {
        let moved = match self.current() {
            None => self.create(),
            Some(at) => self.grow_current(at),
        };
        if moved || self.shrink_old() {
            return;
        }
        if self.is_complete() {
            self.clean_up();
        }
    }

    fn recreate(&mut self) {
        let active: Vec<usize> = self.old().filter(|at| self.sets[*at].wanted > 0).collect();
        if !active.is_empty() {
            active.into_iter().for_each(|at| {
                self.scale(at, 0);
            });
            return;
        }
        if self.view.old_pods_running || self.old().any(|at| self.sets[at].replicas > 0) {
            return;
        }
        match self.current() {
            None => {
                self.create();
            }
            Some(at) => {
                self.scale(at, self.view.desired);
            }
        }
        if self.is_complete() {
            self.clean_up();
        }
    }

    /// Pods that the current set may have: all that are wanted, as far as the surge leaves room.
    fn current_size(&self, size: i32) -> i32 {
        let Strategy::RollingUpdate { .. } = self.view.strategy else { return self.view.desired };
        let room = max_total(self.view) - self.total_wanted();
        if room <= 0 { size } else { size + room.min(self.view.desired - size) }
    }

    fn create(&mut self) -> bool {
        let (replicas, revision) = (self.current_size(0), self.next_revision());
        let name = self.view.new_set_name.clone();
        self.actions.push(Action::Create { replicas, revision });
        if self.view.progress_deadline.is_some() {
            let message = format!("Created new replica set {name:?}");
            self.conditions.set_progressing("True", "NewReplicaSetCreated", &message, self.view.now);
        }
        self.sets.push(SetView {
            name,
            created: self.view.now,
            current: true,
            wanted: replicas,
            replicas: 0,
            ready: 0,
            available: 0,
            terminating: 0,
            revision,
            noted_desired: Some(self.view.desired),
            noted_max: Some(max_total(self.view)),
            observed: false,
            deleting: false,
            stale: false,
            failure: None,
        });
        replicas > 0
    }

    fn grow_current(&mut self, at: usize) -> bool {
        let size = self.sets[at].wanted;
        let to = if size > self.view.desired { self.view.desired } else { self.current_size(size) };
        self.scale(at, to)
    }

    /// Removes old pods: first those that are not available anyway, then as many as may be missing.
    fn shrink_old(&mut self) -> bool {
        let Some(current) = self.current() else { return false };
        let min_available = self.view.desired - max_unavailable(self.view);
        let starting = self.sets[current].wanted - remaining(&self.sets[current]);
        let budget = self.total_wanted() - min_available - starting;
        if budget <= 0 || self.old().all(|at| self.sets[at].wanted == 0) {
            return false;
        }
        let unhealthy = self.shrink(budget, |set| set.wanted - set.available);
        let available: i32 = self.sets.iter().map(remaining).sum();
        let healthy = self.shrink(available - min_available, |set| set.wanted);
        unhealthy + healthy > 0
    }

    /// Takes up to `budget` pods from the old sets, oldest first, and from each no more than `most` says.
    fn shrink(&mut self, budget: i32, most: impl Fn(&SetView) -> i32) -> i32 {
        let mut left = budget.max(0);
        for at in self.old() {
            let cut = left.min(most(&self.sets[at])).min(self.sets[at].wanted);
            if cut > 0 {
                self.scale(at, self.sets[at].wanted - cut);
                left -= cut;
            }
        }
        budget.max(0) - left
    }

    /// Whether the status that clients see already shows the whole rollout.
    fn is_complete(&self) -> bool {
        is_complete(self.view, &self.view.status)
    }

    /// Deletes the oldest sets that history need not keep.
    fn clean_up(&mut self) {
        let Some(limit) = self.view.history_limit else { return };
        let mut old: Vec<&SetView> = self.old().map(|at| &self.sets[at]).filter(|set| !set.deleting).collect();
        let surplus = old.len().saturating_sub(limit);
        old.sort_by_key(|set| set.revision);
        let idle = old.into_iter().take(surplus).filter(|set| set.replicas == 0 && set.wanted == 0 && set.observed);
        let deletes: Vec<Action> = idle.map(|set| Action::Delete { set: set.name.clone() }).collect();
        self.actions.extend(deletes);
    }

    /// `rolling`: whether progress is judged; a paused or resized deployment only counts.
    fn plan(self, rolling: bool) -> Plan {
        let mut status = self.count();
        let mut requeue_after = None;
        if rolling {
            requeue_after = self.judge(&mut status);
        }
        Plan { actions: self.actions, status, requeue_after }
    }

    fn count(&self) -> Status {
        let sum = |of: fn(&SetView) -> i32| self.sets.iter().map(of).sum::<i32>();
        let available = sum(|set| set.available);
        let mut conditions = self.conditions.clone();
        conditions.set_available(available >= self.view.desired - max_unavailable(self.view), self.view.now);
        Status {
            observed_generation: self.view.generation,
            replicas: sum(|set| set.replicas),
            updated: self.current().map(|at| self.sets[at].replicas).unwrap_or_default(),
            ready: sum(|set| set.ready),
            available,
            unavailable: (sum(|set| set.wanted) - available).max(0),
            terminating: sum(|set| set.terminating),
            conditions,
        }
    }

    fn judge(&self, status: &mut Status) -> Option<Duration> {
        let view = self.view;
        match view.progress_deadline {
            None => status.conditions.remove_progressing(),
            Some(deadline) => {
                let facts = Progress {
                    subject: self.subject(),
                    complete: is_complete(view, status),
                    settled: status.replicas == status.updated,
                    moved: has_moved(&view.status, status),
                    deadline,
                    now: view.now,
                };
                conditions::judge(&mut status.conditions, &facts);
            }
        }
        let failing = self.current().into_iter().chain(self.old()).find_map(|at| self.sets[at].failure.as_ref());
        status.conditions.set_failure(failing, view.now);
        let deadline = view.progress_deadline.filter(|_| !is_complete(view, status))?;
        conditions::deadline_in(&status.conditions, deadline, view.now)
    }

    /// What the progress messages talk about.
    fn subject(&self) -> String {
        match self.current() {
            Some(at) => format!("ReplicaSet {:?}", self.sets[at].name),
            None => format!("Deployment {:?}", self.view.name),
        }
    }
}

/// Available pods that stay: a set that was just scaled down still reports those that are about to go.
/// (Upstream trusts the report, and may then remove more than `maxUnavailable` allows.)
fn remaining(set: &SetView) -> i32 {
    set.available.min(set.wanted)
}

fn is_complete(view: &View, status: &Status) -> bool {
    let all = [status.updated, status.replicas, status.available];
    all == [view.desired; 3] && status.observed_generation >= view.generation
}

fn has_moved(old: &Status, new: &Status) -> bool {
    new.updated > old.updated
        || new.replicas - new.updated < old.replicas - old.updated
        || new.ready > old.ready
        || new.available > old.available
}

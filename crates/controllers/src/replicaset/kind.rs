//! The two kinds that keep replicas of a pod.

use std::time::Duration;

use control::meta::Labels;
use control::{Error, Watched, pods};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use serde::Serialize;

use super::Failure;
use super::decide::Counts;

/// A kind that wants a number of pods of a template.
pub trait Replicated: Watched + Serialize + Resource<Scope = NamespaceResourceScope> {
    const QUEUE: &'static str;
    /// The source of its events.
    const COMPONENT: &'static str;

    fn replicas(&self) -> usize;
    fn min_ready(&self) -> Duration;
    fn selector(&self) -> Result<Labels, Error>;
    fn template(&self) -> Option<&PodTemplateSpec>;
    fn set_status(&mut self, counts: Counts, failure: Option<&Failure>, now: Time);
    fn same_status(&self, other: &Self) -> bool;
}

fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn natural(count: Option<i32>) -> usize {
    usize::try_from(count.unwrap_or(1)).unwrap_or_default()
}

impl Replicated for ReplicaSet {
    const QUEUE: &'static str = "replicaset";
    const COMPONENT: &'static str = "replicaset-controller";

    fn replicas(&self) -> usize {
        natural(self.spec.as_ref().and_then(|spec| spec.replicas))
    }

    fn min_ready(&self) -> Duration {
        pods::seconds(self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default().into())
    }

    fn selector(&self) -> Result<Labels, Error> {
        Labels::compile(self.spec.as_ref().map(|spec| &spec.selector))
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn set_status(&mut self, counts: Counts, failure: Option<&Failure>, now: Time) {
        let old = self.status.take().unwrap_or_default();
        let mut conditions = old.conditions.unwrap_or_default();
        let former = conditions.iter().position(|condition| condition.type_ == "ReplicaFailure");
        let former = former.map(|at| conditions.remove(at));
        conditions.extend(failure.map(|failure| match former {
            Some(former) if former.reason.as_deref() == Some(failure.reason) => former,
            _ => ReplicaSetCondition {
                type_: "ReplicaFailure".to_owned(),
                status: "True".to_owned(),
                reason: Some(failure.reason.to_owned()),
                message: Some(failure.message.clone()),
                last_transition_time: Some(now),
            },
        }));
        self.status = Some(ReplicaSetStatus {
            replicas: int(counts.replicas),
            fully_labeled_replicas: Some(int(counts.fully_labeled)),
            ready_replicas: Some(int(counts.ready)),
            available_replicas: Some(int(counts.available)),
            terminating_replicas: Some(int(counts.terminating)),
            observed_generation: self.metadata.generation,
            conditions: (!conditions.is_empty()).then_some(conditions),
        });
    }

    fn same_status(&self, other: &Self) -> bool {
        let tidy = |status: &Option<ReplicaSetStatus>| {
            let status = status.clone().unwrap_or_default();
            let count = |value: Option<i32>| Some(value.unwrap_or_default());
            ReplicaSetStatus {
                fully_labeled_replicas: count(status.fully_labeled_replicas),
                ready_replicas: count(status.ready_replicas),
                available_replicas: count(status.available_replicas),
                terminating_replicas: count(status.terminating_replicas),
                conditions: Some(status.conditions.unwrap_or_default()),
                ..status
            }
        };
        tidy(&self.status) == tidy(&other.status)
    }
}

impl Replicated for ReplicationController {
    const QUEUE: &'static str = "replicationmanager";
    const COMPONENT: &'static str = "replication-controller";

    fn replicas(&self) -> usize {
        natural(self.spec.as_ref().and_then(|spec| spec.replicas))
    }

    fn min_ready(&self) -> Duration {
        pods::seconds(self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default().into())
    }

    fn selector(&self) -> Result<Labels, Error> {
        let pairs = self.spec.as_ref().and_then(|spec| spec.selector.as_ref()).filter(|pairs| !pairs.is_empty());
        pairs.map_or_else(|| Labels::compile(None), |pairs| Ok(Labels::pairs(pairs)))
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn set_status(&mut self, counts: Counts, failure: Option<&Failure>, now: Time) {
        let old = self.status.take().unwrap_or_default();
        let mut conditions = old.conditions.unwrap_or_default();
        let former = conditions.iter().position(|condition| condition.type_ == "ReplicaFailure");
        let former = former.map(|at| conditions.remove(at));
        conditions.extend(failure.map(|failure| match former {
            Some(former) if former.reason.as_deref() == Some(failure.reason) => former,
            _ => ReplicationControllerCondition {
                type_: "ReplicaFailure".to_owned(),
                status: "True".to_owned(),
                reason: Some(failure.reason.to_owned()),
                message: Some(failure.message.clone()),
                last_transition_time: Some(now),
            },
        }));
        self.status = Some(ReplicationControllerStatus {
            replicas: int(counts.replicas),
            fully_labeled_replicas: Some(int(counts.fully_labeled)),
            ready_replicas: Some(int(counts.ready)),
            available_replicas: Some(int(counts.available)),
            observed_generation: self.metadata.generation,
            conditions: (!conditions.is_empty()).then_some(conditions),
        });
    }

    fn same_status(&self, other: &Self) -> bool {
        let tidy = |status: &Option<ReplicationControllerStatus>| {
            let status = status.clone().unwrap_or_default();
            let count = |value: Option<i32>| Some(value.unwrap_or_default());
            ReplicationControllerStatus {
                fully_labeled_replicas: count(status.fully_labeled_replicas),
                ready_replicas: count(status.ready_replicas),
                available_replicas: count(status.available_replicas),
                conditions: Some(status.conditions.unwrap_or_default()),
                ..status
            }
        };
        tidy(&self.status) == tidy(&other.status)
    }
}

//! The controllers of the cluster: one folder each, with the decision in `decide.rs` (pure), the wiring in
//! `mod.rs` and the tests beside them.

pub mod accounttokens;
pub mod addresses;
mod aggregation;
pub mod cronjob;
pub mod daemonset;
pub mod definitions;
pub mod deployment;
mod discovery;
pub mod disruption;
pub mod endpoints;
pub mod garbage;
mod history;
pub mod job;
pub mod migration;
pub mod namespace;
pub mod nodes;
pub mod podgc;
mod podset;
pub mod policystatus;
mod protection;
pub mod publish;
pub mod quota;
pub mod replicaset;
mod run;
pub mod servicecidr;
pub mod statefulset;
pub mod storage;
pub mod ttl;

pub use run::{ControllersConfig, run, run_beside_manager};

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The server's own words about a failed request.
fn reason_text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// The pod's conditions, with one that says why it is about to be removed.
fn disruption_target(pod: &Pod, reason: &str, message: &str) -> Vec<PodCondition> {
    let mut conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions.retain(|condition| condition.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(clock::now_seconds())),
        ..PodCondition::default()
    });
    conditions
}

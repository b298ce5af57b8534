//! From a job and its pods to the view, and from the job to new pods.

use std::sync::Arc;

use control::{meta, pods};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use kube::ResourceExt;

use super::decide::{Phase, PodView, Verdict, View};
use super::{INDEX, TRACKING, policy, status};
use crate::{podset, replicaset};

const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

pub fn view(job: &Job, pods: &[Arc<Pod>], in_flight: bool, now: Timestamp) -> View {
    let spec = job.spec.clone().unwrap_or_default();
    let replace_failed_only =
        spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some();
    View {
        parallelism: spec.parallelism.unwrap_or(1),
        completions: spec.completions,
        indexed: spec.completion_mode.as_deref() == Some("Indexed"),
        backoff_limit: spec.backoff_limit.unwrap_or(6),
        deadline: spec.active_deadline_seconds.map(pods::seconds),
        suspended: spec.suspend.unwrap_or_default(),
        replace_failed_only,
        deleting: meta::is_terminating(&job.metadata),
        in_flight,
        started: job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0),
        counted: status::counted(job),
        end: status::end(job),
        pods: pods.iter().map(|pod| pod_view(job, pod, now)).collect(),
        now,
    }
}

fn pod_view(job: &Job, pod: &Pod, now: Timestamp) -> PodView {
    let phase = match pods::phase(pod) {
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        _ => Phase::Active,
    };
    let tracked = meta::has_finalizer(&pod.metadata, TRACKING);
    let policy = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref());
    PodView {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        terminating: pods::is_terminating(pod),
        ready: pods::is_ready(pod),
        tracked,
        index: meta::annotation(&pod.metadata, INDEX).and_then(|text| text.parse().ok()),
        finished_at: (phase != Phase::Active).then(|| finished_at(pod)).flatten(),
        verdict: if phase == Phase::Failed && tracked { policy::judge(policy, pod) } else { Verdict::Count },
        order: replicaset::removal_facts(pod, &std::collections::HashMap::new(), now),
        phase,
    }
}

/// When the last container ended, or else when the pod stopped being ready, or was made.
fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ended = statuses.filter_map(|container| container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    let unready =
        || pods::condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0);
    ended.map(|time| time.0).max().or_else(unready).or_else(|| meta::created_at(&pod.metadata))
}

/// A new pod; of an indexed job with its index.
pub fn new_pod(job: &Job, index: Option<i32>) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let name = job.name_any();
    let prefix = index.map_or_else(|| name.clone(), |index| format!("{name}-{index}"));
    let owner = meta::controller_ref(job);
    let mut pod = podset::from_template(&template, &job.namespace().unwrap_or_default(), &prefix, owner);
    pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
    if let Some(index) = index {
        pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
        pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
        let spec = pod.spec.get_or_insert_default();
        spec.hostname.get_or_insert(prefix);
        let init = spec.init_containers.iter_mut().flatten();
        for container in init.chain(&mut spec.containers) {
            let env = container.env.get_or_insert_default();
            if !env.iter().any(|variable| variable.name == INDEX_VARIABLE) {
                env.push(index_variable());
            }
        }
    }
    pod
}

fn index_variable() -> EnvVar {
    let field = ObjectFieldSelector { field_path: format!("metadata.labels['{INDEX}']"), api_version: None };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: INDEX_VARIABLE.to_owned(), value_from: Some(source), value: None }
}

//! Deletes jobs some time after they have ended. (upstream: pkg/controller/ttlafterfinished)

use async_trait::async_trait;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta, pods};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PropagationPolicy;
use kube::{Api, Client};
use std::time::Duration;

pub struct TtlAfterFinished {
    client: Client,
    jobs: Informer<Job>,
}

impl TtlAfterFinished {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), jobs: shell.informers.get() }
    }
}

/// The time that an ended job has left; nothing if it stays or still runs.
fn left(job: &Job, now: Timestamp) -> Option<Duration> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let finished = crate::job::finished_at(job).filter(|_| !meta::is_terminating(&job.metadata))?;
    Some(pods::remaining(finished, pods::seconds(ttl.into()), now))
}

#[async_trait]
impl Controller for TtlAfterFinished {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "ttl_jobs_to_delete"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<Job>| {
            let job = change.object();
            left(job, clock::now()).map(|_| ObjectKey::of(&job.metadata))
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(job) = self.jobs.get(key) else { return Ok(Requeue::No) };
        match left(&job, clock::now()) {
            None => Ok(Requeue::No),
            Some(left) if !left.is_zero() => Ok(Requeue::After(left)),
            Some(_) => {
                let api = Api::<Job>::namespaced(self.client.clone(), &key.namespace);
                let foreground = Some(PropagationPolicy::Foreground);
                control::write::delete_uid(&api, &key.name, meta::uid(&job.metadata), foreground).await?;
                Ok(Requeue::No)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_ended_jobs_run_out() {
        let job = |type_: &str, ttl: Option<i32>| -> Job {
            let condition = json!({ "type": type_, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
            let spec = json!({ "ttlSecondsAfterFinished": ttl, "template": {} });
            serde_json::from_value(json!({ "metadata": {}, "spec": spec, "status": { "conditions": [condition] } }))
                .unwrap()
        };
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        assert_eq!(left(&job("Complete", Some(30)), now), Some(Duration::from_secs(20)));
        assert_eq!(left(&job("Failed", Some(5)), now), Some(Duration::ZERO));
        assert_eq!(left(&job("Suspended", Some(5)), now), None);
        assert_eq!(left(&job("Complete", None), now), None);
    }
}

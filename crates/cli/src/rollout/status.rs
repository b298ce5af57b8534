//! How far a roll-out is, in kubectl's words.
//!
//! upstream: staging/src/k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go

use serde_json::Value;

use crate::{Error, Result};

/// The line to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Going(String),
    Done(String),
}

impl Progress {
    pub fn text(&self) -> &str {
        match self {
            Progress::Going(text) | Progress::Done(text) => text,
        }
    }
}

/// What the object's status tells.
pub fn of(object: &Value) -> Result<Progress> {
    let view = View(object);
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => deployment(view),
        "DaemonSet" => daemon_set(view),
        "StatefulSet" => stateful_set(view),
        other => Err(Error::plain(format!("no status viewer has been implemented for {other}"))),
    }
}

#[derive(Clone, Copy)]
struct View<'a>(&'a Value);

impl View<'_> {
    fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn status(&self, field: &str) -> i64 {
        self.0["status"][field].as_i64().unwrap_or_default()
    }

    fn replicas(&self) -> i64 {
        self.0["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    fn is_observed(&self) -> bool {
        self.0["metadata"]["generation"].as_i64().unwrap_or_default() <= self.status("observedGeneration")
    }

    fn exceeded_its_deadline(&self) -> bool {
        let conditions = self.0["status"]["conditions"].as_array().into_iter().flatten();
        let progressing = conditions.filter(|condition| condition["type"] == "Progressing");
        progressing.into_iter().any(|condition| condition["reason"] == "ProgressDeadlineExceeded")
    }

    fn must_roll(&self) -> Result<()> {
        match self.0["spec"]["updateStrategy"]["type"].as_str() {
            None | Some("RollingUpdate") => Ok(()),
            _ => Err(Error::plain("rollout status is only available for RollingUpdate strategy type")),
        }
    }
}

fn going(text: String) -> Result<Progress> {
    Ok(Progress::Going(text + "\n"))
}

fn done(text: String) -> Result<Progress> {
    Ok(Progress::Done(text + "\n"))
}

fn deployment(view: View) -> Result<Progress> {
    if !view.is_observed() {
        return going("Waiting for deployment spec update to be observed...".to_owned());
    }
    let name = view.name();
    if view.exceeded_its_deadline() {
        return Err(Error::plain(format!("deployment {name:?} exceeded its progress deadline")));
    }
    let (all, wanted) = (view.status("replicas"), view.replicas());
    let (updated, available) = (view.status("updatedReplicas"), view.status("availableReplicas"));
    let waiting = |what: String| going(format!("Waiting for deployment {name:?} rollout to finish: {what}..."));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if all > updated {
        return waiting(format!("{} old replicas are pending termination", all - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    done(format!("deployment {name:?} successfully rolled out"))
}

fn daemon_set(view: View) -> Result<Progress> {
    view.must_roll()?;
    if !view.is_observed() {
        return going("Waiting for daemon set spec update to be observed...".to_owned());
    }
    let name = view.name();
    let wanted = view.status("desiredNumberScheduled");
    let (updated, available) = (view.status("updatedNumberScheduled"), view.status("numberAvailable"));
    let waiting = |what: String| going(format!("Waiting for daemon set {name:?} rollout to finish: {what}..."));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new pods have been updated"));
    }
    if available < wanted {
        return waiting(format!("{available} of {wanted} updated pods are available"));
    }
    done(format!("daemon set {name:?} successfully rolled out"))
}

fn stateful_set(view: View) -> Result<Progress> {
    view.must_roll()?;
    if view.status("observedGeneration") == 0 || !view.is_observed() {
        return going("Waiting for statefulset spec update to be observed...".to_owned());
    }
    let (wanted, ready, updated) = (view.replicas(), view.status("readyReplicas"), view.status("updatedReplicas"));
    if ready < wanted {
        return going(format!("Waiting for {} pods to be ready...", wanted - ready));
    }
    if let Some(partition) = view.0["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64() {
        let due = wanted - partition;
        if updated < due {
            let what = format!("{updated} out of {due} new pods have been updated");
            return going(format!("Waiting for partitioned roll out to finish: {what}..."));
        }
        return done(format!("partitioned roll out complete: {updated} new pods have been updated..."));
    }
    let revision = |field: &str| view.0["status"][field].as_str().unwrap_or_default().to_owned();
    let (current, update) = (revision("currentRevision"), revision("updateRevision"));
    if current != update {
        let what = format!("{updated} pods at revision {update}");
        return going(format!("waiting for statefulset rolling update to complete {what}..."));
    }
    let count = view.status("currentReplicas");
    done(format!("statefulset rolling update complete {count} pods at revision {current}..."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, spec: Value, status: Value, expected: &str) {
        let object =
            json!({"kind": kind, "metadata": {"name": "web", "generation": 2}, "spec": spec, "status": status});
        let found =
            of(&object).map_or_else(|error| error.to_string(), |progress| progress.text().trim_end().to_owned());
        assert_eq!(found, expected);
    }

    #[test]
    fn a_deployment_passes_through_its_stages() {
        let check = |status: [i64; 4], expected: &str| {
            let [seen, all, updated, available] = status;
            let status = json!({"observedGeneration": seen, "replicas": all, "updatedReplicas": updated,
                "availableReplicas": available});
            check("Deployment", json!({"replicas": 3}), status, expected);
        };
        let waiting = "Waiting for deployment \"web\" rollout to finish:";
        check([1, 0, 0, 0], "Waiting for deployment spec update to be observed...");
        check([2, 3, 1, 0], &format!("{waiting} 1 out of 3 new replicas have been updated..."));
        check([2, 4, 3, 0], &format!("{waiting} 1 old replicas are pending termination..."));
        check([2, 3, 3, 2], &format!("{waiting} 2 of 3 updated replicas are available..."));
        check([2, 3, 3, 3], "deployment \"web\" successfully rolled out");
    }

    #[test]
    fn a_deployment_may_miss_its_deadline() {
        let condition = json!({"type": "Progressing", "reason": "ProgressDeadlineExceeded"});
        let status = json!({"observedGeneration": 2, "conditions": [condition]});
        check("Deployment", json!({}), status, "error: deployment \"web\" exceeded its progress deadline");
    }

    #[test]
    fn daemon_sets_count_nodes() {
        let status = |updated, available| {
            json!({"observedGeneration": 2, "desiredNumberScheduled": 2,
            "updatedNumberScheduled": updated, "numberAvailable": available})
        };
        let waiting = "Waiting for daemon set \"web\" rollout to finish:";
        check("DaemonSet", json!({}), status(1, 0), &format!("{waiting} 1 out of 2 new pods have been updated..."));
        check("DaemonSet", json!({}), status(2, 1), &format!("{waiting} 1 of 2 updated pods are available..."));
        check("DaemonSet", json!({}), status(2, 2), "daemon set \"web\" successfully rolled out");
        let by_hand = json!({"updateStrategy": {"type": "OnDelete"}});
        let refusal = "error: rollout status is only available for RollingUpdate strategy type";
        check("DaemonSet", by_hand, status(2, 2), refusal);
    }

    #[test]
    fn stateful_sets_follow_their_revisions() {
        let status = |ready, updated, current: &str| {
            json!({"observedGeneration": 2, "readyReplicas": ready,
            "updatedReplicas": updated, "currentReplicas": 2, "currentRevision": current, "updateRevision": "r2"})
        };
        let spec = json!({"replicas": 2});
        check("StatefulSet", spec.clone(), status(1, 0, "r1"), "Waiting for 1 pods to be ready...");
        let text = "waiting for statefulset rolling update to complete 1 pods at revision r2...";
        check("StatefulSet", spec.clone(), status(2, 1, "r1"), text);
        let text = "statefulset rolling update complete 2 pods at revision r2...";
        check("StatefulSet", spec, status(2, 2, "r2"), text);
        let partitioned = json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
        let text = "partitioned roll out complete: 1 new pods have been updated...";
        check("StatefulSet", partitioned, status(2, 1, "r1"), text);
    }
}

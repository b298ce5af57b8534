//! What a workload was before: replica sets of deployments, controller revisions of the others.

use machinery::patch::strategic_merge_patch;
use serde_json::{Map, Value, json};

use crate::align::align;
use crate::{Error, Result, apply};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const HASH_LABEL: &str = "pod-template-hash";

/// Annotations that are the deployment's own, whatever its template is.
const OWN_ANNOTATIONS: [&str; 6] = [
    apply::LAST_APPLIED,
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    pub number: i64,
    pub change_cause: String,
    pub template: Value,
    annotations: Map<String, Value>,
    /// The strategic merge patch that goes back to it; deployments have none.
    pub patch: Option<Value>,
}

impl Revision {
    pub fn is_current(&self, workload: &Value) -> bool {
        self.template == workload["spec"]["template"]
    }
}

/// The revisions of a workload among these objects, oldest first.
pub fn of(workload: &Value, objects: &[Value]) -> Vec<Revision> {
    let uid = &workload["metadata"]["uid"];
    let owned = |object: &&Value| {
        let mut owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|owner| owner["controller"] == true && owner["uid"] == *uid)
    };
    let is_deployment = workload["kind"] == "Deployment";
    let read = |object| if is_deployment { of_replica_set(object) } else { of_controller_revision(workload, object) };
    let mut revisions: Vec<Revision> = objects.iter().filter(owned).filter_map(read).collect();
    revisions.sort_by_key(|revision| revision.number);
    revisions
}

fn annotations(object: &Value) -> Map<String, Value> {
    object["metadata"]["annotations"].as_object().cloned().unwrap_or_default()
}

fn cause(annotations: &Map<String, Value>) -> String {
    annotations.get(CHANGE_CAUSE).and_then(Value::as_str).unwrap_or("<none>").to_owned()
}

fn of_replica_set(set: &Value) -> Option<Revision> {
    let annotations = annotations(set);
    let number = annotations.get(REVISION)?.as_str()?.parse().ok()?;
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    Some(Revision { number, change_cause: cause(&annotations), template, annotations, patch: None })
}

fn of_controller_revision(workload: &Value, revision: &Value) -> Option<Revision> {
    let annotations = annotations(revision);
    let message = format!("io.k8s.api.apps.v1.{}", workload["kind"].as_str()?);
    let restored = strategic_merge_patch(workload.clone(), &revision["data"], &message).ok()?;
    Some(Revision {
        number: revision["revision"].as_i64()?,
        change_cause: cause(&annotations),
        template: restored["spec"]["template"].clone(),
        annotations,
        patch: Some(revision["data"].clone()),
    })
}

/// The revision of this number, or for 0 the one before the last.
pub fn choose<'a>(revisions: &'a [Revision], number: i64, name: &str) -> Result<&'a Revision> {
    if number > 0 {
        let missing = || Error::plain(format!("unable to find specified revision {number} in history"));
        return revisions.iter().find(|revision| revision.number == number).ok_or_else(missing);
    }
    let before = revisions.len().checked_sub(2).map(|at| &revisions[at]);
    before.ok_or_else(|| Error::plain(format!("no rollout history found for deployment {name:?}")))
}

/// Puts the template back, and the annotations that came with it.
pub fn deployment_patch(deployment: &Value, revision: &Revision) -> Value {
    let is_own = |name: &String| OWN_ANNOTATIONS.contains(&name.as_str());
    let kept = annotations(deployment).into_iter().filter(|(name, _)| is_own(name));
    let restored = revision.annotations.clone().into_iter().filter(|(name, _)| !is_own(name));
    let annotations: Map<String, Value> = kept.chain(restored).collect();
    json!([
        {"op": "replace", "path": "/spec/template", "value": revision.template},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ])
}

pub fn table(revisions: &[Revision]) -> String {
    let rows = revisions.iter().map(|revision| format!("{}\t{}\n", revision.number, revision.change_cause));
    align(&format!("REVISION\tCHANGE-CAUSE\n{}", rows.collect::<String>()), 0, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(revision: &str, image: &str, owner: &str) -> Value {
        json!({"metadata": {"annotations": {REVISION: revision, CHANGE_CAUSE: image, "deployment.kubernetes.io/max-replicas": "4"},
                "ownerReferences": [{"controller": true, "uid": owner}]},
            "spec": {"template": {"metadata": {"labels": {"a": "b", HASH_LABEL: "x"}}, "spec": {"image": image}}}})
    }

    fn deployment() -> Value {
        json!({"kind": "Deployment", "metadata": {"uid": "u", "annotations": {REVISION: "10", "mine": "x"}},
            "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"image": "two"}}}})
    }

    #[test]
    fn a_deployment_goes_back_to_the_revision_before() {
        let sets = [set("10", "two", "u"), set("2", "one", "u"), set("3", "other", "v")];
        let revisions = of(&deployment(), &sets);
        assert_eq!(table(&revisions), "REVISION  CHANGE-CAUSE\n2         one\n10        two\n");
        let chosen = choose(&revisions, 0, "web").unwrap();
        assert!(chosen.number == 2 && !chosen.is_current(&deployment()));
        assert!(choose(&revisions, 10, "web").unwrap().is_current(&deployment()));
        let patch = deployment_patch(&deployment(), chosen);
        assert_eq!(patch[0]["value"], json!({"metadata": {"labels": {"a": "b"}}, "spec": {"image": "one"}}));
        assert_eq!(patch[1]["value"], json!({REVISION: "10", CHANGE_CAUSE: "one"}));
    }

    #[test]
    fn what_is_not_in_the_history_is_an_error() {
        let revisions = of(&deployment(), &[set("1", "one", "u")]);
        let error = |number| choose(&revisions, number, "web").unwrap_err().to_string();
        assert_eq!(error(7), "error: unable to find specified revision 7 in history");
        assert_eq!(error(0), "error: no rollout history found for deployment \"web\"");
    }

    #[test]
    fn stateful_sets_keep_patches() {
        let template = |image: &str| json!({"spec": {"containers": [{"name": "a", "image": image}]}});
        let workload = json!({"kind": "StatefulSet", "metadata": {"uid": "u"}, "spec": {"template": template("2")}});
        let mut data = json!({"spec": {"template": template("1")}});
        data["spec"]["template"]["$patch"] = "replace".into();
        let revision =
            json!({"revision": 1, "data": data, "metadata": {"ownerReferences": [{"controller": true, "uid": "u"}]}});
        let revisions = of(&workload, &[revision]);
        assert_eq!(revisions[0].template, template("1"));
        assert_eq!(revisions[0].patch, Some(data));
    }
}

//! A deployment.

use machinery::percent::encode;
use serde_json::Value;

use super::containers::describe_template;
use super::events;
use super::text::{Text, items, plain, text};
use crate::ages::long_date;
use crate::connection::Session;
use crate::{Result, logs};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// The replica sets that the deployment controls.
pub async fn replica_sets(session: &Session, deployment: &Value) -> Result<Vec<Value>> {
    let namespace = encode(text(&deployment["metadata"]["namespace"]));
    let list = session.get(&format!("/apis/apps/v1/namespaces/{namespace}/replicasets")).await?;
    let uid = &deployment["metadata"]["uid"];
    let owned = |set: &&Value| {
        items(&set["metadata"]["ownerReferences"])
            .iter()
            .any(|owner| owner["controller"] == true && owner["uid"] == *uid)
    };
    Ok(items(&list["items"]).iter().filter(owned).cloned().collect())
}

pub fn describe(to: &mut Text, deployment: &Value, sets: &[Value]) {
    let (metadata, spec) = (&deployment["metadata"], &deployment["spec"]);
    to.head(deployment);
    to.field(0, "CreationTimestamp", long_date(text(&metadata["creationTimestamp"])));
    to.labels(0, &metadata["labels"]);
    to.annotations(0, &metadata["annotations"]);
    to.field(0, "Selector", logs::selector(deployment).unwrap_or_else(|| "<none>".to_owned()));
    to.field(0, "Replicas", replicas(deployment));
    to.field(0, "StrategyType", text(&spec["strategy"]["type"]));
    to.field(0, "MinReadySeconds", spec["minReadySeconds"].as_i64().unwrap_or_default());
    if let rolling @ Value::Object(_) = &spec["strategy"]["rollingUpdate"] {
        let (unavailable, surge) = (plain(&rolling["maxUnavailable"]), plain(&rolling["maxSurge"]));
        to.field(0, "RollingUpdateStrategy", format!("{unavailable} max unavailable, {surge} max surge"));
    }
    describe_template(to, &spec["template"]);
    events::conditions(to, deployment, true);
    let current = metadata["annotations"][REVISION].as_str();
    let is_new = |set: &&Value| current.is_some() && set["metadata"]["annotations"][REVISION].as_str() == current;
    let (new, old): (Vec<&Value>, Vec<&Value>) = sets.iter().partition(is_new);
    to.field(0, "OldReplicaSets", listed(&old));
    to.field(0, "NewReplicaSet", listed(&new));
}

fn replicas(deployment: &Value) -> String {
    let status = |field: &str| deployment["status"][field].as_i64().unwrap_or_default();
    format!(
        "{} desired | {} updated | {} total | {} available | {} unavailable",
        deployment["spec"]["replicas"].as_i64().unwrap_or(1),
        status("updatedReplicas"),
        status("replicas"),
        status("availableReplicas"),
        status("unavailableReplicas")
    )
}

fn listed(sets: &[&Value]) -> String {
    let one = |set: &&Value| {
        let (made, wanted) = (&set["status"]["replicas"], &set["spec"]["replicas"]);
        let (made, wanted) = (made.as_i64().unwrap_or_default(), wanted.as_i64().unwrap_or_default());
        format!("{} ({made}/{wanted} replicas created)", text(&set["metadata"]["name"]))
    };
    let all = sets.iter().map(one).collect::<Vec<_>>().join(", ");
    if all.is_empty() { "<none>".to_owned() } else { all }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_with_two_replica_sets() {
        let deployment = json!({"metadata": {"name": "web", "namespace": "ns", "creationTimestamp": "2026-01-02T03:04:05Z",
            "annotations": {REVISION: "2"}}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}},
            "status": {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1, "unavailableReplicas": 1,
            "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]}});
        let set = |name: &str, revision: &str, count: i64| {
            json!({"metadata": {"name": name, "annotations": {REVISION: revision}},
            "spec": {"replicas": count}, "status": {"replicas": count}})
        };
        let mut text = Text::default();
        describe(&mut text, &deployment, &[set("web-1", "1", 0), set("web-2", "2", 2)]);
        expect![[r#"
            Name:                   web
            Namespace:              ns
            CreationTimestamp:      Fri, 02 Jan 2026 03:04:05 +0000
            Labels:                 <none>
            Annotations:            deployment.kubernetes.io/revision: 2
            Selector:               app=web
            Replicas:               2 desired | 2 updated | 2 total | 1 available | 1 unavailable
            StrategyType:           RollingUpdate
            MinReadySeconds:        0
            RollingUpdateStrategy:  1 max unavailable, 25% max surge
            Pod Template:
              Labels:  app=web
              Containers:
               a:
                Image:         i
                Port:          <none>
                Host Port:     <none>
                Environment:   <none>
                Mounts:        <none>
              Volumes:         <none>
              Node-Selectors:  <none>
              Tolerations:     <none>
            Conditions:
              Type           Status  Reason
              ----           ------  ------
              Available      True    MinimumReplicasAvailable
            OldReplicaSets:  web-1 (0/0 replicas created)
            NewReplicaSet:   web-2 (2/2 replicas created)
        "#]]
        .assert_eq(&text.aligned());
    }
}

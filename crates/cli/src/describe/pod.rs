//! A pod.

use serde_json::Value;

use super::text::{Text, controller, items, or_none, text};
use super::{containers, events, volumes};
use crate::ages::long_date;

pub fn describe(to: &mut Text, pod: &Value) {
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    to.head(pod);
    to.field(0, "Priority", spec["priority"].as_i64().unwrap_or_default());
    to.optional(0, "Priority Class Name", text(&spec["priorityClassName"]));
    to.optional(0, "Runtime Class Name", text(&spec["runtimeClassName"]));
    to.field(0, "Service Account", or_none(text(&spec["serviceAccountName"])));
    to.field(0, "Node", node(pod));
    if let Some(started) = status["startTime"].as_str() {
        to.field(0, "Start Time", long_date(started));
    }
    to.labels(0, &metadata["labels"]);
    to.annotations(0, &metadata["annotations"]);
    state(to, pod);
    to.field(0, "IP", text(&status["podIP"]));
    addresses(to, status);
    if let Some(owner) = controller(pod) {
        to.field(0, "Controlled By", owner);
    }
    for (title, field, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    ] {
        if field == "containers" || !items(&spec[field]).is_empty() {
            containers::describe(to, title, &spec[field], Some(&status[statuses]), 0);
        }
    }
    events::conditions(to, pod, false);
    volumes::describe(to, &spec["volumes"], 0);
    to.optional(0, "QoS Class", text(&status["qosClass"]));
    containers::placement(to, spec, 0);
}

fn node(pod: &Value) -> String {
    match (text(&pod["spec"]["nodeName"]), text(&pod["status"]["hostIP"])) {
        ("", _) => "<none>".to_owned(),
        (name, address) => format!("{name}/{address}"),
    }
}

fn state(to: &mut Text, pod: &Value) {
    if let Some(at) = pod["metadata"]["deletionTimestamp"].as_str() {
        to.field(0, "Status", format!("Terminating (since {})", long_date(at)));
        let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
        to.field(0, "Termination Grace Period", format!("{grace}s"));
    } else {
        to.field(0, "Status", text(&pod["status"]["phase"]));
    }
    to.optional(0, "Reason", text(&pod["status"]["reason"]));
    to.optional(0, "Message", text(&pod["status"]["message"]));
}

fn addresses(to: &mut Text, status: &Value) {
    if items(&status["podIPs"]).is_empty() {
        to.field(0, "IPs", "<none>");
        return;
    }
    to.line(0, "IPs:");
    items(&status["podIPs"]).iter().for_each(|address| to.field(1, "IP", text(&address["ip"])));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_running_pod() {
        let pod = json!({
            "metadata": {"name": "web-1", "namespace": "ns", "labels": {"app": "web"},
                "ownerReferences": [{"controller": true, "kind": "ReplicaSet", "name": "web"}]},
            "spec": {"nodeName": "n1", "serviceAccountName": "default", "containers": [{"name": "web", "image": "busybox"}]},
            "status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.42.0.5", "podIPs": [{"ip": "10.42.0.5"}],
                "startTime": "2026-01-02T03:04:05Z", "qosClass": "BestEffort",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "web", "containerID": "keelson://1", "imageID": "sha256:1", "ready": true,
                    "restartCount": 1, "state": {"running": {"startedAt": "2026-01-02T03:04:06Z"}},
                    "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "startedAt": "", "finishedAt": ""}}}]}
        });
        let mut text = Text::default();
        describe(&mut text, &pod);
        expect![[r#"
            Name:             web-1
            Namespace:        ns
            Priority:         0
            Service Account:  default
            Node:             n1/10.0.0.1
            Start Time:       Fri, 02 Jan 2026 03:04:05 +0000
            Labels:           app=web
            Annotations:      <none>
            Status:           Running
            IP:               10.42.0.5
            IPs:
              IP:           10.42.0.5
            Controlled By:  ReplicaSet/web
            Containers:
              web:
                Container ID:   keelson://1
                Image:          busybox
                Image ID:       sha256:1
                Port:           <none>
                Host Port:      <none>
                State:          Running
                  Started:      Fri, 02 Jan 2026 03:04:06 +0000
                Last State:     Terminated
                  Reason:       Error
                  Exit Code:    1
                  Started:      
                  Finished:     
                Ready:          True
                Restart Count:  1
                Environment:    <none>
                Mounts:         <none>
            Conditions:
              Type           Status
              Ready          True 
            Volumes:         <none>
            QoS Class:       BestEffort
            Node-Selectors:  <none>
            Tolerations:     <none>
        "#]]
        .assert_eq(&text.aligned());
    }
}

//! What `kubectl get pods` prints.
//!
//! upstream: pkg/printers/internalversion (printPod)

use machinery::Object;
use serde_json::Value;

use super::pod_ip;
use crate::columns::{AGE, NAME, NONE, non_empty, text_or_none};
use crate::def::Column;
use crate::def::Description::{Field, Text};
use crate::duration::human_since;
use crate::tree::{condition, condition_is_true, int_of, present, str_of};

pub const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Ready", Text("The aggregate readiness state of this pod for accepting traffic."), |pod| {
        let summary = summary(pod);
        format!("{}/{}", summary.ready, summary.total).into()
    }),
    Column::string("Status", Text("The aggregate status of the containers in this pod."), |pod| {
        summary(pod).reason.into()
    }),
    Column::string("Restarts", Text("The number of times the containers in this pod have been restarted."), |pod| {
        summary(pod).restarts_text().into()
    }),
    AGE,
    Column::string("IP", Field("status.podIP"), |pod| non_empty(&pod_ip(pod), NONE).into()).wide(),
    Column::string("Node", Field("spec.nodeName"), |pod| text_or_none(pod, &["spec", "nodeName"])).wide(),
    Column::string("Nominated Node", Field("status.nominatedNodeName"), |pod| {
        text_or_none(pod, &["status", "nominatedNodeName"])
    })
    .wide(),
    Column::string("Readiness Gates", Field("spec.readinessGates"), readiness_gates).wide(),
];

/// Reason and message of the row of a pod that has run its course.
pub fn completed(pod: &Object) -> Option<[&'static str; 2]> {
    match pod.str(&["status", "phase"]) {
        "Succeeded" => Some(["Succeeded", "The pod has completed successfully."]),
        "Failed" => Some(["Failed", "The pod failed."]),
        _ => None,
    }
}

struct Summary<'a> {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    /// RFC 3339; empty when nothing restarted.
    last_restart: &'a str,
}

impl Summary<'_> {
    fn restarts_text(&self) -> String {
        match (self.restarts, self.last_restart) {
            (0, _) | (_, "") => self.restarts.to_string(),
            (restarts, at) => format!("{restarts} ({} ago)", human_since(at)),
        }
    }
}

/// Restarts of some containers, and the end of the last run among them.
#[derive(Clone, Copy, Default)]
struct Restarts<'a> {
    count: i64,
    last: &'a str,
}

impl<'a> Restarts<'a> {
    fn add(&mut self, status: &'a Value) {
        self.count += int_of(status, "restartCount");
        let ended = status.get("lastState").and_then(|state| state.get("terminated"));
        self.last = self.last.max(ended.map_or("", |ended| str_of(ended, "finishedAt")));
    }
}

/// How far the init containers have come.
struct Initialization<'a> {
    /// What keeps it from going on, when something does.
    reason: Option<String>,
    ready: usize,
    all: Restarts<'a>,
    sidecars: Restarts<'a>,
}

fn summary(pod: &Object) -> Summary<'_> {
    let init = initialization(pod);
    let sidecars = pod.list(&["spec", "initContainers"]).iter().filter(|container| restarts_always(container)).count();
    let mut summary = Summary {
        ready: init.ready,
        total: pod.list(&["spec", "containers"]).len() + sidecars,
        reason: init.reason.clone().unwrap_or_else(|| phase_reason(pod)),
        restarts: init.all.count,
        last_restart: init.all.last,
    };
    if init.reason.is_none() || condition_is_true(pod, "Initialized") {
        add_containers(&mut summary, pod, init.sidecars);
    }
    if let Some(reason) = deletion_reason(pod) {
        summary.reason = reason.to_owned();
    }
    summary
}

fn phase_reason(pod: &Object) -> String {
    let gated =
        condition(pod, "PodScheduled").is_some_and(|condition| str_of(condition, "reason") == "SchedulingGated");
    if gated {
        return "SchedulingGated".to_owned();
    }
    non_empty(pod.str(&["status", "reason"]), pod.str(&["status", "phase"])).to_owned()
}

fn deletion_reason(pod: &Object) -> Option<&'static str> {
    let terminal = matches!(pod.str(&["status", "phase"]), "Failed" | "Succeeded");
    match pod.is_deleting() {
        true if pod.str(&["status", "reason"]) == "NodeLost" => Some("Unknown"),
        true if !terminal => Some("Terminating"),
        _ => None,
    }
}

fn initialization(pod: &Object) -> Initialization<'_> {
    let specs = pod.list(&["spec", "initContainers"]);
    let mut init = Initialization { reason: None, ready: 0, all: Restarts::default(), sidecars: Restarts::default() };
    for (index, status) in pod.list(&["status", "initContainerStatuses"]).iter().enumerate() {
        let name = str_of(status, "name");
        let sidecar = specs.iter().any(|spec| str_of(spec, "name") == name && restarts_always(spec));
        init.all.add(status);
        if sidecar {
            init.sidecars.add(status);
        }
        if state(status, "terminated").is_some_and(|ended| int_of(ended, "exitCode") == 0) {
            continue;
        }
        if sidecar && is_true(status, "started") {
            init.ready += usize::from(is_true(status, "ready"));
            continue;
        }
        init.reason = Some(init_reason(status, index, specs.len()));
        break;
    }
    init
}

fn init_reason(status: &Value, index: usize, total: usize) -> String {
    if let Some(ended) = state(status, "terminated") {
        return format!("Init:{}", end_reason(ended));
    }
    let waiting = state(status, "waiting").map_or("", |waiting| str_of(waiting, "reason"));
    match waiting {
        "" | "PodInitializing" => format!("Init:{index}/{total}"),
        reason => format!("Init:{reason}"),
    }
}

fn end_reason(ended: &Value) -> String {
    match (str_of(ended, "reason"), int_of(ended, "signal")) {
        ("", 0) => format!("ExitCode:{}", int_of(ended, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Goes through the containers from the last to the first, so that the first one's reason stands.
fn add_containers<'a>(summary: &mut Summary<'a>, pod: &'a Object, sidecars: Restarts<'a>) {
    let mut restarts = sidecars;
    let (mut has_running, mut failure) = (false, None);
    for status in pod.list(&["status", "containerStatuses"]).iter().rev() {
        restarts.add(status);
        let waiting = state(status, "waiting").map_or("", |waiting| str_of(waiting, "reason"));
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if let Some(ended) = state(status, "terminated") {
            summary.reason = end_reason(ended);
            failure = (int_of(ended, "exitCode") != 0).then(|| summary.reason.clone()).or(failure);
        } else if is_true(status, "ready") && state(status, "running").is_some() {
            has_running = true;
            summary.ready += 1;
        }
    }
    (summary.restarts, summary.last_restart) = (restarts.count, restarts.last);
    if summary.reason == "Completed" {
        summary.reason = match (has_running, failure) {
            (true, _) if condition_is_true(pod, "Ready") => "Running".to_owned(),
            (_, Some(failure)) => failure,
            (true, None) => "NotReady".to_owned(),
            (false, None) => return,
        };
    }
}

fn readiness_gates(pod: &Object) -> Value {
    let gates = pod.list(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return NONE.into();
    }
    let passed = gates.iter().filter(|gate| condition_is_true(pod, str_of(gate, "conditionType"))).count();
    format!("{passed}/{}", gates.len()).into()
}

fn restarts_always(container: &Value) -> bool {
    str_of(container, "restartPolicy") == "Always"
}

fn state<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    present(status.get("state")?, name)
}

fn is_true(value: &Value, field: &str) -> bool {
    value.get(field).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `READY STATUS RESTARTS` of a pod with these parts.
    fn row(spec: Value, mut status: Value) -> String {
        status["phase"] = status.get("phase").cloned().unwrap_or_else(|| "Running".into());
        let pod = Object::from_value(json!({"metadata": {"name": "a"}, "spec": spec, "status": status})).unwrap();
        cells(&pod)
    }

    fn cells(pod: &Object) -> String {
        let cells: Vec<String> =
            COLUMNS[1..4].iter().map(|column| (column.cell)(pod).as_str().unwrap_or_default().to_owned()).collect();
        cells.join(" ")
    }

    #[test]
    fn containers_decide_the_status() {
        let one = || json!({"containers": [{"name": "a"}]});
        let cases = [
            (json!({"phase": "Pending"}), "0/1 Pending 0"),
            (json!({"containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}}]}), "1/1 Running 0"),
            (
                json!({"containerStatuses": [{"name": "a", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                "0/1 CrashLoopBackOff 2",
            ),
            (
                json!({"containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 3}}}]}),
                "0/1 ExitCode:3 0",
            ),
            (
                json!({"phase": "Succeeded", "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}),
                "0/1 Completed 0",
            ),
            (json!({"phase": "Failed", "reason": "Evicted"}), "0/1 Evicted 0"),
            (
                json!({"containerStatuses": [
                    {"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                    {"name": "b", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
                "0/1 Error 0",
            ),
            (
                json!({"containerStatuses": [
                    {"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                    {"name": "b", "ready": true, "state": {"running": {}}}]}),
                "1/1 NotReady 0",
            ),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
                "0/1 SchedulingGated 0",
            ),
        ];
        for (status, expected) in cases {
            assert_eq!(row(one(), status.clone()), expected, "{status}");
        }
    }

    #[test]
    fn init_containers_come_first() {
        let spec = || json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]});
        let waiting = json!({"name": "a", "state": {"waiting": {"reason": "PodInitializing"}}});
        let cases = [
            (
                json!([{"name": "i", "state": {"running": {}}}, {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}]),
                "0/1 Init:0/2 0",
            ),
            (
                json!([{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]),
                "0/1 Init:1/2 0",
            ),
            (
                json!([{"name": "i", "restartCount": 1, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]),
                "0/1 Init:Error 1",
            ),
            (json!([{"name": "i", "state": {"terminated": {"exitCode": 7}}}]), "0/1 Init:ExitCode:7 0"),
            (
                json!([{"name": "i", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
                "0/1 Init:CrashLoopBackOff 4",
            ),
        ];
        for (inits, expected) in cases {
            let status = json!({"phase": "Pending", "initContainerStatuses": inits, "containerStatuses": [waiting]});
            assert_eq!(row(spec(), status), expected);
        }
    }

    #[test]
    fn sidecars_count_among_the_containers() {
        let spec = json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "a"}]});
        let status = json!({
            "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}}],
            "containerStatuses": [{"name": "a", "ready": true, "restartCount": 1, "state": {"running": {}}}],
        });
        assert_eq!(row(spec, status), "2/2 Running 2");
    }

    #[test]
    fn the_last_restart_is_dated() {
        let ended = clock::format_time(clock::now() - jiff::SignedDuration::from_mins(12));
        let status = json!({"containerStatuses": [{"name": "a", "ready": true, "restartCount": 3, "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": ended}}}]});
        assert_eq!(row(json!({"containers": [{"name": "a"}]}), status), "1/1 Running 3 (12m ago)");
    }

    #[test]
    fn a_deleted_pod_terminates_unless_its_node_is_lost() {
        let mut pod = Object::from_value(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Running"}}))
        .unwrap();
        assert_eq!(cells(&pod), "0/1 Terminating 0");
        pod.set(&["status", "reason"], "NodeLost");
        assert_eq!(cells(&pod), "0/1 Unknown 0");
    }
}

mod calculate;
mod decide;
mod limits;
mod run;

use std::sync::Arc;
use std::time::Duration;

use control::ObjectKey;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::sampler::{ContainerReading, PodReading, Readings, Usage};
use crate::testing::at;

/// When decisions are made.
const NOW: i64 = 1000;

/// Pods of the namespace `shop` with the label `app=web` and what they use, from lines such as
/// `a=90 b=? c!90 d~ e-90`: ready and using 90m of CPU, without metrics, starting up, pending, terminating.
/// Each requests 100m; the memory it uses is as many bytes as it uses thousandths of a CPU.
fn scene(line: &str) -> (Vec<Arc<Pod>>, Readings) {
    let mut readings = Readings::default();
    let mut pods = Vec::new();
    for word in line.split_whitespace() {
        let (name, rest) = word.split_at(1);
        let (mark, used) = rest.split_at(1);
        pods.push(Arc::new(pod(name, mark)));
        if let Ok(used) = used.parse() {
            readings.pods.insert(ObjectKey::new("shop", name), reading(name, used));
        }
    }
    (pods, readings)
}

fn pod(name: &str, mark: &str) -> Pod {
    let (started, ready, phase) = match mark {
        "!" => (NOW - 100, "False", "Running"),
        "~" => (NOW - 100, "False", "Pending"),
        _ => (0, "True", "Running"),
    };
    let time = |second| clock::format_time(at(second));
    let mut pod = json!({
        "metadata": { "namespace": "shop", "name": name, "uid": name, "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "app", "resources": { "requests": { "cpu": "100m", "memory": "100" } } }] },
        "status": {
            "phase": phase, "startTime": time(started),
            "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": time(started + 1) }],
        },
    });
    if mark == "-" {
        pod["metadata"]["deletionTimestamp"] = json!(time(NOW));
    }
    serde_json::from_value(pod).expect("a whole pod")
}

fn reading(uid: &str, used: u64) -> PodReading {
    let usage = Usage { cpu_nano: used * 1_000_000, memory: used };
    PodReading {
        uid: uid.to_owned(),
        at: now(),
        window: Duration::from_secs(15),
        containers: vec![ContainerReading { name: "app".to_owned(), usage }],
    }
}

fn now() -> Timestamp {
    at(NOW)
}

//! `NodeMetrics` and `PodMetrics` as JSON.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::Quantity;
use machinery::quantity::Format;
use serde_json::{Value, json};

use crate::sampler::{ContainerReading, NodeReading, PodReading, Usage};

/// An item of [`node`] or [`pod`] that stands alone.
pub fn whole(kind: &str, mut item: Value) -> Value {
    item["kind"] = json!(kind);
    item["apiVersion"] = json!(api_version());
    item
}

pub fn list(kind: &str, items: Vec<Value>) -> Value {
    json!({ "kind": kind, "apiVersion": api_version(), "metadata": {}, "items": items })
}

fn api_version() -> String {
    format!("{}/{}", super::GROUP, super::VERSION)
}

pub fn node(node: &Node, reading: &NodeReading) -> Value {
    let mut item = item(&node.metadata, reading.at, reading.window);
    item["usage"] = usage(reading.usage);
    item
}

pub fn pod(pod: &Pod, reading: &PodReading) -> Value {
    let mut item = item(&pod.metadata, reading.at, reading.window);
    let container = |container: &ContainerReading| json!({ "name": container.name, "usage": usage(container.usage) });
    item["containers"] = reading.containers.iter().map(container).collect();
    item
}

fn item(meta: &ObjectMeta, at: Timestamp, window: Duration) -> Value {
    let mut metadata = json!({ "name": meta.name, "creationTimestamp": clock::format_time(clock::now()) });
    if let Some(namespace) = &meta.namespace {
        metadata["namespace"] = json!(namespace);
    }
    if let Some(labels) = &meta.labels {
        metadata["labels"] = json!(labels);
    }
    json!({ "metadata": metadata, "timestamp": clock::format_time(at), "window": go_duration(window) })
}

fn usage(usage: Usage) -> Value {
    let memory = Quantity::from_value(usage.memory.into(), Format::BinarySi);
    json!({ "cpu": cpu(usage.cpu_nano).to_string(), "memory": memory.to_string() })
}

/// Billionths of a CPU as a quantity.
pub fn cpu(nano: u64) -> Quantity {
    Quantity::parse(&format!("{nano}n")).expect("digits and a suffix are a quantity")
}

/// As Go prints a duration, to the millisecond: `1m15.04s`.
fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let fraction = format!(".{:03}", rest % 1000);
    let seconds = format!("{}{}s", rest / 1000, fraction.trim_end_matches('0').trim_end_matches('.'));
    match minutes {
        0 => seconds,
        _ => format!("{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        let text = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!(text(15_000), "15s");
        assert_eq!(text(10_420), "10.42s");
        assert_eq!(text(75_001), "1m15.001s");
        assert_eq!(text(60_000), "1m0s");
    }

    #[test]
    fn usage_is_in_nano_cores_and_kibibytes() {
        let shown = usage(Usage { cpu_nano: 1_234_567, memory: 1234 << 10 });
        assert_eq!(shown, json!({ "cpu": "1234567n", "memory": "1234Ki" }));
    }
}

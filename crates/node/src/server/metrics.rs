//! `/metrics/resource` and `/metrics`, in Prometheus' text format with upstream's names.

use std::fmt::Write;

use containers::{ContainerState, SandboxState};

use super::stats::{Snapshot, snapshot};
use super::{Answer, Server, response};
use crate::pod::observe::container_name;
use crate::pod::spec;
use http::StatusCode;
use jiff::Timestamp;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub async fn resource(server: &Server) -> Answer {
    let snapshot = snapshot(server).await?;
    Ok(response(StatusCode::OK, TEXT_FORMAT, render(&snapshot)))
}

/// One metric: its name, kind, help and samples.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    lines: Vec<String>,
}

impl Metric {
    fn new(name: &'static str, kind: &'static str, help: &'static str) -> Metric {
        Metric { name, kind, help, lines: Vec::new() }
    }

    fn add(&mut self, labels: &[(&str, &str)], value: f64, at: Option<Timestamp>) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let at = at.map(|at| format!(" {}", at.as_millisecond())).unwrap_or_default();
        self.lines.push(format!("{}{labels} {value}{at}", self.name));
    }
}

fn text(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics.iter().filter(|metric| !metric.lines.is_empty()) {
        let Metric { name, kind, help, lines } = metric;
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{}", lines.join("\n"))
            .expect("writing to a string does not fail");
    }
    text
}

fn render(snapshot: &Snapshot) -> String {
    let metric = Metric::new;
    let (counter, gauge) = ("counter", "gauge");
    let mut metrics = [
        metric(
            "container_cpu_usage_seconds_total",
            counter,
            "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        ),
        metric("container_memory_working_set_bytes", gauge, "[STABLE] Current working set of the container in bytes"),
        metric(
            "container_start_time_seconds",
            gauge,
            "[STABLE] Start time of the container since unix epoch in seconds",
        ),
        metric(
            "node_cpu_usage_seconds_total",
            counter,
            "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        ),
        metric("node_memory_working_set_bytes", gauge, "[STABLE] Current working set of the node in bytes"),
        metric(
            "pod_cpu_usage_seconds_total",
            counter,
            "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        ),
        metric("pod_memory_working_set_bytes", gauge, "[STABLE] Current working set of the pod in bytes"),
        metric(
            "resource_scrape_error",
            gauge,
            "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
        ),
    ];
    let [c_cpu, c_memory, c_start, n_cpu, n_memory, p_cpu, p_memory, error] = &mut metrics;
    for used in &snapshot.pods {
        let (namespace, pod) = (("namespace", spec::namespace(&used.pod)), ("pod", spec::name(&used.pod)));
        for (status, usage) in &used.containers {
            let labels = [("container", container_name(status)), namespace, pod];
            c_cpu.add(&labels, usage.cpu.as_secs_f64(), Some(usage.at));
            c_memory.add(&labels, usage.memory_working_set as f64, Some(usage.at));
            if let Some(at) = status.started_at {
                c_start.add(&labels, at.as_millisecond() as f64 / 1000.0, None);
            }
        }
        p_cpu.add(&[namespace, pod], used.usage.cpu.as_secs_f64(), Some(used.usage.at));
        p_memory.add(&[namespace, pod], used.usage.memory_working_set as f64, Some(used.usage.at));
    }
    n_cpu.add(&[], snapshot.node.cpu.as_secs_f64(), Some(snapshot.node.at));
    n_memory.add(&[], snapshot.node.memory_working_set as f64, Some(snapshot.node.at));
    error.add(&[], 0.0, None);
    text(&metrics)
}

/// The agent's own figures.
pub async fn of_agent(server: &Server) -> Answer {
    let containers = server.node.runtime.list_containers().await?;
    let sandboxes = server.node.runtime.list_sandboxes().await?;
    let mut running_pods =
        Metric::new("kubelet_running_pods", "gauge", "[BETA] Number of pods that have a running pod sandbox");
    let ready = sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count();
    running_pods.add(&[], ready as f64, None);
    let mut running =
        Metric::new("kubelet_running_containers", "gauge", "[BETA] Number of containers currently running");
    for (state, name) in
        [(ContainerState::Created, "created"), (ContainerState::Exited, "exited"), (ContainerState::Running, "running")]
    {
        let count = containers.iter().filter(|container| container.state == state).count();
        running.add(&[("container_state", name)], count as f64, None);
    }
    let mut name = Metric::new("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
    name.add(&[("node", &server.node.config.node_name)], 1.0, None);
    let mut pods = Metric::new(
        "kubelet_desired_pods",
        "gauge",
        "[ALPHA] The number of pods the kubelet is being instructed to run",
    );
    pods.add(&[("static", "")], server.table.list().len() as f64, None);
    Ok(response(StatusCode::OK, TEXT_FORMAT, text(&[running_pods, running, name, pods])))
}

#[cfg(test)]
mod tests {
    use super::super::stats::PodUsage;
    use super::*;
    use containers::Usage;
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn the_text_has_upstreams_names_and_labels() {
        let at = Timestamp::from_second(1000).unwrap();
        let usage = Usage { at, cpu: Duration::from_millis(2500), memory_working_set: 4096, ..Usage::default() };
        let pod = Arc::new(serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}})).unwrap());
        let pods = vec![PodUsage { pod, usage: usage.clone(), containers: Vec::new() }];
        let text = render(&Snapshot { node: usage, node_started: at, pods });
        assert!(text.contains("\npod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 2.5 1000000\n"), "{text}");
        assert!(text.contains("\nnode_memory_working_set_bytes 4096 1000000\n"), "{text}");
        assert!(text.contains("# TYPE pod_cpu_usage_seconds_total counter\n"), "{text}");
        assert!(text.ends_with("resource_scrape_error 0\n"), "{text}");
    }
}

//! Objects from one line: `deployment web replicas=3 image=web:2`.
//!
//! Words after the name are options; each kind takes those that its function reads. Pods carry the label
//! `app` with the object's name, and are not given a token.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The words of one line.
struct Line<'a> {
    kind: &'a str,
    name: &'a str,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let [Some(kind), Some(name)] = [words.next(), words.next()] else { panic!("no kind and name: {line}") };
        let options = words.map(|word| word.split_once('=').unwrap_or_else(|| panic!("no option: {word}")));
        Self { kind, name, options: options.collect() }
    }

    fn text(&self, option: &str, default: &'a str) -> &'a str {
        self.options.get(option).copied().unwrap_or(default)
    }

    fn number(&self, option: &str) -> Value {
        let Some(text) = self.options.get(option) else { return Value::Null };
        json!(text.parse::<i64>().unwrap_or_else(|_| panic!("{option} is no number: {text}")))
    }
}

/// The object of `line`; unset options are null.
pub fn object(line: &str) -> Value {
    let line = Line::parse(line);
    let (api_version, kind, spec) = match line.kind {
        "deployment" => ("apps/v1", "Deployment", deployment(&line)),
        "statefulset" => ("apps/v1", "StatefulSet", stateful_set(&line)),
        "daemonset" => ("apps/v1", "DaemonSet", workload(&line)),
        "job" => ("batch/v1", "Job", job(&line)),
        "cronjob" => ("batch/v1", "CronJob", cron_job(&line)),
        "pod" => ("v1", "Pod", pod(&line, "Always")),
        "namespace" => ("v1", "Namespace", json!({})),
        "hpa" => ("autoscaling/v2", "HorizontalPodAutoscaler", autoscaler(&line)),
        "pdb" => ("policy/v1", "PodDisruptionBudget", budget(&line)),
        other => panic!("no such kind here: {other}"),
    };
    let mut metadata = json!({ "name": line.name, "labels": { "app": line.name } });
    if kind != "Namespace" {
        metadata["namespace"] = json!(line.text("ns", "default"));
    }
    json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec })
}

fn pod(line: &Line, restart: &str) -> Value {
    json!({
        "automountServiceAccountToken": false,
        "restartPolicy": line.text("restart", restart),
        "priority": line.number("priority"),
        "containers": [{
            "name": line.name,
            "image": line.text("image", "web:1"),
            "resources": { "requests": { "cpu": line.text("cpu", "100m") } },
        }],
    })
}

fn template(line: &Line, restart: &str) -> Value {
    json!({ "metadata": { "labels": { "app": line.name } }, "spec": pod(line, restart) })
}

fn workload(line: &Line) -> Value {
    json!({ "selector": { "matchLabels": { "app": line.name } }, "template": template(line, "Always") })
}

fn deployment(line: &Line) -> Value {
    let mut spec = workload(line);
    spec["replicas"] = line.number("replicas");
    spec["strategy"]["type"] = json!(line.text("strategy", "RollingUpdate"));
    spec
}

fn stateful_set(line: &Line) -> Value {
    let mut spec = workload(line);
    spec["replicas"] = line.number("replicas");
    spec["serviceName"] = json!(line.name);
    spec
}

fn job(line: &Line) -> Value {
    json!({
        "completions": line.number("completions"),
        "parallelism": line.number("parallelism"),
        "backoffLimit": line.number("backoff"),
        "template": template(line, "Never"),
    })
}

fn cron_job(line: &Line) -> Value {
    let schedule = line.text("schedule", "@hourly").replace('_', " ");
    json!({
        "schedule": schedule,
        "successfulJobsHistoryLimit": line.number("keep"),
        "jobTemplate": { "spec": job(line) },
    })
}

fn autoscaler(line: &Line) -> Value {
    let target = json!({ "type": "Utilization", "averageUtilization": line.number("percent") });
    json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": line.name },
        "minReplicas": line.number("min"),
        "maxReplicas": line.number("max"),
        "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": target } }],
    })
}

fn budget(line: &Line) -> Value {
    json!({ "minAvailable": line.number("min"), "selector": { "matchLabels": { "app": line.name } } })
}

//! Paths of the node's API for one pod (upstream: `pkg/registry/core/pod`, `LogLocation` and its like).

use machinery::field::{self, Path};
use machinery::percent::encode;
use machinery::{ApiError, GroupVersionKind, Object};
use serde_json::Value;

use crate::query::Query;

/// Options of a log that the node understands under the same name.
const LOG_OPTIONS: &[&str] =
    &["follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];

pub fn log_path(pod: &Object, query: &Query) -> Result<String, ApiError> {
    check_log_options(query)?;
    let container = container(pod, query.get("container"))?;
    let given = query.pairs().filter(|(name, _)| LOG_OPTIONS.contains(name));
    Ok(path("containerLogs", pod, Some(&container), given))
}

/// `what` is `exec` or `attach`.
pub fn stream_path(what: &str, pod: &Object, query: &Query) -> Result<String, ApiError> {
    let container = container(pod, query.get("container"))?;
    let streams = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    let streams = streams.into_iter().filter(|(option, _)| query.flag(option)).map(|(_, param)| (param, "1"));
    let command = query.all("command").map(|word| ("command", word));
    Ok(path(what, pod, Some(&container), streams.chain(command)))
}

pub fn port_forward_path(pod: &Object, query: &Query) -> String {
    let ports = query.all("ports").flat_map(|ports| ports.split(',')).map(|port| ("port", port));
    path("portForward", pod, None, ports)
}

fn path<'a>(
    what: &str,
    pod: &Object,
    container: Option<&str>,
    params: impl Iterator<Item = (&'a str, &'a str)>,
) -> String {
    let container = container.map(|name| format!("/{name}")).unwrap_or_default();
    let params: Vec<String> = params.map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let mark = if params.is_empty() { "" } else { "?" };
    format!("/{what}/{}/{}{container}{mark}{}", pod.namespace(), pod.name(), params.join("&"))
}

fn check_log_options(query: &Query) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    if let Some(lines) = query.int("tailLines")?.filter(|lines| *lines < 0) {
        problems.push(field::Error::invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = query.int("limitBytes")?.filter(|bytes| *bytes < 1) {
        problems.push(field::Error::invalid(&Path::new("limitBytes"), bytes, "must be greater than 0"));
    }
    if let Some(seconds) = query.int("sinceSeconds")?.filter(|seconds| *seconds < 1) {
        problems.push(field::Error::invalid(&Path::new("sinceSeconds"), seconds, "must be greater than 0"));
    }
    if query.has("sinceSeconds") && query.has("sinceTime") {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        problems.push(field::Error::forbidden(&Path::root(), why));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&GroupVersionKind::new("", "v1", "PodLogOptions"), "", &problems))
}

/// The container that is meant: the one named, which must exist, or the only one.
fn container(pod: &Object, named: &str) -> Result<String, ApiError> {
    let all = || ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| names(pod, list));
    if !named.is_empty() {
        if all().any(|name| name == named) {
            return Ok(named.to_owned());
        }
        let message = format!("container {named} is not valid for pod {}", pod.name());
        return Err(ApiError::bad_request(message));
    }
    let mut own = names(pod, "containers");
    let message = format!("a container name must be specified for pod {}", pod.name());
    match (own.next(), own.next()) {
        (Some(only), None) => Ok(only.to_owned()),
        (None, _) => Err(ApiError::bad_request(message)),
        _ => {
            let choices: Vec<&str> = all().collect();
            Err(ApiError::bad_request(format!("{message}, choose one of: [{}]", choices.join(" "))))
        }
    }
}

fn names<'a>(pod: &'a Object, list: &str) -> impl Iterator<Item = &'a str> {
    pod.list(&["spec", list]).iter().filter_map(|container| container.get("name").and_then(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(containers: &[&str]) -> Object {
        let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
        let value = json!({
            "metadata": {"name": "web", "namespace": "ns"},
            "spec": {"initContainers": [{"name": "init"}], "containers": containers},
        });
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_log_is_asked_of_the_node() {
        let query = Query::parse("follow=true&tailLines=5&container=init&pretty=1&sinceTime=2026-01-01T00%3A00%3A00Z");
        assert_eq!(
            log_path(&pod(&["a"]), &query).unwrap(),
            "/containerLogs/ns/web/init?follow=true&tailLines=5&sinceTime=2026-01-01T00%3A00%3A00Z"
        );
        assert_eq!(log_path(&pod(&["a"]), &Query::default()).unwrap(), "/containerLogs/ns/web/a");
    }

    #[test]
    fn the_container_must_be_known() {
        let message =
            |containers: &[&str], query| log_path(&pod(containers), &Query::parse(query)).unwrap_err().message;
        assert_eq!(
            message(&["a", "b"], ""),
            "a container name must be specified for pod web, choose one of: [init a b]"
        );
        assert_eq!(message(&["a"], "container=x"), "container x is not valid for pod web");
        assert!(message(&["a"], "tailLines=-1").contains("tailLines: Invalid value: -1"));
    }

    #[test]
    fn streams_are_named_as_the_node_names_them() {
        let query = Query::parse("command=sh&command=-c&command=echo+%26&stdin=true&stdout=true&tty=false");
        assert_eq!(
            stream_path("exec", &pod(&["a"]), &query).unwrap(),
            "/exec/ns/web/a?input=1&output=1&command=sh&command=-c&command=echo%20%26"
        );
        assert_eq!(
            port_forward_path(&pod(&["a"]), &Query::parse("ports=80,81")),
            "/portForward/ns/web?port=80&port=81"
        );
    }
}

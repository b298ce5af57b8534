//! Fields of a pod and resources of a container as text: the downward API.
//!
//! upstream: pkg/fieldpath, pkg/api/v1/resource

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use super::ConfigError;
use crate::pod::spec;
use crate::resources::{limit, milli, requests, whole};

/// What the downward API knows beside the pod's own object.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub host_ip: IpAddr,
    pub pod_ips: Vec<IpAddr>,
    /// What a missing limit counts as: the node's allocatable CPU (thousandths), memory and storage (bytes).
    pub allocatable: [(&'static str, i64); 3],
}

/// The value of `metadata.name`, `status.podIP` and their like.
pub fn field(pod: &Pod, path: &str, around: &Surroundings) -> Result<String, ConfigError> {
    let meta = &pod.metadata;
    let spec = spec::spec(pod);
    if let Some((map, key)) = subscript(path) {
        let values = if map == "metadata.labels" { &meta.labels } else { &meta.annotations };
        return Ok(values.as_ref().and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    let ips = || around.pod_ips.iter().map(ToString::to_string).collect::<Vec<_>>();
    let value = match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => formatted(meta.labels.as_ref()),
        "metadata.annotations" => formatted(meta.annotations.as_ref()),
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => around.host_ip.to_string(),
        "status.podIP" => ips().first().cloned().unwrap_or_default(),
        "status.podIPs" => ips().join(","),
        _ => return Err(ConfigError(format!("unsupported fieldPath: {path}"))),
    };
    Ok(value)
}

/// `metadata.labels['key']` as its map and its key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.split_once("['")?;
    let key = key.strip_suffix("']")?;
    matches!(map, "metadata.labels" | "metadata.annotations").then_some((map, key))
}

/// A map as the downward API's files hold it: sorted lines of `key="quoted value"`.
fn formatted(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", go_quoted(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// As Go's `%q` prints a string.
fn go_quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The value of `limits.cpu`, `requests.memory` and their like, in units of the divisor, rounded up.
pub fn resource(
    pod: &Pod,
    container: &Container,
    selector: &ResourceFieldSelector,
    around: &Surroundings,
) -> Result<String, ConfigError> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty() && *name != container.name);
    let other = match named {
        Some(name) => Some(
            spec::container(pod, name)
                .map(|(_, container)| container)
                .ok_or_else(|| ConfigError(format!("container {name} not found")))?,
        ),
        None => None,
    };
    let container = other.as_ref().unwrap_or(container);
    let (bound, name) = selector.resource.split_once('.').unwrap_or_default();
    if !matches!(bound, "limits" | "requests") {
        return Err(ConfigError(format!("unsupported container resource : {}", selector.resource)));
    }
    let asked = match bound {
        "limits" => limit(container, name),
        _ => requests(container).and_then(|amounts| amounts.get(name)),
    };
    let cpu = name == "cpu";
    let measure = |quantity| if cpu { milli(quantity) } else { whole(quantity) };
    let fallback = around.allocatable.iter().find(|(known, _)| *known == name && bound == "limits");
    let value = asked.map(measure).or(fallback.map(|(_, value)| *value)).unwrap_or(0);
    let one = if cpu { 1000 } else { 1 };
    let divisor = selector.divisor.as_ref().map(measure).filter(|divisor| *divisor > 0).unwrap_or(one);
    Ok(value.div_euclid(divisor).saturating_add(i64::from(value.rem_euclid(divisor) > 0)).to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub fn around() -> Surroundings {
        Surroundings {
            host_ip: "10.0.0.1".parse().unwrap(),
            pod_ips: vec!["10.42.0.5".parse().unwrap()],
            allocatable: [("cpu", 2000), ("memory", 8 << 30), ("ephemeral-storage", 100 << 30)],
        }
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u1",
                "labels": {"b": "2", "a": "say \"1\""}, "annotations": {"x/y": "z"}},
            "spec": {"nodeName": "n1", "serviceAccountName": "default", "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}, "requests": {"memory": "32Mi"}}},
                {"name": "free"}]}}))
        .unwrap()
    }

    #[test]
    fn fields_are_the_pods_own() {
        let cases = [
            ("metadata.name", "web"),
            ("metadata.labels", "a=\"say \\\"1\\\"\"\nb=\"2\""),
            ("metadata.labels['b']", "2"),
            ("metadata.annotations['x/y']", "z"),
            ("metadata.labels['none']", ""),
            ("spec.nodeName", "n1"),
            ("status.podIP", "10.42.0.5"),
            ("status.hostIP", "10.0.0.1"),
        ];
        for (path, value) in cases {
            assert_eq!(field(&pod(), path, &around()).unwrap(), value, "{path}");
        }
        assert!(field(&pod(), "spec.volumes", &around()).is_err());
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let pod = pod();
        let cases = [
            ("c", "limits.cpu", "0", "1"),
            ("c", "limits.cpu", "1m", "250"),
            ("c", "limits.memory", "1Mi", "64"),
            ("c", "requests.memory", "1", "33554432"),
            ("free", "limits.cpu", "1", "2"),
            ("free", "limits.memory", "1Gi", "8"),
            ("free", "requests.cpu", "1", "0"),
        ];
        for (name, path, divisor, value) in cases {
            let selector: ResourceFieldSelector =
                serde_json::from_value(json!({"containerName": name, "resource": path, "divisor": divisor})).unwrap();
            let first = &pod.spec.as_ref().unwrap().containers[0];
            assert_eq!(resource(&pod, first, &selector, &around()).unwrap(), value, "{name} {path} / {divisor}");
        }
    }
}

//! A container's environment: services, `envFrom`, `env`, in upstream's order and with its error texts.
//!
//! upstream: pkg/kubelet/kubelet_pods.go makeEnvironmentVariables, pkg/kubelet/envvars

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EnvVarSource, Pod, Service};

use super::expand::expand;
use super::fields::{self, Surroundings};
use super::{ConfigError, Objects};
use crate::pod::spec;

type Variables = Vec<(String, String)>;

/// Sets a variable, keeping the place of one that is there already.
fn set(variables: &mut Variables, name: &str, value: String) {
    match variables.iter_mut().find(|(known, _)| known == name) {
        Some((_, slot)) => *slot = value,
        None => variables.push((name.to_string(), value)),
    }
}

fn get<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The whole environment. `services` are those of all namespaces.
pub fn environment(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    services: &[Arc<Service>],
    around: &Surroundings,
) -> Result<Variables, ConfigError> {
    let mut variables = Variables::new();
    for source in container.env_from.iter().flatten() {
        from_source(source, objects, &mut variables)?;
    }
    let from_services = of_services(pod, services);
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value_from, variable.value.as_deref().unwrap_or_default()) {
            (Some(source), "") => match referred(pod, container, variable, source, objects, around)? {
                Some(value) => value,
                None => continue,
            },
            (_, value) => {
                expand(value, |name| get(&variables, name).or_else(|| from_services.get(name).map(String::as_str)))
            }
        };
        set(&mut variables, &variable.name, value);
    }
    for (name, value) in from_services {
        if get(&variables, &name).is_none() {
            variables.push((name, value));
        }
    }
    Ok(variables)
}

fn from_source(source: &EnvFromSource, objects: &Objects, variables: &mut Variables) -> Result<(), ConfigError> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    let mut add = |key: &str, value: String| set(variables, &format!("{prefix}{key}"), value);
    if let Some(reference) = &source.config_map_ref {
        match objects.config_maps.get(&reference.name) {
            Some(map) => {
                map.data.iter().flatten().for_each(|(key, value)| add(key, value.clone()));
            }
            None if reference.optional == Some(true) => {}
            None => return Err(missing_config_map(&reference.name)),
        }
    }
    if let Some(reference) = &source.secret_ref {
        match objects.secrets.get(&reference.name) {
            Some(secret) => {
                let data = secret.data.iter().flatten();
                data.for_each(|(key, value)| add(key, String::from_utf8_lossy(&value.0).into_owned()));
            }
            None if reference.optional == Some(true) => {}
            None => return Err(missing_secret(&reference.name)),
        }
    }
    Ok(())
}

fn missing_config_map(name: &str) -> ConfigError {
    ConfigError(format!("configmap \"{name}\" not found"))
}

fn missing_secret(name: &str) -> ConfigError {
    ConfigError(format!("secret \"{name}\" not found"))
}

/// The value of one `valueFrom`; nothing when it is optional and not there.
fn referred(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    source: &EnvVarSource,
    objects: &Objects,
    around: &Surroundings,
) -> Result<Option<String>, ConfigError> {
    let namespace = spec::namespace(pod);
    if let Some(reference) = &source.field_ref {
        return fields::field(pod, &reference.field_path, around).map(Some);
    }
    if let Some(reference) = &source.resource_field_ref {
        return fields::resource(pod, container, reference, around).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let map = objects.config_maps.get(&reference.name);
        let value = map.and_then(|map| map.data.as_ref()?.get(&reference.key).cloned());
        let fault = || match map {
            None => missing_config_map(&reference.name),
            Some(_) => missing_key(&reference.key, "ConfigMap", namespace, &reference.name),
        };
        return found(value, optional, fault);
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let secret = objects.secrets.get(&reference.name);
        let value = secret.and_then(|secret| secret.data.as_ref()?.get(&reference.key));
        let fault = || match secret {
            None => missing_secret(&reference.name),
            Some(_) => missing_key(&reference.key, "Secret", namespace, &reference.name),
        };
        return found(value.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()), optional, fault);
    }
    Err(ConfigError(format!("env {}: unsupported valueFrom", variable.name)))
}

fn missing_key(key: &str, kind: &str, namespace: &str, name: &str) -> ConfigError {
    ConfigError(format!("couldn't find key {key} in {kind} {namespace}/{name}"))
}

fn found(
    value: Option<String>,
    optional: bool,
    fault: impl FnOnce() -> ConfigError,
) -> Result<Option<String>, ConfigError> {
    match value {
        None if !optional => Err(fault()),
        value => Ok(value),
    }
}

/// Variables of the namespace's services, and of `kubernetes` in any case.
fn of_services(pod: &Pod, services: &[Arc<Service>]) -> BTreeMap<String, String> {
    let links = spec::spec(pod).enable_service_links.unwrap_or(true);
    let namespace = spec::namespace(pod);
    let master = |service: &Service| {
        let meta = &service.metadata;
        meta.namespace.as_deref() == Some("default") && meta.name.as_deref() == Some("kubernetes")
    };
    let local = |service: &Service| links && service.metadata.namespace.as_deref() == Some(namespace);
    let mut variables = BTreeMap::new();
    // The namespace's own services win over `default/kubernetes`.
    for service in services.iter().filter(|service| master(service)) {
        variables.extend(of_service(service));
    }
    for service in services.iter().filter(|service| local(service)) {
        variables.extend(of_service(service));
    }
    variables
}

fn of_service(service: &Service) -> Vec<(String, String)> {
    let spec = service.spec.as_ref();
    let ip = spec.and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let [first, ..] = ports else { return Vec::new() };
    if ip.is_empty() || ip == "None" {
        return Vec::new();
    }
    let name = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_string() };
    let mut variables = vec![
        (format!("{name}_SERVICE_HOST"), ip.to_string()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
    ];
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if let Some(port_name) = port.name.as_deref().filter(|port_name| !port_name.is_empty()) {
            variables.push((format!("{name}_SERVICE_PORT_{}", variable_name(port_name)), port.port.to_string()));
        }
        if index == 0 {
            variables.push((format!("{name}_PORT"), url.clone()));
        }
        let prefix = format!("{name}_PORT_{}_{protocol}", port.port);
        variables.push((prefix.clone(), url));
        variables.push((format!("{prefix}_PROTO"), protocol.to_lowercase()));
        variables.push((format!("{prefix}_PORT"), port.port.to_string()));
        variables.push((format!("{prefix}_ADDR"), ip.to_string()));
    }
    variables
}

fn variable_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::around;
    use super::*;
    use serde_json::{Value, json};

    fn objects() -> Objects {
        let map = serde_json::from_value(json!({"data": {"k": "v", "color": "red"}})).unwrap();
        let secret = serde_json::from_value(json!({"data": {"pw": "aHVudGVyMg=="}})).unwrap();
        Objects {
            config_maps: [("cm".to_string(), Arc::new(map))].into(),
            secrets: [("s".to_string(), Arc::new(secret))].into(),
        }
    }

    fn services() -> Vec<Arc<Service>> {
        let service = |namespace: &str, name: &str, ip: &str, ports: Value| {
            let value =
                json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": ip, "ports": ports}});
            Arc::new(serde_json::from_value(value).unwrap())
        };
        vec![
            service("default", "kubernetes", "10.43.0.1", json!([{"name": "https", "port": 443}])),
            service("shop", "my-db", "10.43.0.9", json!([{"port": 5432}])),
            service("shop", "headless", "None", json!([{"port": 1}])),
            service("other", "hidden", "10.43.0.8", json!([{"port": 1}])),
        ]
    }

    fn run(container: Value, links: bool, services: &[Arc<Service>]) -> Result<String, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "web"}, "spec": {"enableServiceLinks": links, "containers": []}}))
        .unwrap();
        let mut container = container;
        container["name"] = json!("c");
        let container: Container = serde_json::from_value(container).unwrap();
        let variables = environment(&pod, &container, &objects(), services, &around()).map_err(|e| e.0)?;
        Ok(variables.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn values_come_from_everywhere_and_expand() {
        let key = |kind: &str, name: &str, key: &str| json!({kind: {"name": name, "key": key}});
        let container = json!({
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "none", "optional": true}}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(P_color)-$(LATER)-$$(A)"},
                {"name": "C", "valueFrom": key("configMapKeyRef", "cm", "k")},
                {"name": "PW", "valueFrom": key("secretKeyRef", "s", "pw")},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "A", "value": "2"}]});
        assert_eq!(
            run(container, false, &[]).unwrap(),
            "P_color=red P_k=v A=2 B=1-red-$(LATER)-$(A) C=v PW=hunter2 NAME=web"
        );
    }

    #[test]
    fn what_is_missing_is_said_as_upstream_says_it() {
        let key = |kind: &str, name: &str, key: &str| json!({"env": [{"name": "X", "valueFrom": {kind: {"name": name, "key": key}}}]});
        let cases = [
            (key("configMapKeyRef", "none", "k"), "configmap \"none\" not found"),
            (key("configMapKeyRef", "cm", "zz"), "couldn't find key zz in ConfigMap shop/cm"),
            (key("secretKeyRef", "none", "k"), "secret \"none\" not found"),
            (key("secretKeyRef", "s", "zz"), "couldn't find key zz in Secret shop/s"),
            (json!({"envFrom": [{"configMapRef": {"name": "none"}}]}), "configmap \"none\" not found"),
            (json!({"envFrom": [{"secretRef": {"name": "none"}}]}), "secret \"none\" not found"),
        ];
        for (container, message) in cases {
            assert_eq!(run(container, false, &[]).unwrap_err(), message);
        }
    }

    #[test]
    fn services_of_the_namespace_are_linked() {
        let linked = run(json!({}), true, &services()).unwrap();
        assert!(linked.contains("MY_DB_SERVICE_HOST=10.43.0.9 MY_DB_SERVICE_PORT=5432"), "{linked}");
        assert!(linked.contains("MY_DB_PORT_5432_TCP=tcp://10.43.0.9:5432"), "{linked}");
        assert!(linked.contains("KUBERNETES_SERVICE_PORT_HTTPS=443"), "{linked}");
        assert!(!linked.contains("HIDDEN") && !linked.contains("HEADLESS"), "{linked}");
        let unlinked = run(json!({}), false, &services()).unwrap();
        assert!(unlinked.contains("KUBERNETES_SERVICE_HOST=10.43.0.1") && !unlinked.contains("MY_DB"), "{unlinked}");
    }
}

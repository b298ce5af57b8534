//! What the files of ConfigMap, Secret, downward API and projected volumes hold. Pure.
//!
//! upstream: pkg/volume/{configmap,secret,downwardapi,projected}

use std::collections::HashMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret, VolumeProjection,
};

use super::atomic::{File, Payload};
use crate::container::Objects;
use crate::container::fields::{self, Surroundings};
use crate::pod::spec;

const DEFAULT_MODE: i32 = 0o644;

/// Why a volume cannot be filled; ends the text of a `FailedMount` event.
pub type Fault = String;

/// Service account tokens by their audience and lifetime, as a projection asks for them.
pub type Tokens = HashMap<TokenKey, String>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenKey {
    pub audience: String,
    pub seconds: i64,
}

/// What volumes are filled from.
pub struct Sources<'a> {
    pub pod: &'a Pod,
    pub objects: &'a Objects,
    pub around: &'a Surroundings,
    pub tokens: &'a Tokens,
}

/// The tokens that a projected volume needs.
pub fn tokens_of(source: &ProjectedVolumeSource) -> Vec<TokenKey> {
    let projections = source.sources.iter().flatten().filter_map(|source| source.service_account_token.as_ref());
    projections
        .map(|token| TokenKey {
            audience: token.audience.clone().unwrap_or_default(),
            seconds: token.expiration_seconds.unwrap_or(3600),
        })
        .collect()
}

/// Keys of a ConfigMap or Secret chosen and renamed by `items`; all of them without items.
struct Selection<'a> {
    items: Option<&'a [KeyToPath]>,
    mode: i32,
    optional: bool,
    /// `config` or `secret`, for the text about a missing key.
    what: &'static str,
}

impl Selection<'_> {
    fn pick(&self, mut data: HashMap<String, Vec<u8>>) -> Result<Payload, Fault> {
        let Some(items) = self.items.filter(|items| !items.is_empty()) else {
            return Ok(data.into_iter().map(|(key, data)| (key, file(data, self.mode))).collect());
        };
        let mut payload = Payload::new();
        for item in items {
            match data.get_mut(&item.key) {
                Some(data) => {
                    payload.insert(item.path.clone(), file(data.clone(), item.mode.unwrap_or(self.mode)));
                }
                None if self.optional => {}
                None => return Err(format!("references non-existent {} key: {}", self.what, item.key)),
            }
        }
        Ok(payload)
    }
}

fn file(data: Vec<u8>, mode: i32) -> File {
    File { data, mode: mode as u32 & 0o777, owner: None }
}

fn config_map_data(map: &ConfigMap) -> HashMap<String, Vec<u8>> {
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, ByteString(value))| (key.clone(), value.clone()));
    text.chain(binary).collect()
}

fn secret_data(secret: &Secret) -> HashMap<String, Vec<u8>> {
    secret.data.iter().flatten().map(|(key, ByteString(value))| (key.clone(), value.clone())).collect()
}

pub fn config_map(
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
    objects: &Objects,
) -> Result<Payload, Fault> {
    let selection = Selection { items, mode: mode.unwrap_or(DEFAULT_MODE), optional, what: "config" };
    match objects.config_maps.get(name) {
        Some(map) => selection.pick(config_map_data(map)),
        None if optional => Ok(Payload::new()),
        None => Err(format!("configmap \"{name}\" not found")),
    }
}

pub fn secret(
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
    objects: &Objects,
) -> Result<Payload, Fault> {
    let selection = Selection { items, mode: mode.unwrap_or(DEFAULT_MODE), optional, what: "secret" };
    match objects.secrets.get(name) {
        Some(secret) => selection.pick(secret_data(secret)),
        None if optional => Ok(Payload::new()),
        None => Err(format!("secret \"{name}\" not found")),
    }
}

pub fn downward(files: &[DownwardAPIVolumeFile], mode: Option<i32>, sources: &Sources<'_>) -> Result<Payload, Fault> {
    let mut payload = Payload::new();
    for item in files {
        let value = downward_value(item, sources)?;
        payload.insert(item.path.clone(), file(value.into_bytes(), item.mode.or(mode).unwrap_or(DEFAULT_MODE)));
    }
    Ok(payload)
}

fn downward_value(item: &DownwardAPIVolumeFile, sources: &Sources<'_>) -> Result<String, Fault> {
    if let Some(reference) = &item.field_ref {
        return fields::field(sources.pod, &reference.field_path, sources.around).map_err(|error| error.0);
    }
    let Some(selector) = &item.resource_field_ref else { return Ok(String::new()) };
    let name = selector.container_name.as_deref().unwrap_or_default();
    let (_, container) = spec::container(sources.pod, name).unwrap_or((spec::Kind::App, Container::default()));
    fields::resource(sources.pod, &container, selector, sources.around).map_err(|error| error.0)
}

pub fn projected(source: &ProjectedVolumeSource, sources: &Sources<'_>) -> Result<Payload, Fault> {
    let mut payload = Payload::new();
    let mut faults = Vec::new();
    for projection in source.sources.iter().flatten() {
        match projection_payload(projection, source.default_mode, sources) {
            Ok(files) => payload.extend(files),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.as_slice() {
        [] => Ok(payload),
        [fault] => Err(fault.clone()),
        faults => Err(format!("[{}]", faults.join(", "))),
    }
}

fn projection_payload(
    projection: &VolumeProjection,
    mode: Option<i32>,
    sources: &Sources<'_>,
) -> Result<Payload, Fault> {
    if let Some(source) = &projection.config_map {
        let optional = source.optional == Some(true);
        return config_map(&source.name, source.items.as_deref(), mode, optional, sources.objects);
    }
    if let Some(source) = &projection.secret {
        let optional = source.optional == Some(true);
        return secret(&source.name, source.items.as_deref(), mode, optional, sources.objects);
    }
    if let Some(source) = &projection.downward_api {
        return downward(source.items.as_deref().unwrap_or_default(), mode, sources);
    }
    if let Some(source) = &projection.service_account_token {
        let key = TokenKey {
            audience: source.audience.clone().unwrap_or_default(),
            seconds: source.expiration_seconds.unwrap_or(3600),
        };
        let token = sources.tokens.get(&key).ok_or("failed to fetch token: none was issued")?;
        return Ok([(source.path.clone(), token_file(token, mode, sources.pod))].into());
    }
    Err("this projection is not supported on this node".to_string())
}

/// Tokens are for the pod's user and its `fsGroup` alone, where either is known.
fn token_file(token: &str, mode: Option<i32>, pod: &Pod) -> File {
    let owner = only_user(pod);
    let group = spec::spec(pod).security_context.as_ref().and_then(|context| context.fs_group);
    let mode = if owner.is_some() || group.is_some() { 0o600 } else { mode.unwrap_or(DEFAULT_MODE) };
    File { owner, ..file(token.as_bytes().to_vec(), mode) }
}

/// The user that all containers of a pod are told to run as, if it is the same one.
fn only_user(pod: &Pod) -> Option<u32> {
    let spec = spec::spec(pod);
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let of = |container: &Container| container.security_context.as_ref()?.run_as_user;
    let mut users =
        spec.init_containers.iter().flatten().chain(&spec.containers).map(|container| of(container).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fields::tests::around;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn objects() -> Objects {
        let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAE="}});
        let secret = json!({"data": {"pw": "aHVudGVyMg=="}});
        Objects {
            config_maps: [("cm".to_string(), Arc::new(serde_json::from_value(map).unwrap()))].into(),
            secrets: [("s".to_string(), Arc::new(serde_json::from_value(secret).unwrap()))].into(),
        }
    }

    fn show(payload: Result<Payload, Fault>) -> String {
        match payload {
            Err(fault) => format!("! {fault}"),
            Ok(payload) => {
                let line = |(path, file): (&String, &File)| {
                    format!("{path}={} {:o}", String::from_utf8_lossy(&file.data), file.mode)
                };
                payload.iter().map(line).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn items_choose_and_rename_keys() {
        let items: Vec<KeyToPath> =
            serde_json::from_value(json!([{"key": "a", "path": "x/y", "mode": 256}, {"key": "b", "path": "z"}]))
                .unwrap();
        let missing: Vec<KeyToPath> = serde_json::from_value(json!([{"key": "no", "path": "z"}])).unwrap();
        let objects = objects();
        assert_eq!(show(config_map("cm", Some(&items), None, false, &objects)), "x/y=1 400, z=2 644");
        assert_eq!(
            show(config_map("cm", Some(&missing), None, false, &objects)),
            "! references non-existent config key: no"
        );
        assert_eq!(show(config_map("cm", Some(&missing), None, true, &objects)), "");
        assert_eq!(show(config_map("none", None, None, false, &objects)), "! configmap \"none\" not found");
        assert_eq!(show(config_map("none", None, None, true, &objects)), "");
        assert_eq!(show(secret("s", None, Some(0o400), false, &objects)), "pw=hunter2 400");
    }

    #[test]
    fn a_token_is_for_the_user_of_all_containers_and_the_group() {
        for (of_pod, of_init, of_container, wanted) in [
            (json!({}), json!({}), json!({}), "644 None"),
            (json!({"runAsUser": 1000}), json!({}), json!({}), "600 Some(1000)"),
            (json!({"fsGroup": 10}), json!({}), json!({}), "600 None"),
            (json!({"runAsUser": 1000, "fsGroup": 10}), json!({}), json!({}), "600 Some(1000)"),
            (json!({}), json!({"runAsUser": 7}), json!({"runAsUser": 7}), "600 Some(7)"),
            (json!({"runAsUser": 1000}), json!({}), json!({"runAsUser": 7}), "644 None"),
            (json!({}), json!({}), json!({"runAsUser": 7}), "644 None"),
        ] {
            let spec = json!({"securityContext": of_pod,
                "initContainers": [{"name": "i", "securityContext": of_init}],
                "containers": [{"name": "c", "securityContext": of_container}]});
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let file = token_file("jwt", Some(0o644), &pod);
            assert_eq!(format!("{:o} {:?}", file.mode, file.owner), wanted, "{spec}");
        }
    }

    #[test]
    fn a_projection_joins_its_sources() {
        let source: Value = json!({"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
            {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]});
        let source: ProjectedVolumeSource = serde_json::from_value(source).unwrap();
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"namespace": "shop"}, "spec": {"containers": []}})).unwrap();
        let key = TokenKey { audience: String::new(), seconds: 600 };
        assert_eq!(tokens_of(&source), std::slice::from_ref(&key));
        let (objects, around) = (objects(), around());
        let tokens = Tokens::from([(key, "jwt".to_string())]);
        let sources = Sources { pod: &pod, objects: &objects, around: &around, tokens: &tokens };
        assert_eq!(show(projected(&source, &sources)), "ca.crt=1 644, namespace=shop 644, token=jwt 644");
    }
}

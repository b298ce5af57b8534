//! The configuration of one run of a container. Pure.

use std::path::PathBuf;

use containers::{ContainerConfig, Image, Mount, Propagation};
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::expand::expand;
use super::{ConfigError, sandbox, security};
use crate::paths::Paths;
use crate::pod::spec;
use crate::resources;

/// Holds a run's number, so that an agent that starts knows how often a container was restarted.
pub const RESTART_COUNT_ANNOTATION: &str = "io.kubernetes.container.restartCount";

/// What a run is made from beside its pod.
pub struct Inputs<'a> {
    pub attempt: u32,
    pub image: &'a Image,
    pub env: Vec<(String, String)>,
    /// Volume mounts, already resolved to host paths.
    pub mounts: Vec<Mount>,
    /// Bytes of memory of the node, for the out-of-memory score.
    pub node_memory: u64,
}

pub fn container_config(
    pod: &Pod,
    container: &Container,
    inputs: Inputs<'_>,
    paths: &Paths,
) -> Result<ContainerConfig, ConfigError> {
    let security = security::security_context(pod, container, inputs.image, paths)?;
    let lookup = |name: &str| inputs.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let expanded = |words: &Option<Vec<String>>| words.iter().flatten().map(|word| expand(word, lookup)).collect();
    let mut labels = sandbox::labels(pod);
    labels.insert(sandbox::CONTAINER_NAME_LABEL.into(), container.name.clone());
    let mut mounts = inputs.mounts;
    mounts.extend(managed_mounts(pod, container, inputs.attempt, &mounts, paths));
    Ok(ContainerConfig {
        name: container.name.clone(),
        attempt: inputs.attempt,
        image: inputs.image.id.clone(),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().filter(|dir| !dir.is_empty()),
        mounts,
        devices: Vec::new(),
        resources: resources::of_container(pod, container, inputs.node_memory),
        security,
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        target_container: spec::target_container(pod, &container.name),
        stop_signal: container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.clone()),
        labels,
        annotations: [(RESTART_COUNT_ANNOTATION.to_string(), inputs.attempt.to_string())].into(),
        env: inputs.env,
    })
}

/// `/etc/hosts` and the termination message, where no volume is mounted over them.
fn managed_mounts(pod: &Pod, container: &Container, attempt: u32, volumes: &[Mount], paths: &Paths) -> Vec<Mount> {
    let uid = spec::uid(pod);
    let log = container.termination_message_path.as_deref().filter(|path| !path.is_empty());
    let managed =
        [(paths.hosts_file(uid), Some("/etc/hosts")), (paths.termination_log(uid, &container.name, attempt), log)];
    managed
        .into_iter()
        .filter_map(|(host_path, inside)| Some((host_path, PathBuf::from(inside?))))
        .filter(|(_, inside)| !volumes.iter().any(|mount| mount.container_path == *inside))
        .map(|(host_path, container_path)| Mount {
            host_path,
            container_path,
            read_only: false,
            propagation: Propagation::Private,
        })
        .collect()
}

/// How mounts travel between host and container.
pub fn propagation(mount: &VolumeMount) -> Propagation {
    match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::HostToContainer,
        Some("Bidirectional") => Propagation::Bidirectional,
        _ => Propagation::Private,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn command_and_arguments_expand_and_managed_files_are_mounted() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [{"name": "c", "command": ["sh", "$(A)"], "args": ["$(B)"],
                "terminationMessagePath": "/dev/termination-log", "lifecycle": {"stopSignal": "SIGINT"}}]}}))
        .unwrap();
        let image = Image { id: "sha256:1".into(), tags: vec![], digests: vec![], size: 1, user: None };
        let volume = Mount {
            host_path: "/v".into(),
            container_path: "/etc/hosts".into(),
            read_only: true,
            propagation: Propagation::Private,
        };
        let inputs = Inputs {
            attempt: 3,
            image: &image,
            env: vec![("A".into(), "1".into())],
            mounts: vec![volume],
            node_memory: 1 << 30,
        };
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let config = container_config(&pod, container, inputs, &Paths::new(Path::new("/r"))).unwrap();
        assert_eq!((config.command, config.args), (vec!["sh".into(), "1".into()], vec!["$(B)".to_string()]));
        assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
        assert_eq!(config.annotations[RESTART_COUNT_ANNOTATION], "3");
        let mounts: Vec<String> = config
            .mounts
            .iter()
            .map(|mount| format!("{}:{}", mount.host_path.display(), mount.container_path.display()))
            .collect();
        assert_eq!(mounts, ["/v:/etc/hosts", "/r/pods/u/containers/c/3:/dev/termination-log"]);
    }
}

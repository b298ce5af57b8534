//! Security contexts of pod and container as one. Pure.
//!
//! upstream: pkg/kubelet/kuberuntime/security_context.go, pkg/securitycontext

use containers::{Image, Seccomp, SecurityContext};
use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile};

use super::ConfigError;
use crate::paths::Paths;
use crate::pod::spec;

/// What the runtime is told; refuses what `runAsNonRoot` forbids.
pub fn security_context(
    pod: &Pod,
    container: &Container,
    image: &Image,
    paths: &Paths,
) -> Result<SecurityContext, ConfigError> {
    let of_pod = spec::spec(pod).security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(of_pod.run_as_user);
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        verify_non_root(pod, container, user, image.user.as_deref())?;
    }
    let groups = of_pod.supplemental_groups.unwrap_or_default().into_iter().chain(of_pod.fs_group);
    let capabilities = own.capabilities.unwrap_or_default();
    let privileged = own.privileged.unwrap_or(false);
    Ok(SecurityContext {
        privileged,
        run_as_user: user.map(id),
        run_as_group: own.run_as_group.or(of_pod.run_as_group).map(id),
        run_as_username: None,
        supplemental_groups: groups.map(id).collect(),
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        read_only_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        seccomp: seccomp(own.seccomp_profile.or(of_pod.seccomp_profile).as_ref(), privileged, paths),
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
    })
}

fn id(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Without a profile the runtime's own applies, as upstream does with `seccompDefault`.
fn seccomp(profile: Option<&SeccompProfile>, privileged: bool, paths: &Paths) -> Seccomp {
    match profile {
        _ if privileged => Seccomp::Unconfined,
        Some(profile) if profile.type_ == "Unconfined" => Seccomp::Unconfined,
        Some(profile) if profile.type_ == "Localhost" => {
            Seccomp::Localhost(paths.seccomp_profile(profile.localhost_profile.as_deref().unwrap_or_default()))
        }
        _ => Seccomp::RuntimeDefault,
    }
}

fn verify_non_root(
    pod: &Pod,
    container: &Container,
    user: Option<i64>,
    image_user: Option<&str>,
) -> Result<(), ConfigError> {
    let place = format!("(pod: \"{}\", container: {})", spec::full_name(pod), container.name);
    let name = image_user.unwrap_or_default().split(':').next().unwrap_or_default();
    match (user, name.parse::<u32>()) {
        (Some(0), _) => Err(ConfigError(format!("container's runAsUser breaks non-root policy {place}"))),
        (Some(_), _) => Ok(()),
        (None, Ok(0)) => Err(image_runs_as_root(&place)),
        (None, Ok(_)) => Ok(()),
        (None, Err(_)) if name.is_empty() => Err(image_runs_as_root(&place)),
        (None, Err(_)) => Err(ConfigError(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {place}"
        ))),
    }
}

fn image_runs_as_root(place: &str) -> ConfigError {
    ConfigError(format!("container has runAsNonRoot and image will run as root {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::Path;

    fn run(of_pod: Value, own: Value, user: Option<&str>) -> Result<SecurityContext, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"securityContext": of_pod, "containers": [{"name": "c", "securityContext": own}]}}))
        .unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let image = Image { id: "i".into(), tags: vec![], digests: vec![], size: 1, user: user.map(str::to_string) };
        security_context(&pod, container, &image, &Paths::new(Path::new("/r"))).map_err(|error| error.0)
    }

    #[test]
    fn the_container_wins_over_the_pod() {
        let context = run(
            json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]}),
            json!({"runAsUser": 9, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}),
            None,
        )
        .unwrap();
        assert_eq!((context.run_as_user, context.run_as_group), (Some(9), Some(2)));
        assert_eq!(context.supplemental_groups, [4, 3]);
        assert!(context.no_new_privs);
        assert_eq!(context.drop_capabilities, ["ALL"]);
        assert_eq!(context.seccomp, Seccomp::RuntimeDefault);
    }

    #[test]
    fn non_root_is_verified_against_the_specification_and_the_image() {
        let place = "(pod: \"p_n(u)\", container: c)";
        let non_root = || json!({"runAsNonRoot": true});
        let text = |of_pod, own, user| run(of_pod, own, user).err().unwrap_or_default();
        assert_eq!(
            text(non_root(), json!({"runAsUser": 0}), None),
            format!("container's runAsUser breaks non-root policy {place}")
        );
        assert_eq!(text(non_root(), json!({"runAsUser": 5}), Some("0")), "");
        assert_eq!(
            text(non_root(), json!({}), None),
            format!("container has runAsNonRoot and image will run as root {place}")
        );
        assert_eq!(text(non_root(), json!({}), Some("1000:1000")), "");
        assert_eq!(
            text(non_root(), json!({}), Some("app")),
            format!(
                "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root {place}"
            )
        );
        assert_eq!(text(non_root(), json!({"runAsNonRoot": false}), None), "");
    }

    #[test]
    fn a_privileged_container_has_no_filter() {
        assert_eq!(run(json!({}), json!({"privileged": true}), None).unwrap().seccomp, Seccomp::Unconfined);
    }
}

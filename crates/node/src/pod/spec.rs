//! Questions about a pod's specification.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, EphemeralContainer, Pod, PodSpec};

/// Upstream's grace when a pod names none.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Pods of at least this priority are `system-node-critical` or `system-cluster-critical`.
pub const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// What part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: runs beside the others until they are done.
    Sidecar,
    App,
    Ephemeral,
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Restart {
    fn parse(policy: Option<&str>) -> Restart {
        match policy {
            Some("OnFailure") => Restart::OnFailure,
            Some("Never") => Restart::Never,
            _ => Restart::Always,
        }
    }
}

pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// `name_namespace(uid)`, as upstream's texts name a pod.
pub fn full_name(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

pub fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

pub fn restart_policy(pod: &Pod) -> Restart {
    Restart::parse(spec(pod).restart_policy.as_deref())
}

pub fn host_network(pod: &Pod) -> bool {
    spec(pod).host_network.unwrap_or(false)
}

/// Init containers, then app containers, then ephemeral ones, each with its part.
pub fn containers(pod: &Pod) -> Vec<(Kind, Container)> {
    let spec = spec(pod);
    let init = spec.init_containers.iter().flatten().map(|container| (init_kind(container), container.clone()));
    let apps = spec.containers.iter().map(|container| (Kind::App, container.clone()));
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| (Kind::Ephemeral, from_ephemeral(c)));
    init.chain(apps).chain(ephemeral).collect()
}

/// The container of this name.
pub fn container(pod: &Pod, name: &str) -> Option<(Kind, Container)> {
    containers(pod).into_iter().find(|(_, container)| container.name == name)
}

fn init_kind(container: &Container) -> Kind {
    if container.restart_policy.as_deref() == Some("Always") { Kind::Sidecar } else { Kind::Init }
}

/// An ephemeral container as a container: the same fields but for its target.
fn from_ephemeral(container: &EphemeralContainer) -> Container {
    Container {
        args: container.args.clone(),
        command: container.command.clone(),
        env: container.env.clone(),
        env_from: container.env_from.clone(),
        image: container.image.clone(),
        image_pull_policy: container.image_pull_policy.clone(),
        name: container.name.clone(),
        security_context: container.security_context.clone(),
        stdin: container.stdin,
        stdin_once: container.stdin_once,
        termination_message_path: container.termination_message_path.clone(),
        termination_message_policy: container.termination_message_policy.clone(),
        tty: container.tty,
        volume_mounts: container.volume_mounts.clone(),
        working_dir: container.working_dir.clone(),
        ..Container::default()
    }
}

/// The container whose processes an ephemeral container sees.
pub fn target_container(pod: &Pod, name: &str) -> Option<String> {
    let ephemeral = spec(pod).ephemeral_containers.iter().flatten();
    ephemeral.into_iter().find(|container| container.name == name)?.target_container_name.clone()
}

/// The policy of one container: its own before its pod's; init containers never rerun after success.
pub fn container_restart(pod: &Pod, kind: Kind, container: &Container) -> Restart {
    let policy = match &container.restart_policy {
        Some(own) => Restart::parse(Some(own)),
        None => restart_policy(pod),
    };
    match (kind, policy) {
        (Kind::Sidecar, _) => Restart::Always,
        (Kind::Ephemeral, _) => Restart::Never,
        (Kind::Init, Restart::Always) => Restart::OnFailure,
        (_, policy) => policy,
    }
}

/// Whether a container of this policy and these rules is started again after such an end.
pub fn restarts(policy: Restart, rules: &[ContainerRestartRule], exit_code: i32) -> bool {
    match policy {
        _ if rule_restarts(rules, exit_code) => true,
        Restart::Always => true,
        Restart::OnFailure => exit_code != 0,
        Restart::Never => false,
    }
}

/// Whether one of a container's restart rules asks for a restart after this exit code.
pub fn rule_restarts(rules: &[ContainerRestartRule], exit_code: i32) -> bool {
    rules.iter().any(|rule| {
        let Some(codes) = &rule.exit_codes else { return false };
        let listed = codes.values.iter().flatten().any(|value| *value == exit_code);
        rule.action == "Restart" && listed == (codes.operator == "In")
    })
}

/// How long the pod's containers have to end: as its deletion says, else as its specification does.
pub fn grace(pod: &Pod) -> Duration {
    let deletion = pod.metadata.deletion_grace_period_seconds.filter(|_| deleted(pod));
    deletion
        .or(spec(pod).termination_grace_period_seconds)
        .map_or(DEFAULT_GRACE, |seconds| Duration::from_secs(seconds.max(0) as u64))
}

/// Whether the pod's deletion was asked for.
pub fn deleted(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// When the pod has been active for as long as it may.
pub fn deadline(pod: &Pod, started: Timestamp) -> Option<Timestamp> {
    let seconds = spec(pod).active_deadline_seconds?;
    Some(started + Duration::from_secs(seconds.max(0) as u64))
}

/// Whether the API already holds the pod's end.
pub fn ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ContainerRestartRuleOnExitCodes;

    fn rule(operator: &str, values: &[i32]) -> ContainerRestartRule {
        let exit_codes = ContainerRestartRuleOnExitCodes { operator: operator.into(), values: Some(values.to_vec()) };
        ContainerRestartRule { action: "Restart".into(), exit_codes: Some(exit_codes) }
    }

    #[test]
    fn restart_rules_match_exit_codes() {
        assert!(rule_restarts(&[rule("In", &[42])], 42));
        assert!(!rule_restarts(&[rule("In", &[42])], 1));
        assert!(rule_restarts(&[rule("NotIn", &[42])], 1));
        assert!(!rule_restarts(&[], 42));
    }
}

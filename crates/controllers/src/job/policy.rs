//! The pod failure policy: rules over exit codes and conditions of a failed pod.

use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::decide::Verdict;

/// What the first matching rule says; without one, the failure counts.
pub fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Verdict {
    let rules = policy.into_iter().flat_map(|policy| policy.rules.iter().enumerate());
    for (at, rule) in rules {
        let Some(why) = matching(rule, pod) else { continue };
        return match rule.action.as_str() {
            "Ignore" => Verdict::Ignore,
            "FailJob" => Verdict::FailJob(format!("{why} matching FailJob rule at index {at}")),
            _ => Verdict::Count,
        };
    }
    Verdict::Count
}

fn matching(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    if let Some(codes) = &rule.on_exit_codes {
        return exit_code(codes, pod);
    }
    let patterns = rule.on_pod_conditions.iter().flatten();
    let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    patterns
        .filter(|pattern| {
            let wanted = pattern.status.as_deref().unwrap_or("True");
            control::pods::condition(pod, &pattern.type_).is_some_and(|condition| condition.status == wanted)
        })
        .map(|pattern| format!("Pod {name} has condition {}", pattern.type_))
        .next()
}

fn exit_code(codes: &PodFailurePolicyOnExitCodesRequirement, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let named = containers.filter(|container| codes.container_name.as_ref().is_none_or(|name| *name == container.name));
    for container in named {
        let Some(ended) = container.state.as_ref().and_then(|state| state.terminated.as_ref()) else { continue };
        let listed = codes.values.contains(&ended.exit_code);
        if ended.exit_code != 0 && listed == (codes.operator == "In") {
            let pod = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
            return Some(format!(
                "Container {} for pod {pod} failed with exit code {}",
                container.name, ended.exit_code
            ));
        }
    }
    None
}

//! TaintToleration: nodes keep pods away that do not tolerate their taints.

use k8s_openapi::api::core::v1::Toleration;

use super::{Filtered, normalize};
use crate::nodes::NodeInfo;
use crate::pods::PodInfo;

pub fn filter(pod: &PodInfo, node: &NodeInfo) -> Filtered {
    let hard = node.taints().iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    for taint in hard {
        let value = taint.value.as_deref().unwrap_or_default();
        if !tolerates(pod.tolerations(), &taint.key, value, &taint.effect) {
            let reason = format!("node(s) had untolerated taint(s) {{{}: {value}}}", taint.key);
            return Filtered::never("TaintToleration", reason.replace("taint(s)", "taint"));
        }
    }
    Filtered::Fits
}

/// Whether any of the tolerations allows a taint.
pub fn tolerates(tolerations: &[Toleration], key: &str, value: &str, effect: &str) -> bool {
    tolerations.iter().any(|toleration| {
        let wanted_key = toleration.key.as_deref().unwrap_or_default();
        let wanted_effect = toleration.effect.as_deref().unwrap_or_default();
        let effect_fits = wanted_effect.is_empty() || wanted_effect == effect;
        let key_fits = wanted_key.is_empty() || wanted_key == key;
        let value_fits = match toleration.operator.as_deref().unwrap_or("Equal") {
            "Exists" => true,
            "Equal" | "" => !wanted_key.is_empty() && toleration.value.as_deref().unwrap_or_default() == value,
            _ => false,
        };
        effect_fits && key_fits && value_fits
    })
}

/// Fewer `PreferNoSchedule` taints that the pod does not tolerate are better.
pub fn scores(pod: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let untolerated = |node: &&NodeInfo| {
        let soft = node.taints().iter().filter(|taint| taint.effect == "PreferNoSchedule");
        let value = |value: &Option<String>| value.clone().unwrap_or_default();
        let count = soft.filter(|of| !tolerates(pod.tolerations(), &of.key, &value(&of.value), &of.effect)).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    normalize(nodes.iter().map(untolerated).collect(), true)
}

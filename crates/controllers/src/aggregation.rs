//! Fills cluster roles that gather the rules of others.
//! (upstream: pkg/controller/clusterroleaggregation)

use std::sync::Arc;

use async_trait::async_trait;
use control::meta::Labels;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

pub struct ClusterRoleAggregation {
    client: Client,
    roles: Informer<ClusterRole>,
}

impl ClusterRoleAggregation {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), roles: shell.informers.get() }
    }
}

/// The rules that `role` should have; nothing if it gathers none.
fn gather(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Result<Option<Vec<PolicyRule>>, Error> {
    let Some(aggregation) = &role.aggregation_rule else { return Ok(None) };
    let selectors = aggregation.cluster_role_selectors.iter().flatten();
    let selectors: Vec<Labels> = selectors.map(|selector| Labels::compile(Some(selector))).collect::<Result<_, _>>()?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    for other in all.iter().filter(|other| other.metadata.name != role.metadata.name) {
        if !selectors.iter().any(|selector| selector.matches(&other.metadata)) {
            continue;
        }
        for rule in other.rules.iter().flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    Ok(Some(rules))
}

#[async_trait]
impl Controller for ClusterRoleAggregation {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "ClusterRoleAggregator"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        let roles = self.roles.clone();
        watches.on(move |_: &Change<ClusterRole>| {
            let mut gathering = roles.list();
            gathering.retain(|role| role.aggregation_rule.is_some());
            gathering.into_iter().map(|role| ObjectKey::of(&role.metadata)).collect::<Vec<_>>()
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(role) = self.roles.get(key) else { return Ok(Requeue::No) };
        let Some(rules) = gather(&role, &self.roles.list())? else { return Ok(Requeue::No) };
        if role.rules.as_deref().unwrap_or_default() == rules {
            return Ok(Requeue::No);
        }
        let patch = json!({ "metadata": { "resourceVersion": role.metadata.resource_version }, "rules": rules });
        let api = Api::<ClusterRole>::all(self.client.clone());
        api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(Requeue::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, label: &str, resource: &str) -> Arc<ClusterRole> {
        let role = json!({
            "metadata": { "name": name, "labels": { "to": label } },
            "rules": [{ "apiGroups": [""], "resources": [resource], "verbs": ["get"] }],
        });
        Arc::new(serde_json::from_value(role).expect("a role"))
    }

    #[test]
    fn rules_of_matching_roles_are_gathered_once() {
        let view = json!({
            "metadata": { "name": "view", "labels": { "to": "view" } },
            "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "to": "view" } }] },
        });
        let view: ClusterRole = serde_json::from_value(view).expect("a role");
        let all = [role("a", "view", "pods"), role("b", "view", "pods"), role("c", "edit", "secrets")];
        let rules = gather(&view, &all).expect("valid selectors").expect("it gathers");
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].resources.as_deref(), Some(&["pods".to_owned()][..]));
        assert!(gather(&all[0], &all).expect("nothing to compile").is_none());
    }
}

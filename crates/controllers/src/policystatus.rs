//! Tells in the status of ValidatingAdmissionPolicies which expressions do not fit the types of what they look at.
//! (upstream: pkg/controller/validatingadmissionpolicystatus)

use async_trait::async_trait;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kinds::KindDef;
use kinds::admissionregistration::{concerns, type_check};
use kinds::custom;
use kube::{Api, Client, ResourceExt};
use machinery::Object;
use serde_json::{Value, json};

use crate::definitions::Definition;

pub struct PolicyStatusController {
    client: Client,
    policies: Informer<ValidatingAdmissionPolicy>,
    definitions: Informer<Definition>,
}

impl PolicyStatusController {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), policies: shell.informers.get(), definitions: shell.informers.get() }
    }

    /// The custom kinds that a policy may be about. Their schemas are read now: informers are without them.
    async fn custom_kinds(&self, policy: &Object) -> Result<Vec<&'static KindDef>, Error> {
        let api = Api::<CustomResourceDefinition>::all(self.client.clone());
        let mut kinds = Vec::new();
        for definition in self.definitions.list() {
            let (group, names) = (&definition.spec.group, &definition.spec.names);
            if !concerns(policy, group, &names.plural, &names.kind) {
                continue;
            }
            let found = api.get_opt(&definition.name_any()).await?.and_then(as_object);
            if let Some(definition) = found.filter(custom::is_served) {
                kinds.extend(&custom::family(&definition).served);
            }
        }
        Ok(kinds)
    }
}

fn as_object(object: impl serde::Serialize) -> Option<Object> {
    serde_json::to_value(object).ok().and_then(Object::from_value)
}

/// The policy if it has not the status of its generation.
fn unchecked(policy: &ValidatingAdmissionPolicy) -> Option<Object> {
    let observed = policy.status.as_ref().and_then(|status| status.observed_generation);
    (policy.metadata.generation.is_some() && policy.metadata.generation != observed).then(|| as_object(policy))?
}

/// The status that a policy is to have.
fn status(policy: &Object, custom: &[&'static KindDef]) -> Value {
    let warnings = type_check(policy, custom).into_iter();
    let warnings: Vec<Value> =
        warnings.map(|warning| json!({"fieldRef": warning.field, "warning": warning.text})).collect();
    let checked =
        if warnings.is_empty() { json!({"expressionWarnings": null}) } else { json!({"expressionWarnings": warnings}) };
    json!({"observedGeneration": policy.get(&["metadata", "generation"]), "typeChecking": checked})
}

#[async_trait]
impl Controller for PolicyStatusController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "validatingadmissionpolicy-status"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<ValidatingAdmissionPolicy>| {
            let policy = change.object();
            Some(ObjectKey::of(&policy.metadata))
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(policy) = self.policies.get(key) else { return Ok(Requeue::No) };
        if let Some(unchecked) = unchecked(&policy) {
            let status = status(&unchecked, &self.custom_kinds(&unchecked).await?);
            let api = Api::<ValidatingAdmissionPolicy>::all(self.client.clone());
            let version = policy.metadata.resource_version.as_deref();
            control::write::merge_status(&api, &key.name, version, &status).await?;
        }
        Ok(Requeue::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_looked_at_once() {
        let policy = |observed: Option<i64>, expression: &str| -> ValidatingAdmissionPolicy {
            let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]});
            let spec =
                json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]});
            let metadata = json!({"name": "p", "generation": 2});
            serde_json::from_value(
                json!({"metadata": metadata, "spec": spec, "status": {"observedGeneration": observed}}),
            )
            .unwrap()
        };
        let status = |policy| unchecked(&policy).map(|policy| status(&policy, &[]));
        assert_eq!(status(policy(Some(2), "object.none")), None);
        let fine = status(policy(Some(1), "object.spec.replicas > 1")).unwrap();
        assert_eq!(fine, json!({"observedGeneration": 2, "typeChecking": {"expressionWarnings": null}}));
        let warned = status(policy(None, "object.none == 1")).unwrap();
        let warnings = warned["typeChecking"]["expressionWarnings"].as_array().unwrap();
        assert_eq!(warnings[0]["fieldRef"], "spec.validations[0].expression");
    }
}

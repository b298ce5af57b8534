//! Tells in the status of ValidatingAdmissionPolicies which expressions do not fit the types of what they look at.
//! (upstream: pkg/controller/validatingadmissionpolicystatus)

use async_trait::async_trait;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kinds::admissionregistration::type_check;
use kube::{Api, Client};
use machinery::Object;
use serde_json::{Value, json};

pub struct PolicyStatusController {
    client: Client,
    policies: Informer<ValidatingAdmissionPolicy>,
}

impl PolicyStatusController {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), policies: shell.informers.get() }
    }
}

/// The status that a policy is to have; nothing if it has the one of its generation.
fn status(policy: &ValidatingAdmissionPolicy) -> Option<Value> {
    let generation = policy.metadata.generation?;
    if policy.status.as_ref().and_then(|status| status.observed_generation) == Some(generation) {
        return None;
    }
    let policy = serde_json::to_value(policy).ok().and_then(Object::from_value)?;
    let warnings = type_check(&policy).into_iter();
    let warnings: Vec<Value> =
        warnings.map(|warning| json!({"fieldRef": warning.field, "warning": warning.text})).collect();
    let checked =
        if warnings.is_empty() { json!({"expressionWarnings": null}) } else { json!({"expressionWarnings": warnings}) };
    Some(json!({"observedGeneration": generation, "typeChecking": checked}))
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
        if let Some(status) = status(&policy) {
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
        assert_eq!(status(&policy(Some(2), "object.none")), None);
        let fine = status(&policy(Some(1), "object.spec.replicas > 1")).unwrap();
        assert_eq!(fine, json!({"observedGeneration": 2, "typeChecking": {"expressionWarnings": null}}));
        let warned = status(&policy(None, "object.none == 1")).unwrap();
        let warnings = warned["typeChecking"]["expressionWarnings"].as_array().unwrap();
        assert_eq!(warnings[0]["fieldRef"], "spec.validations[0].expression");
    }
}

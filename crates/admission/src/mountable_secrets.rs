//! A service account may be annotated to lend pods no secrets but its own.

use machinery::Object;
use serde_json::Value;

use crate::pods::container_lists;

const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// The error is upstream's text. Of a new pod all is looked at, and later what `ephemeralcontainers` adds.
pub fn check(account: &Object, pod: &Object, ephemeral: bool) -> Result<(), String> {
    if !matches!(account.annotation(ENFORCE), Some("1" | "t" | "T" | "true" | "TRUE" | "True")) {
        return Ok(());
    }
    let mountable = Allowed { account, field: "secrets", what: "secret" };
    if ephemeral {
        return check_containers(&mountable, pod, &["ephemeralContainers"]);
    }
    for volume in pod.list(&["spec", "volumes"]) {
        if let Some(name) = volume.pointer("/secret/secretName").and_then(Value::as_str) {
            mountable.check(name, || format!("volume with secret.secretName={name:?}"))?;
        }
    }
    check_containers(&mountable, pod, &["initContainers", "containers"])?;
    let pull = Allowed { account, field: "imagePullSecrets", what: "imagePullSecret" };
    for (at, secret) in pod.list(&["spec", "imagePullSecrets"]).iter().enumerate() {
        let name = secret["name"].as_str().unwrap_or_default();
        pull.check(name, || format!("imagePullSecrets[{at}].name={name:?}"))?;
    }
    Ok(())
}

struct Allowed<'a> {
    account: &'a Object,
    field: &'a str,
    what: &'a str,
}

impl Allowed<'_> {
    fn check(&self, name: &str, told: impl FnOnce() -> String) -> Result<(), String> {
        if self.account.list(&[self.field]).iter().any(|own| own["name"] == name) {
            return Ok(());
        }
        let (told, account, what) = (told(), self.account.name(), self.what);
        Err(format!("{told} is not allowed because service account {account} does not reference that {what}"))
    }
}

fn check_containers(mountable: &Allowed<'_>, pod: &Object, lists: &[&str]) -> Result<(), String> {
    for (what, container) in container_lists(pod, lists) {
        let container_name = container["name"].as_str().unwrap_or_default();
        let items = |field: &str| container[field].as_array().into_iter().flatten();
        for env in items("env") {
            if let Some(name) = env.pointer("/valueFrom/secretKeyRef/name").and_then(Value::as_str) {
                let variable = env["name"].as_str().unwrap_or_default();
                mountable.check(name, || {
                    format!("{what} {container_name} with envVar {variable} referencing secret.secretName={name:?}")
                })?;
            }
        }
        for source in items("envFrom") {
            if let Some(name) = source.pointer("/secretRef/name").and_then(Value::as_str) {
                let told = || format!("{what} {container_name} with envFrom referencing secret.secretName={name:?}");
                mountable.check(name, told)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strict_account_lends_its_own_secrets() {
        let account = |enforce: &str| {
            let metadata = json!({"name": "web", "annotations": {ENFORCE: enforce}});
            json!({"metadata": metadata, "secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}]})
        };
        let env = |secret: &str| json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": secret}}}]);
        let container =
            |secret: &str| json!([{"name": "c", "env": env(secret), "envFrom": [{"secretRef": {"name": "own"}}]}]);
        let from = json!([{"name": "c", "envFrom": [{"secretRef": {"name": "other"}}]}]);
        let refused = |told: &str, what: &str| {
            format!("{told} is not allowed because service account web does not reference that {what}")
        };
        let ok = String::new;
        for (enforce, spec, ephemeral, expected) in [
            (
                "true",
                json!({"containers": container("own"), "imagePullSecrets": [{"name": "pull"}], "volumes": [{"secret": {"secretName": "own"}}]}),
                false,
                ok(),
            ),
            ("false", json!({"containers": container("other")}), false, ok()),
            ("yes", json!({"containers": container("other")}), false, ok()),
            (
                "true",
                json!({"volumes": [{"secret": {"secretName": "other"}}]}),
                false,
                refused("volume with secret.secretName=\"other\"", "secret"),
            ),
            (
                "true",
                json!({"containers": container("other")}),
                false,
                refused("container c with envVar X referencing secret.secretName=\"other\"", "secret"),
            ),
            (
                "true",
                json!({"initContainers": container("other")}),
                false,
                refused("init container c with envVar X referencing secret.secretName=\"other\"", "secret"),
            ),
            (
                "true",
                json!({"containers": from}),
                false,
                refused("container c with envFrom referencing secret.secretName=\"other\"", "secret"),
            ),
            (
                "true",
                json!({"imagePullSecrets": [{"name": "pull"}, {"name": "own"}]}),
                false,
                refused("imagePullSecrets[1].name=\"own\"", "imagePullSecret"),
            ),
            (
                "true",
                json!({"ephemeralContainers": container("other")}),
                true,
                refused("ephemeral container c with envVar X referencing secret.secretName=\"other\"", "secret"),
            ),
            ("true", json!({"ephemeralContainers": container("own"), "containers": container("other")}), true, ok()),
        ] {
            let [account, pod] =
                [account(enforce), json!({ "spec": spec })].map(|of| Object::from_value(of).expect("an object"));
            assert_eq!(check(&account, &pod, ephemeral).err().unwrap_or_default(), expected, "{spec}");
        }
    }
}

//! Every pod acts as a service account, and finds its token in a volume.

use auth::authz::references::{Kind, PodReferences};
use auth::tokens::request::GIVEN_SECONDS;
use auth::view::Resource;
use kinds::quota::lasting_containers;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::{Value, json};

use crate::pods::{MIRROR_POD, for_each_container, is_mirror};
use crate::{Admit, mountable_secrets};

pub const DEFAULT: &str = "default";

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const ROOT_CA: &str = "kube-root-ca.crt";

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    if !admit.creates(Resource::PODS) || is_mirror(pod) {
        return Ok(());
    }
    pod.set_default(&["spec", "serviceAccountName"], DEFAULT);
    if pod.str(&["spec", "serviceAccountName"]).is_empty() {
        pod.set(&["spec", "serviceAccountName"], DEFAULT);
    }
    let account = account(admit, pod)?;
    // The old name of the field, which old clients read.
    let name = account.name().to_owned();
    pod.set(&["spec", "serviceAccount"], name);
    if mounts_token(&account, pod) {
        mount_token(pod);
    }
    if pod.list(&["spec", "imagePullSecrets"]).is_empty() && !account.list(&["imagePullSecrets"]).is_empty() {
        pod.set(&["spec", "imagePullSecrets"], account.list(&["imagePullSecrets"]).to_vec());
    }
    Ok(())
}

pub fn validate(admit: &Admit<'_>, pod: Option<&Object>) -> Result<(), ApiError> {
    let updates = admit.request.operation == Operation::Update;
    let ephemeral = updates && admit.is(Resource::PODS, "ephemeralcontainers");
    let Some(pod) = pod.filter(|_| ephemeral || admit.creates(Resource::PODS)) else { return Ok(()) };
    if !is_mirror(pod) {
        let account = account(admit, pod)?;
        return mountable_secrets::check(&account, pod, ephemeral).map_err(|why| admit.forbidden(Some(pod), why));
    }
    if !pod.str(&["spec", "serviceAccountName"]).is_empty() {
        return Err(admit.forbidden(Some(pod), "a mirror pod may not reference service accounts"));
    }
    let mut plain = pod.clone();
    plain.remove(&["metadata", "annotations", MIRROR_POD]);
    if PodReferences::of(&plain).names(Kind::Secret).next().is_some() {
        return Err(admit.forbidden(Some(pod), "a mirror pod may not reference secrets"));
    }
    let has_token = |volume: &Value| {
        let sources = volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten();
        sources.into_iter().any(|source| source.get("serviceAccountToken").is_some())
    };
    if pod.list(&["spec", "volumes"]).iter().any(has_token) {
        let why = "a mirror pod may not use ServiceAccountToken volume projections";
        return Err(admit.forbidden(Some(pod), why));
    }
    Ok(())
}

fn account(admit: &Admit<'_>, pod: &Object) -> Result<Object, ApiError> {
    let namespace = admit.request.namespace;
    let name = pod.str(&["spec", "serviceAccountName"]);
    admit.view.get(Resource::SERVICE_ACCOUNTS, namespace, name).ok_or_else(|| {
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        admit.forbidden(Some(pod), why)
    })
}

/// What the pod says goes before what its account says.
fn mounts_token(account: &Object, pod: &Object) -> bool {
    let of_pod = pod.get(&["spec", "automountServiceAccountToken"]).and_then(Value::as_bool);
    let of_account = account.get(&["automountServiceAccountToken"]).and_then(Value::as_bool);
    of_pod.or(of_account).unwrap_or(true)
}

fn mount_token(pod: &mut Object) {
    let has_mount = |container: &Value| {
        let mounts = container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
        mounts.into_iter().any(|mount| mount["mountPath"] == MOUNT_PATH)
    };
    if lasting_containers(pod).all(has_mount) {
        return;
    }
    let present = pod.list(&["spec", "volumes"]).iter().find_map(|volume| {
        let name = volume["name"].as_str()?;
        name.starts_with(VOLUME_PREFIX).then(|| name.to_owned())
    });
    let name = present.clone().unwrap_or_else(|| format!("{VOLUME_PREFIX}{}", clock::name_suffix(5)));
    for_each_container(pod, &["initContainers", "containers"], |container| {
        if !has_mount(container) {
            push(container, "volumeMounts", json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
        }
    });
    if present.is_none() {
        let mut volumes = pod.list(&["spec", "volumes"]).to_vec();
        volumes.push(token_volume(&name));
        pod.set(&["spec", "volumes"], volumes);
    }
}

fn push(object: &mut Value, list: &str, item: Value) {
    let Some(map) = object.as_object_mut() else { return };
    match map.entry(list).or_insert_with(|| json!([])) {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": GIVEN_SECONDS}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    const CLUSTER: &str = r#"
        serviceaccounts/dev default imagePullSecrets=[{"name":"pull"}]
        serviceaccounts/dev quiet automountServiceAccountToken=false
    "#;

    fn admitted(pod: &str) -> Result<Object, ApiError> {
        Case::create("pods", "dev").cluster(CLUSTER).mutate(mutate, object(pod))
    }

    #[test]
    fn a_plain_pod_gets_the_default_account_and_its_token() {
        let pod = admitted(r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}"#).unwrap();
        assert_eq!(pod.str(&["spec", "serviceAccountName"]), "default");
        assert_eq!(pod.str(&["spec", "serviceAccount"]), "default");
        assert_eq!(pod.list(&["spec", "imagePullSecrets"]), [json!({"name": "pull"})]);
        let volume = &pod.list(&["spec", "volumes"])[0];
        let name = volume["name"].as_str().unwrap();
        assert_eq!((name.len(), name.starts_with("kube-api-access-")), (21, true));
        assert_eq!(volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
        let mount = &pod.list(&["spec", "containers"])[0]["volumeMounts"][0];
        assert_eq!(mount, &json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
    }

    #[test]
    fn the_token_stays_away_where_it_is_not_wanted() {
        for pod in [
            r#"{"spec":{"automountServiceAccountToken":false,"containers":[{}]}}"#,
            r#"{"spec":{"serviceAccountName":"quiet","containers":[{}]}}"#,
            r#"{"spec":{"containers":[{"volumeMounts":[{"name":"x","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}]}}"#,
        ] {
            assert!(admitted(pod).unwrap().list(&["spec", "volumes"]).is_empty(), "{pod}");
        }
    }

    #[test]
    fn admitting_twice_mounts_once() {
        let once = admitted(r#"{"spec":{"containers":[{"name":"c"}]}}"#).unwrap();
        let twice = Case::create("pods", "dev").cluster(CLUSTER).mutate(mutate, once.clone()).unwrap();
        assert_eq!(once, twice);
    }

    #[test]
    fn an_unknown_account_is_refused() {
        let error = admitted(r#"{"metadata":{"name":"a"},"spec":{"serviceAccountName":"x"}}"#).unwrap_err();
        assert_eq!(
            error.message,
            "pods \"a\" is forbidden: error looking up service account dev/x: serviceaccount \"x\" not found"
        );
    }

    #[test]
    fn mirror_pods_act_as_nobody() {
        let mirror = |spec: Value| {
            let metadata = json!({"name": "a", "annotations": {MIRROR_POD: "x"}});
            let pod = Object::from_value(json!({"metadata": metadata, "spec": spec})).expect("a pod");
            let case = Case::create("pods", "dev").cluster(CLUSTER);
            let pod = case.mutate(mutate, pod).expect("it is left alone");
            case.validate(validate, Some(&pod)).map_or_else(|error| error.message, |()| String::new())
        };
        let projected = json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}]);
        let env = json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s"}}}]);
        for (spec, expected) in [
            (json!({"containers": [{"name": "c"}]}), ""),
            (json!({"serviceAccountName": "default"}), "a mirror pod may not reference service accounts"),
            (
                json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
                "a mirror pod may not reference secrets",
            ),
            (json!({"containers": [{"name": "c", "env": env}]}), "a mirror pod may not reference secrets"),
            (json!({ "volumes": projected }), "a mirror pod may not use ServiceAccountToken volume projections"),
        ] {
            assert_eq!(mirror(spec.clone()).trim_start_matches("pods \"a\" is forbidden: "), expected, "{spec}");
        }
    }

    #[test]
    fn containers_that_come_later_are_held_to_the_account_too() {
        let cluster =
            r#"serviceaccounts/dev strict metadata.annotations={"kubernetes.io/enforce-mountable-secrets":"true"}"#;
        let pod = object(
            r#"{"metadata":{"name":"a"},"spec":{"serviceAccountName":"strict","ephemeralContainers":[
            {"name":"e","envFrom":[{"secretRef":{"name":"s"}}]}]}}"#,
        );
        for (resource, expected) in [("pods/ephemeralcontainers", false), ("pods", true)] {
            let case = Case::update(resource, "dev", pod.clone()).cluster(cluster);
            assert_eq!(case.validate(validate, Some(&pod)).is_ok(), expected, "{resource}");
        }
    }
}

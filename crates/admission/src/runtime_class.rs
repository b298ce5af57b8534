//! A pod with a runtime class carries the class's overhead and runs where the class runs.

use auth::view::Resource;
use machinery::{ApiError, Object};

use crate::Admit;

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    if !admit.creates(Resource::PODS) {
        return Ok(());
    }
    let Some(class) = class(admit, pod)? else { return Ok(()) };
    if let Some(overhead) = class.get(&["overhead", "podFixed"]) {
        if pod.get(&["spec", "overhead"]).is_some_and(|given| given != overhead) {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(admit.forbidden(Some(pod), why));
        }
        pod.set(&["spec", "overhead"], overhead.clone());
    }
    schedule(admit, pod, &class)
}

pub fn validate(admit: &Admit<'_>, pod: Option<&Object>) -> Result<(), ApiError> {
    let Some(pod) = pod.filter(|_| admit.creates(Resource::PODS)) else { return Ok(()) };
    let wanted = class(admit, pod)?.and_then(|class| class.get(&["overhead", "podFixed"]).cloned());
    if wanted.is_none() && pod.map(&["spec", "overhead"]).is_some_and(|overhead| !overhead.is_empty()) {
        let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        return Err(admit.forbidden(Some(pod), why));
    }
    Ok(())
}

fn class(admit: &Admit<'_>, pod: &Object) -> Result<Option<Object>, ApiError> {
    let name = pod.str(&["spec", "runtimeClassName"]);
    if name.is_empty() {
        return Ok(None);
    }
    let class = admit.view.get(Resource::RUNTIME_CLASSES, "", name);
    class.map(Some).ok_or_else(|| admit.forbidden(Some(pod), format!("pod rejected: RuntimeClass {name:?} not found")))
}

fn schedule(admit: &Admit<'_>, pod: &mut Object, class: &Object) -> Result<(), ApiError> {
    for (key, value) in class.strings(&["scheduling", "nodeSelector"]) {
        let given = pod.str(&["spec", "nodeSelector", &key]).to_owned();
        if !given.is_empty() && given != value {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {given}"
            );
            return Err(admit.forbidden(Some(pod), why));
        }
        pod.set(&["spec", "nodeSelector", &key], value);
    }
    let mut tolerations = pod.list(&["spec", "tolerations"]).to_vec();
    for toleration in class.list(&["scheduling", "tolerations"]) {
        if !tolerations.contains(toleration) {
            tolerations.push(toleration.clone());
        }
    }
    if !tolerations.is_empty() {
        pod.set(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn overhead_and_place_come_from_the_class() {
        let case = Case::create("pods", "dev").cluster(
            r#"runtimeclasses vm overhead={"podFixed":{"memory":"64Mi"}} scheduling={"nodeSelector":{"vm":"yes"}}"#,
        );
        let pod = |json: &str| case.mutate(mutate, object(json));
        let admitted = pod(r#"{"spec":{"runtimeClassName":"vm"}}"#).unwrap();
        assert_eq!(admitted.get(&["spec", "overhead"]), Some(&json!({"memory": "64Mi"})));
        assert_eq!(admitted.str(&["spec", "nodeSelector", "vm"]), "yes");
        assert!(pod(r#"{"spec":{"runtimeClassName":"vm","nodeSelector":{"vm":"no"}}}"#).is_err());
        let error = pod(r#"{"metadata":{"name":"a"},"spec":{"runtimeClassName":"x"}}"#).unwrap_err();
        assert_eq!(error.message, "pods \"a\" is forbidden: pod rejected: RuntimeClass \"x\" not found");
        let bare = object(r#"{"spec":{"overhead":{"cpu":"1"}}}"#);
        assert!(case.validate(validate, Some(&bare)).is_err());
    }
}

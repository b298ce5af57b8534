//! A pod's priority comes from its class, never from the pod.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::{Value, json};

use crate::Admit;

/// The classes that every cluster has, should their objects be missing.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

const DEFAULT_PREEMPTION: &str = "PreemptLowerPriority";

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    if !admit.is(Resource::PODS, "") {
        return Ok(());
    }
    match (admit.request.operation, admit.request.old) {
        (Operation::Create, _) => compute(admit, pod),
        (Operation::Update, Some(old)) => {
            keep(pod, old);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Clients that do not know the fields leave them out of updates.
fn keep(pod: &mut Object, old: &Object) {
    for field in ["priority", "preemptionPolicy"] {
        if let Some(value) = old.get(&["spec", field]) {
            pod.set_default(&["spec", field], value.clone());
        }
    }
}

fn compute(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    let name = pod.str(&["spec", "priorityClassName"]).to_owned();
    let class = if name.is_empty() {
        default_class(admit)
    } else {
        Some(
            named(admit, &name)
                .ok_or_else(|| admit.forbidden(Some(pod), format!("no PriorityClass with name {name} was found")))?,
        )
    };
    let (value, policy) = match &class {
        Some(class) => (class.int(&["value"]).unwrap_or(0), class.str(&["preemptionPolicy"])),
        None => (0, ""),
    };
    let policy = if policy.is_empty() { DEFAULT_PREEMPTION } else { policy };
    check_given(admit, pod, value, policy)?;
    if let Some(class) = &class {
        pod.set(&["spec", "priorityClassName"], class.name());
    }
    pod.set(&["spec", "priority"], value);
    pod.set(&["spec", "preemptionPolicy"], policy);
    Ok(())
}

fn named(admit: &Admit<'_>, name: &str) -> Option<Object> {
    let stored = admit.view.get(Resource::PRIORITY_CLASSES, "", name);
    stored.or_else(|| {
        let (name, value) = SYSTEM_CLASSES.into_iter().find(|(of, _)| *of == name)?;
        Object::from_value(json!({"metadata": {"name": name}, "value": value}))
    })
}

/// Of several defaults, which a race may leave, the one with the lowest value counts.
fn default_class(admit: &Admit<'_>) -> Option<Object> {
    let classes = admit.view.list(Resource::PRIORITY_CLASSES, "").into_iter();
    classes.filter(|class| class.bool(&["globalDefault"])).min_by_key(|class| class.int(&["value"]))
}

fn check_given(admit: &Admit<'_>, pod: &Object, value: i64, policy: &str) -> Result<(), ApiError> {
    if let Some(given) = pod.int(&["spec", "priority"]).filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(admit.forbidden(Some(pod), why));
    }
    let given = pod.str(&["spec", "preemptionPolicy"]);
    if !given.is_empty() && given != policy {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(admit.forbidden(Some(pod), why));
    }
    Ok(())
}

pub fn validate(admit: &Admit<'_>, class: Option<&Object>) -> Result<(), ApiError> {
    let Some(class) = class.filter(|_| admit.is(Resource::PRIORITY_CLASSES, "")) else { return Ok(()) };
    let is_default = |of: &Object| of.get(&["globalDefault"]).and_then(Value::as_bool).unwrap_or(false);
    let others = admit.view.list(Resource::PRIORITY_CLASSES, "");
    let other = others.iter().find(|of| is_default(of) && of.name() != class.name());
    match other {
        Some(other) if is_default(class) => {
            let name = other.name();
            let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
            Err(admit.forbidden(Some(class), why))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    fn admitted(cluster: &str, spec: &str) -> Result<(Option<i64>, String, String), String> {
        let pod = object(&format!(r#"{{"metadata":{{"name":"a"}},"spec":{spec}}}"#));
        let pod = Case::create("pods", "dev").cluster(cluster).mutate(mutate, pod).map_err(|error| error.message)?;
        let text = |field: &str| pod.str(&["spec", field]).to_owned();
        Ok((pod.int(&["spec", "priority"]), text("priorityClassName"), text("preemptionPolicy")))
    }

    #[test]
    fn the_class_decides() {
        let cluster = r#"
            priorityclasses high value=1000 preemptionPolicy="Never"
            priorityclasses usual value=10 globalDefault=true
        "#;
        let found = |priority, class: &str, policy: &str| Ok((Some(priority), class.to_owned(), policy.to_owned()));
        assert_eq!(admitted("", "{}"), found(0, "", "PreemptLowerPriority"));
        assert_eq!(admitted(cluster, "{}"), found(10, "usual", "PreemptLowerPriority"));
        assert_eq!(admitted(cluster, r#"{"priorityClassName":"high"}"#), found(1000, "high", "Never"));
        let critical = found(2_000_001_000, "system-node-critical", "PreemptLowerPriority");
        assert_eq!(admitted("", r#"{"priorityClassName":"system-node-critical"}"#), critical);
        assert_eq!(
            admitted("", r#"{"priorityClassName":"x"}"#),
            Err("pods \"a\" is forbidden: no PriorityClass with name x was found".to_owned())
        );
        assert_eq!(
            admitted("", r#"{"priority":7}"#),
            Err("pods \"a\" is forbidden: the integer value of priority (7) must not be provided in pod spec; \
                 priority admission controller computed 0 from the given PriorityClass name"
                .to_owned())
        );
    }

    #[test]
    fn there_is_one_default() {
        let case =
            Case::create("priorityclasses.scheduling.k8s.io", "").cluster("priorityclasses a globalDefault=true");
        let class = |json: &str| case.validate(validate, Some(&object(json)));
        assert!(class(r#"{"metadata":{"name":"b"}}"#).is_ok());
        assert!(class(r#"{"metadata":{"name":"a"},"globalDefault":true}"#).is_ok());
        assert!(class(r#"{"metadata":{"name":"b"},"globalDefault":true}"#).is_err());
    }
}

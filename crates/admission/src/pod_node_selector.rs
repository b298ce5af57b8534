//! Where it is switched on, pods go to the nodes that their namespace is meant for.
//!
//! upstream: plugin/pkg/admission/podnodeselector

use std::collections::BTreeMap;

use auth::view::Resource;
use machinery::validation::{label_value, qualified_name};
use machinery::{ApiError, Object, Reason};
use serde_json::Value;

use crate::Admit;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const DEFAULT: &str = "clusterDefaultNodeSelector";
const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector";
const NOT_LISTED: &str = "pod node label selector labels conflict with its namespace whitelist";

type Labels = BTreeMap<String, String>;

/// `a=b,c=d`, by namespace: what pods there may select at most; and what the others' select at least.
#[derive(Default)]
pub struct Selectors(BTreeMap<String, Labels>);

impl Selectors {
    /// Reads `podNodeSelectorPluginConfig`. The error says which selector can not be read.
    pub fn parse(config: &Value) -> Result<Self, String> {
        let selectors = config["podNodeSelectorPluginConfig"].as_object().into_iter().flatten();
        let read = |(namespace, selector): (&String, &Value)| {
            let labels = labels(selector.as_str().unwrap_or_default());
            Ok((namespace.clone(), labels.map_err(|why| format!("podNodeSelectorPluginConfig.{namespace}: {why}"))?))
        };
        selectors.map(read).collect::<Result<_, String>>().map(Self)
    }
}

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    if !admit.creates(Resource::PODS) {
        return Ok(());
    }
    let wanted = of_namespace(admit)?;
    hold_to(admit, &wanted, pod)?;
    let own = pod.map(&["spec", "nodeSelector"]).cloned().unwrap_or_default();
    let mut all: serde_json::Map<String, Value> = wanted.into_iter().map(|(key, value)| (key, value.into())).collect();
    all.extend(own);
    if !all.is_empty() {
        pod.set(&["spec", "nodeSelector"], all);
    }
    Ok(())
}

pub fn validate(admit: &Admit<'_>, pod: Option<&Object>) -> Result<(), ApiError> {
    let Some(pod) = pod.filter(|_| admit.creates(Resource::PODS)) else { return Ok(()) };
    hold_to(admit, &of_namespace(admit)?, pod)?;
    let Some(listed) = admit.options.node_selectors.0.get(admit.request.namespace).filter(|listed| !listed.is_empty())
    else {
        return Ok(());
    };
    let own = pod.map(&["spec", "nodeSelector"]).into_iter().flatten();
    let is_listed = |(key, value): (&String, &Value)| listed.get(key).is_some_and(|allowed| value == allowed);
    if own.into_iter().all(is_listed) { Ok(()) } else { Err(admit.forbidden(Some(pod), NOT_LISTED)) }
}

fn hold_to(admit: &Admit<'_>, wanted: &Labels, pod: &Object) -> Result<(), ApiError> {
    let own = pod.map(&["spec", "nodeSelector"]);
    let conflicts = |(key, value): (&String, &String)| own.and_then(|own| own.get(key)).is_some_and(|own| own != value);
    if wanted.iter().any(conflicts) { Err(admit.forbidden(Some(pod), CONFLICT)) } else { Ok(()) }
}

fn of_namespace(admit: &Admit<'_>) -> Result<Labels, ApiError> {
    let namespace = admit.namespace()?;
    match namespace.annotation(ANNOTATION) {
        Some(selector) => labels(selector).map_err(|why| ApiError::new(Reason::Unknown, why)),
        None => Ok(admit.options.node_selectors.0.get(DEFAULT).cloned().unwrap_or_default()),
    }
}

/// upstream: apimachinery/pkg/labels, ConvertSelectorToLabelsMap
fn labels(selector: &str) -> Result<Labels, String> {
    let pair = |text: &str| {
        let parts: Vec<&str> = text.split('=').collect();
        let [key, value] = parts[..] else { return Err(format!("invalid selector: [{}]", parts.join(" "))) };
        let (key, value) = (key.trim(), value.trim());
        match qualified_name(key).into_iter().chain(label_value(value)).next() {
            Some(why) => Err(format!("invalid selector: {text}: {why}")),
            None => Ok((key.to_owned(), value.to_owned())),
        }
    };
    if selector.is_empty() { Ok(Labels::new()) } else { selector.split(',').map(pair).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn a_pod_selects_what_its_namespace_does_and_no_more_than_is_listed() {
        let config =
            json!({"podNodeSelectorPluginConfig": {DEFAULT: "env=dev", "listed": "env=dev,disk=ssd", "open": ""}});
        let namespaces = format!(
            r#"
            namespaces listed
            namespaces open
            namespaces tests metadata.annotations={{"{ANNOTATION}":"env=test,zone=a"}}
            namespaces broken metadata.annotations={{"{ANNOTATION}":"env"}}
        "#
        );
        for (namespace, own, expected) in [
            ("open", json!({}), Ok(json!({"env": "dev"}))),
            ("open", json!({"any": "x"}), Ok(json!({"env": "dev", "any": "x"}))),
            ("open", json!({"env": "prod"}), Err(CONFLICT)),
            ("listed", json!({"disk": "ssd"}), Ok(json!({"env": "dev", "disk": "ssd"}))),
            ("listed", json!({"disk": "hdd"}), Err(NOT_LISTED)),
            ("listed", json!({"any": "x"}), Err(NOT_LISTED)),
            ("tests", json!({"zone": "a"}), Ok(json!({"env": "test", "zone": "a"}))),
            ("broken", json!({}), Err("invalid selector: [env]")),
            ("none", json!({}), Err("namespaces \"none\" not found")),
        ] {
            let mut case = Case::create("pods", namespace).cluster(&namespaces);
            case.options.node_selectors = Selectors::parse(&config).unwrap();
            let pod = object(&json!({"metadata": {"name": "a"}, "spec": {"nodeSelector": own}}).to_string());
            let made = case.mutate(mutate, pod).and_then(|pod| case.validate(validate, Some(&pod)).map(|()| pod));
            let made = made.map(|pod| pod.get(&["spec", "nodeSelector"]).unwrap().clone());
            let made = made.map_err(|error| error.message.replace("pods \"a\" is forbidden: ", ""));
            assert_eq!(made, expected.map_err(str::to_owned), "{namespace} {own}");
        }
        let broken = Selectors::parse(&json!({"podNodeSelectorPluginConfig": {"a": "b=c=d"}})).err();
        assert_eq!(broken.as_deref(), Some("podNodeSelectorPluginConfig.a: invalid selector: [b c d]"));
    }
}

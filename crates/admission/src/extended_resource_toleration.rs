//! Where it is switched on, pods that ask for extended resources tolerate nodes that are kept for these.

use std::collections::BTreeSet;

use auth::view::Resource;
use kinds::core::is_extended;
use kinds::quota::lasting_containers;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::{Value, json};

use crate::Admit;

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    let writes = matches!(admit.request.operation, Operation::Create | Operation::Update);
    if !writes || !admit.is(Resource::PODS, "") {
        return Ok(());
    }
    let requests = lasting_containers(pod).filter_map(|container| container["resources"]["requests"].as_object());
    let names: BTreeSet<&String> =
        requests.flat_map(|requests| requests.keys()).filter(|name| is_extended(name)).collect();
    let wanted = names.into_iter().map(|name| json!({"key": name, "operator": "Exists", "effect": "NoSchedule"}));
    let own = pod.list(&["spec", "tolerations"]);
    let missing: Vec<Value> = wanted.filter(|toleration| !own.contains(toleration)).collect();
    if !missing.is_empty() {
        let all = [own, missing.as_slice()].concat();
        pod.set(&["spec", "tolerations"], all);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn each_extended_resource_is_tolerated_once() {
        let requests = |names: &[&str]| {
            let amounts: serde_json::Map<String, Value> =
                names.iter().map(|name| ((*name).to_owned(), json!("1"))).collect();
            json!({"resources": {"requests": amounts}})
        };
        let pod = json!({"spec": {
            "initContainers": [requests(&["b.io/x"])],
            "containers": [requests(&["cpu", "a.io/y", "b.io/x", "hugepages-2Mi"]), requests(&["kubernetes.io/z"])],
        }});
        let case = Case::create("pods", "dev");
        let made = case.mutate(mutate, Object::from_value(pod).unwrap()).unwrap();
        let of = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoSchedule"});
        assert_eq!(made.list(&["spec", "tolerations"]), [of("a.io/y"), of("b.io/x")]);
        assert_eq!(case.mutate(mutate, made.clone()).unwrap(), made);
    }
}

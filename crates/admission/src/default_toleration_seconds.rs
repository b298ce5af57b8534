//! Pods stay five minutes on a node that is not ready or not reachable, unless they say otherwise.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::{Value, json};

use crate::Admit;

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    let writes = matches!(admit.request.operation, Operation::Create | Operation::Update);
    if !writes || !admit.is(Resource::PODS, "") {
        return Ok(());
    }
    let mut tolerations = pod.list(&["spec", "tolerations"]).to_vec();
    let missing: Vec<Value> = TAINTS.iter().filter(|taint| !tolerated(&tolerations, taint)).map(toleration).collect();
    if !missing.is_empty() {
        tolerations.extend(missing);
        pod.set(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}

fn tolerated(tolerations: &[Value], taint: &str) -> bool {
    let text = |toleration: &Value, field: &str| toleration[field].as_str().unwrap_or_default().to_owned();
    tolerations.iter().any(|toleration| {
        let key = text(toleration, "key");
        let effect = text(toleration, "effect");
        (key.is_empty() || key == taint) && (effect.is_empty() || effect == "NoExecute")
    })
}

fn toleration(taint: &&str) -> Value {
    json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    fn keys(tolerations: &str) -> Vec<String> {
        let pod = object(&format!(r#"{{"spec":{{"tolerations":{tolerations}}}}}"#));
        let pod = Case::create("pods", "dev").mutate(mutate, pod).unwrap();
        let tolerations = pod.list(&["spec", "tolerations"]).iter();
        tolerations.map(|of| format!("{}={}", of["key"].as_str().unwrap_or("*"), of["tolerationSeconds"])).collect()
    }

    #[test]
    fn what_a_pod_tolerates_itself_is_left_alone() {
        let (not_ready, unreachable) = ("node.kubernetes.io/not-ready=300", "node.kubernetes.io/unreachable=300");
        assert_eq!(keys("[]"), [not_ready, unreachable]);
        assert_eq!(keys(r#"[{"operator":"Exists"}]"#), ["*=null"]);
        assert_eq!(
            keys(r#"[{"key":"node.kubernetes.io/not-ready","effect":"NoExecute","tolerationSeconds":5}]"#),
            ["node.kubernetes.io/not-ready=5", unreachable]
        );
        assert_eq!(
            keys(r#"[{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule","tolerationSeconds":5}]"#),
            ["node.kubernetes.io/not-ready=5", not_ready, unreachable]
        );
    }
}

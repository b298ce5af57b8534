//! Where it is switched on, pods get the tolerations of their namespace, and no others than it allows.
//!
//! upstream: plugin/pkg/admission/podtolerationrestriction, pkg/util/tolerations

use auth::view::Resource;
use kinds::core::pod::qos_class;
use machinery::{ApiError, Object, Reason};
use registry::Operation;
use serde_json::{Value, json};

use crate::Admit;
use crate::configuration::hold_to;

const KNOWN: [(&str, &str); 1] = [("podtolerationrestriction.admission.k8s.io/v1alpha1", "Configuration")];
const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";
const CONFLICT: &str =
    "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist";

/// For namespaces that say nothing themselves.
#[derive(Default)]
pub struct Tolerations {
    defaults: Vec<Value>,
    allowed: Vec<Value>,
}

impl Tolerations {
    pub fn parse(config: &Value) -> Result<Self, String> {
        hold_to(config, &KNOWN)?;
        let list = |field: &str| config[field].as_array().cloned().unwrap_or_default();
        Ok(Self { defaults: list("default"), allowed: list("whitelist") })
    }
}

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    let creates = admit.creates(Resource::PODS);
    if !creates && !updates(admit) {
        return Ok(());
    }
    let mut tolerations = pod.list(&["spec", "tolerations"]).to_vec();
    if creates {
        let defaults = of_namespace(admit, DEFAULTS)?.unwrap_or_else(|| admit.options.tolerations.defaults.clone());
        tolerations = merged(defaults, tolerations);
    }
    if qos_class(pod) != "BestEffort" {
        let pressure =
            json!({"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"});
        tolerations = merged(tolerations, vec![pressure]);
    }
    if !tolerations.is_empty() {
        pod.set(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}

pub fn validate(admit: &Admit<'_>, pod: Option<&Object>) -> Result<(), ApiError> {
    let concerned = admit.creates(Resource::PODS) || updates(admit);
    let Some(pod) = pod.filter(|_| concerned) else { return Ok(()) };
    let of_namespace = of_namespace(admit, ALLOWED)?;
    let allowed = of_namespace.as_ref().unwrap_or(&admit.options.tolerations.allowed);
    let is_allowed = |own: &Value| allowed.iter().any(|of| covers(of, own));
    if allowed.is_empty() || pod.list(&["spec", "tolerations"]).iter().all(is_allowed) {
        return Ok(());
    }
    Err(ApiError::new(Reason::Unknown, CONFLICT))
}

fn updates(admit: &Admit<'_>) -> bool {
    admit.request.operation == Operation::Update && admit.is(Resource::PODS, "")
}

/// None where the namespace says nothing.
fn of_namespace(admit: &Admit<'_>, annotation: &str) -> Result<Option<Vec<Value>>, ApiError> {
    let namespace = admit.namespace()?;
    let Some(text) = namespace.annotation(annotation).filter(|text| !text.is_empty()) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| ApiError::new(Reason::Unknown, error.to_string()))
}

/// Without those that others cover; of equal ones the first stays.
fn merged(first: Vec<Value>, second: Vec<Value>) -> Vec<Value> {
    let all = [first, second].concat();
    let mut kept: Vec<Value> = Vec::new();
    for (at, own) in all.iter().enumerate() {
        let later = all[at + 1..].iter().any(|other| other != own && covers(other, own));
        if !later && !kept.iter().any(|other| covers(other, own)) {
            kept.push(own.clone());
        }
    }
    kept
}

/// Whether `wide` tolerates all that `own` does.
fn covers(wide: &Value, own: &Value) -> bool {
    let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    let exists = text(wide, "operator") == "Exists";
    let same = |field: &str| text(wide, field) == text(own, field);
    let is_equal = |of: &Value| matches!(text(of, "operator").as_str(), "" | "Equal");
    let lasts = match (wide["tolerationSeconds"].as_i64(), own["tolerationSeconds"].as_i64()) {
        (Some(most), own) if text(wide, "effect") == "NoExecute" => own.is_some_and(|own| own <= most),
        _ => true,
    };
    wide == own
        || (same("key") || (exists && text(wide, "key").is_empty()))
            && (same("effect") || text(wide, "effect").is_empty())
            && lasts
            && (exists || (is_equal(wide) && is_equal(own) && same("value")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    fn exists(key: &str) -> Value {
        json!({"key": key, "operator": "Exists"})
    }

    #[test]
    fn a_toleration_covers_narrower_ones() {
        let equal = |value: &str| json!({"key": "a", "operator": "Equal", "value": value});
        let for_seconds = |seconds: i64| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        for (wide, own, expected) in [
            (exists("a"), equal("x"), true),
            (equal("x"), exists("a"), false),
            (equal("x"), json!({"key": "a", "value": "x", "effect": "NoSchedule"}), true),
            (equal("x"), equal("y"), false),
            (json!({"operator": "Exists"}), equal("x"), true),
            (exists("b"), equal("x"), false),
            (for_seconds(60), for_seconds(30), true),
            (for_seconds(60), for_seconds(90), false),
            (for_seconds(60), json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}), false),
        ] {
            assert_eq!(covers(&wide, &own), expected, "{wide} {own}");
        }
        assert_eq!(merged(vec![exists("a"), equal("x")], vec![exists("b"), exists("a")]), [exists("a"), exists("b")]);
    }

    #[test]
    fn a_pod_has_what_its_namespace_gives_and_allows() {
        let namespaces = format!(
            r#"
            namespaces plain
            namespaces own metadata.annotations={{"{DEFAULTS}":"[{{\"key\":\"own\",\"operator\":\"Exists\"}}]","{ALLOWED}":"[{{\"key\":\"own\",\"operator\":\"Exists\"}}]"}}
            namespaces open metadata.annotations={{"{DEFAULTS}":"[]","{ALLOWED}":"[]"}}
        "#
        );
        let (version, kind) = KNOWN[0];
        let config = json!({
            "apiVersion": version, "kind": kind, "default": [exists("cluster")],
            "whitelist": [exists("cluster"), exists("a")],
        });
        for (namespace, own, expected) in [
            ("plain", json!([]), Ok(json!([exists("cluster")]))),
            ("plain", json!([exists("a")]), Ok(json!([exists("cluster"), exists("a")]))),
            ("plain", json!([exists("b")]), Err(CONFLICT)),
            ("own", json!([]), Ok(json!([exists("own")]))),
            ("own", json!([exists("a")]), Err(CONFLICT)),
            ("open", json!([exists("b")]), Ok(json!([exists("b")]))),
        ] {
            let mut case = Case::create("pods", namespace).cluster(&namespaces);
            case.options.tolerations = Tolerations::parse(&config).unwrap();
            let pod = object(&json!({"metadata": {"name": "a"}, "spec": {"tolerations": own}}).to_string());
            let made = case.mutate(mutate, pod).and_then(|pod| case.validate(validate, Some(&pod)).map(|()| pod));
            let made = made.map(|pod| json!(pod.list(&["spec", "tolerations"]))).map_err(|error| error.message);
            assert_eq!(made, expected.map_err(str::to_owned), "{namespace} {own}");
        }
        let pod = object(r#"{"spec":{"containers":[{"resources":{"requests":{"cpu":"1"}}}]}}"#);
        let made = Case::update("pods", "plain", pod.clone()).cluster(&namespaces).mutate(mutate, pod).unwrap();
        assert_eq!(made.list(&["spec", "tolerations"])[0]["key"], "node.kubernetes.io/memory-pressure");
    }
}

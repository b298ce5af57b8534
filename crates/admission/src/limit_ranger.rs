//! LimitRanges: defaults for containers, and bounds for containers, pods and claims.

use auth::authz::aggregate;
use auth::view::Resource;
use kinds::quota::{Amounts, amounts, pod_total};
use machinery::quantity::Quantity;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::{Value, json};

use crate::Admit;
use crate::pods;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    if !admit.creates(Resource::PODS) {
        return Ok(());
    }
    for range in admit.view.list(Resource::LIMIT_RANGES, admit.request.namespace) {
        set_defaults(&range, pod);
    }
    Ok(())
}

pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let operation = admit.request.operation;
    let Some(object) = object else { return Ok(()) };
    if admit.request.old.is_some_and(Object::is_deleting) {
        return Ok(());
    }
    // Resources of pods change through `resize` alone.
    let pod = admit.creates(Resource::PODS) || (operation == Operation::Update && admit.is(Resource::PODS, "resize"));
    let claim = admit.is(Resource::PERSISTENT_VOLUME_CLAIMS, "") && operation != Operation::Delete;
    if !pod && !claim {
        return Ok(());
    }
    for range in admit.view.list(Resource::LIMIT_RANGES, admit.request.namespace) {
        let problems = if pod { pod_problems(&range, object) } else { claim_problems(&range, object) };
        if let Some(why) = aggregate(&problems) {
            return Err(admit.forbidden(Some(object), why));
        }
    }
    Ok(())
}

fn limits<'a>(range: &'a Object, of_type: &'a str) -> impl Iterator<Item = &'a Value> {
    range.list(&["spec", "limits"]).iter().filter(move |limit| limit["type"] == of_type)
}

fn set_defaults(range: &Object, pod: &mut Object) {
    let mut defaults = json!({"requests": {}, "limits": {}});
    for limit in limits(range, "Container") {
        merge(&mut defaults["requests"], limit.get("defaultRequest"));
        merge(&mut defaults["limits"], limit.get("default"));
    }
    let mut done: Vec<String> = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        pods::for_each_container(pod, &[list], |container| {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            for (field, word) in [("requests", "request"), ("limits", "limit")] {
                let set = fill(container, field, &defaults[field]);
                if !set.is_empty() {
                    done.push(format!("{} {word} for {what} {name}", set.join(", ")));
                }
            }
        });
    }
    if !done.is_empty() {
        pod.set(&["metadata", "annotations", ANNOTATION], format!("LimitRanger plugin set: {}", done.join("; ")));
    }
}

fn merge(into: &mut Value, from: Option<&Value>) {
    for (name, amount) in from.and_then(Value::as_object).into_iter().flatten() {
        into[name] = amount.clone();
    }
}

/// The names of what was filled in, sorted.
fn fill(container: &mut Value, field: &str, defaults: &Value) -> Vec<String> {
    let mut set = Vec::new();
    for (name, amount) in defaults.as_object().into_iter().flatten() {
        if container["resources"][field].get(name).is_none() {
            container["resources"][field][name] = amount.clone();
            set.push(name.clone());
        }
    }
    set
}

fn pod_problems(range: &Object, pod: &Object) -> Vec<String> {
    let mut problems = Vec::new();
    for limit in range.list(&["spec", "limits"]) {
        match limit["type"].as_str().unwrap_or_default() {
            "Container" => {
                for (_, container) in pods::container_lists(pod, &["containers", "initContainers"]) {
                    let of =
                        |field: &str| amounts(container.get("resources").and_then(|resources| resources.get(field)));
                    problems.extend(check(limit, "Container", &of("requests"), &of("limits")));
                }
            }
            "Pod" => problems.extend(check(limit, "Pod", &pod_total(pod, "requests"), &pod_total(pod, "limits"))),
            _ => {}
        }
    }
    problems
}

fn check(limit: &Value, of_type: &str, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, least) in amounts(limit.get("min")) {
        problems.extend(below(of_type, &name, least, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in amounts(limit.get("max")) {
        problems.extend(above(of_type, &name, most, requests.get(&name), limits.get(&name)));
    }
    for (name, ratio) in amounts(limit.get("maxLimitRequestRatio")) {
        problems.extend(beyond_ratio(of_type, &name, ratio, requests.get(&name), limits.get(&name)));
    }
    problems
}

fn below(
    of_type: &str,
    name: &str,
    least: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("minimum {name} usage per {of_type} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{head}.  No request is specified")),
        (Some(request), _) if *request < least => Some(format!("{head}, but request is {request}")),
        (_, Some(limit)) if *limit < least => Some(format!("{head}, but limit is {limit}")),
        _ => None,
    }
}

fn above(
    of_type: &str,
    name: &str,
    most: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("maximum {name} usage per {of_type} is {most}");
    match (request, limit) {
        (_, None) => Some(format!("{head}.  No limit is specified")),
        (_, Some(limit)) if *limit > most => Some(format!("{head}, but limit is {limit}")),
        (Some(request), _) if *request > most => Some(format!("{head}, but request is {request}")),
        _ => None,
    }
}

fn beyond_ratio(
    of_type: &str,
    name: &str,
    ratio: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("{name} max limit to request ratio per {of_type} is {ratio}");
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return Some(format!("{head}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return Some(format!("{head}, but no limit is specified or limit is 0"));
    };
    let given = limit.milli_value() as f64 / request.milli_value() as f64;
    (given * 1000.0 > ratio.milli_value() as f64).then(|| format!("{head}, but provided ratio is {given:.6}"))
}

fn claim_problems(range: &Object, claim: &Object) -> Vec<String> {
    const TYPE: &str = "PersistentVolumeClaim";
    let requests = amounts(claim.get(&["spec", "resources", "requests"]));
    let mut problems = Vec::new();
    for limit in limits(range, TYPE) {
        for (name, least) in amounts(limit.get("min")) {
            problems.extend(below(TYPE, &name, least, requests.get(&name), None));
        }
        for (name, most) in amounts(limit.get("max")) {
            let head = format!("maximum {name} usage per {TYPE} is {most}");
            match requests.get(&name) {
                None => problems.push(format!("{head}.  No request is specified")),
                Some(request) if *request > most => problems.push(format!("{head}, but request is {request}")),
                Some(_) => {}
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    fn range(limit: &str) -> String {
        format!(r#"limitranges/dev limits spec={{"limits":[{limit}]}}"#)
    }

    fn pod(resources: &str) -> Object {
        object(&format!(
            r#"{{"metadata":{{"name":"a"}},"spec":{{"containers":[{{"name":"c","resources":{resources}}}]}}}}"#
        ))
    }

    #[test]
    fn defaults_fill_what_containers_leave_open() {
        let range = range(
            r#"{"type":"Container","default":{"cpu":"1","memory":"1Gi"},"defaultRequest":{"cpu":"500m","memory":"512Mi"}}"#,
        );
        let case = Case::create("pods", "dev").cluster(&range);
        let admitted = case.mutate(mutate, pod(r#"{"requests":{"cpu":"100m"}}"#)).unwrap();
        assert_eq!(
            admitted.list(&["spec", "containers"])[0]["resources"],
            json!({"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}})
        );
        assert_eq!(
            admitted.annotation(ANNOTATION),
            Some("LimitRanger plugin set: memory request for container c; cpu, memory limit for container c")
        );
    }

    /// What is said of a pod, after its name.
    fn said(limit: &str, pod: Object) -> String {
        let result = Case::create("pods", "dev").cluster(&range(limit)).validate(validate, Some(&pod));
        let message = result.map_or_else(|error| error.message, |()| "ok".to_owned());
        message.trim_start_matches("pods \"a\" is forbidden: ").to_owned()
    }

    #[test]
    fn bounds_hold() {
        let min = r#"{"type":"Container","min":{"cpu":"100m"}}"#;
        let max = r#"{"type":"Container","max":{"cpu":"1"}}"#;
        let ratio = r#"{"type":"Container","maxLimitRequestRatio":{"cpu":"2"}}"#;
        for (limit, resources, expected) in [
            (min, r#"{"requests":{"cpu":"100m"}}"#, "ok"),
            (min, r#"{"requests":{"cpu":"50m"}}"#, "minimum cpu usage per Container is 100m, but request is 50m"),
            (min, "{}", "minimum cpu usage per Container is 100m.  No request is specified"),
            (
                min,
                r#"{"requests":{"cpu":"100m"},"limits":{"cpu":"75m"}}"#,
                "minimum cpu usage per Container is 100m, but limit is 75m",
            ),
            (max, "{}", "maximum cpu usage per Container is 1.  No limit is specified"),
            (max, r#"{"limits":{"cpu":"2"}}"#, "maximum cpu usage per Container is 1, but limit is 2"),
            (
                max,
                r#"{"requests":{"cpu":"2"},"limits":{"cpu":"1"}}"#,
                "maximum cpu usage per Container is 1, but request is 2",
            ),
            (ratio, r#"{"limits":{"cpu":"2"},"requests":{"cpu":"1"}}"#, "ok"),
            (
                ratio,
                r#"{"limits":{"cpu":"3"},"requests":{"cpu":"1"}}"#,
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
            (
                ratio,
                r#"{"limits":{"cpu":"3"},"requests":{"cpu":"0"}}"#,
                "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
            ),
            (
                ratio,
                r#"{"requests":{"cpu":"1"}}"#,
                "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
            ),
            (
                r#"{"type":"Pod","max":{"memory":"1Gi"}}"#,
                r#"{"limits":{"memory":"2Gi"}}"#,
                "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
            ),
            (
                r#"{"type":"Pod","min":{"cpu":"1"}},{"type":"Container","min":{"cpu":"1"},"max":{"cpu":"2"}}"#,
                "{}",
                "[minimum cpu usage per Pod is 1.  No request is specified, \
                 minimum cpu usage per Container is 1.  No request is specified, \
                 maximum cpu usage per Container is 2.  No limit is specified]",
            ),
        ] {
            assert_eq!(said(limit, pod(resources)), expected, "{limit} {resources}");
        }
    }

    #[test]
    fn containers_are_held_one_by_one_and_pods_by_what_they_need_at_once() {
        let container = |name: &str, cpu: &str| json!({"name": name, "resources": {"limits": {"cpu": cpu}}});
        let of = |init: Value, main: Value, whole: Value| {
            let spec =
                json!({"initContainers": init, "containers": main, "resources": whole, "overhead": {"cpu": "9"}});
            Object::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).expect("a pod")
        };
        let (containers, pods) = (r#"{"type":"Container","max":{"cpu":"1"}}"#, r#"{"type":"Pod","max":{"cpu":"1"}}"#);
        let (one, two) = (json!([container("c", "600m")]), json!([container("c", "600m"), container("d", "600m")]));
        for (limit, init, main, whole, expected) in [
            (containers, json!([]), two.clone(), json!({}), "ok"),
            (pods, json!([]), one.clone(), json!({}), "ok"),
            (pods, json!([]), two.clone(), json!({}), "maximum cpu usage per Pod is 1, but limit is 1200m"),
            (pods, one.clone(), one.clone(), json!({}), "ok"),
            (
                pods,
                json!([container("i", "2")]),
                one.clone(),
                json!({}),
                "maximum cpu usage per Pod is 1, but limit is 2",
            ),
            (pods, json!([]), two, json!({"limits": {"cpu": "1"}}), "ok"),
            (
                containers,
                json!([container("i", "3")]),
                json!([container("c", "2"), container("d", "2")]),
                json!({}),
                "[maximum cpu usage per Container is 1, but limit is 2, \
                 maximum cpu usage per Container is 1, but limit is 3]",
            ),
        ] {
            assert_eq!(said(limit, of(init, main.clone(), whole)), expected, "{limit} {main}");
        }
    }

    #[test]
    fn only_what_can_change_amounts_is_held() {
        let max = range(r#"{"type":"Container","max":{"cpu":"1"}}"#);
        let large = pod(r#"{"limits":{"cpu":"2"}}"#);
        let going = object(r#"{"metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z"}}"#);
        for (case, expected) in [
            (Case::update("pods", "dev", pod("{}")), true),
            (Case::update("pods/status", "dev", pod("{}")), true),
            (Case::update("pods/resize", "dev", pod("{}")), false),
            (Case::update("pods/resize", "dev", going), true),
            (Case::create("pods", "prod"), true),
            (Case::create("pods", "dev"), false),
        ] {
            assert_eq!(case.cluster(&max).validate(validate, Some(&large)).is_ok(), expected);
        }
    }

    #[test]
    fn claims_have_bounds_too() {
        let limit = range(r#"{"type":"PersistentVolumeClaim","min":{"storage":"1Gi"},"max":{"storage":"2Gi"}}"#);
        for (requests, expected) in [
            (r#"{"storage":"1Gi"}"#, "ok"),
            (r#"{"storage":"1"}"#, "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1"),
            (r#"{"storage":"3Gi"}"#, "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
            (
                "{}",
                "[minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified, \
                 maximum storage usage per PersistentVolumeClaim is 2Gi.  No request is specified]",
            ),
        ] {
            let claim =
                object(&format!(r#"{{"metadata":{{"name":"a"}},"spec":{{"resources":{{"requests":{requests}}}}}}}"#));
            for case in [
                Case::create("persistentvolumeclaims", "dev"),
                Case::update("persistentvolumeclaims", "dev", claim.clone()),
            ] {
                let result = case.cluster(&limit).validate(validate, Some(&claim));
                let message = result.map_or_else(|error| error.message, |()| "ok".to_owned());
                assert_eq!(message.trim_start_matches("persistentvolumeclaims \"a\" is forbidden: "), expected);
            }
        }
    }
}

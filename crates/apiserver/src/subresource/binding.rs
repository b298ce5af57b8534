//! Bindings: a pod is given its node, once (upstream: `pkg/registry/core/pod/storage`, `BindingREST`).

use http::StatusCode;
use kinds::KindDef;
use machinery::field::{self, Path};
use machinery::{ApiError, GroupResource, Object, Reason};
use registry::Operation;
use serde_json::{Value, json};

use crate::call::Call;
use crate::decode;
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::subresource::{Asked, set_condition};
use crate::verbs::plain_accept;

const BINDING: KindDef = KindDef { kind: "Binding", schema: "io.k8s.api.core.v1.Binding", ..KindDef::PLAIN };

impl Server {
    /// `POST pods/NAME/binding`, or `POST bindings` that names the pod in its metadata.
    pub(crate) async fn bind(&self, call: &mut Call, pods: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = plain_accept(call)?;
        let context = call.context()?;
        let mut binding = decode::object(call, &BINDING, context.field_validation).await?;
        let (named, name) = (call.info.name.as_str(), binding.name().to_owned());
        if !named.is_empty() && named != name {
            return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
        }
        if !["", call.info.namespace.as_str()].contains(&binding.namespace()) {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(ApiError::bad_request(why));
        }
        check(&binding)?;
        if name.is_empty() {
            return Err(ApiError::bad_request("Name parameter required."));
        }
        let asked = Asked { subresource: "binding", name: &name, ..Asked::of(call, Operation::Create) };
        self.admit(&context, pods, asked, &mut binding).await?;
        let now = clock::format_time(clock::now());
        let assign = |pod: &mut Object| {
            assign(pod, &binding, &now)
                .map_err(|why| ApiError::conflict(&GroupResource::new("", "pods/binding"), &name, why))
        };
        self.registry().mutate(&context, pods, &call.info.namespace, &name, "binding", assign).await?;
        Ok(respond::value(call, accept, StatusCode::CREATED, respond::STATUS, &respond::success(Value::Null)))
    }
}

fn check(binding: &Object) -> Result<(), ApiError> {
    let target = Path::new("target");
    let mut problems = Vec::new();
    let kind = binding.str(&["target", "kind"]);
    if !kind.is_empty() && kind != "Node" {
        problems.push(field::Error::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]));
    }
    if binding.str(&["target", "name"]).is_empty() {
        problems.push(field::Error::required(&target.child("name"), ""));
    }
    if problems.is_empty() {
        return Ok(());
    }
    // Upstream has no better code for it.
    Err(ApiError::new(Reason::Unknown, field::aggregate(&problems)))
}

/// Gives the pod its node; the error says why it can not have it.
fn assign(pod: &mut Object, binding: &Object, now: &str) -> Result<(), String> {
    let name = pod.name().to_owned();
    let uid = binding.uid();
    if !uid.is_empty() && uid != pod.uid() {
        return Err(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", pod.uid()));
    }
    if pod.is_deleting() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.str(&["spec", "nodeName"]);
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {node:?}"));
    }
    if !pod.list(&["spec", "schedulingGates"]).is_empty() {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod.set(&["spec", "nodeName"], binding.str(&["target", "name"]));
    for map in ["annotations", "labels"] {
        for (key, value) in binding.strings(&["metadata", map]) {
            pod.map_mut(&["metadata", map]).insert(key, json!(value));
        }
    }
    set_condition(pod, json!({"type": "PodScheduled", "status": "True"}), now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    fn binding(node: &str) -> Object {
        object(
            json!({"metadata": {"name": "web", "annotations": {"a": "b"}}, "target": {"kind": "Node", "name": node}}),
        )
    }

    #[test]
    fn a_pod_is_bound_once() {
        let mut pod = object(json!({
            "metadata": {"name": "web"},
            "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
        }));
        assign(&mut pod, &binding("n1"), "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(pod.str(&["spec", "nodeName"]), "n1");
        assert_eq!(pod.annotation("a"), Some("b"));
        let conditions = pod.list(&["status", "conditions"]);
        assert_eq!((conditions.len(), &conditions[0]["status"]), (1, &json!("True")));
        let error = assign(&mut pod, &binding("n2"), "").unwrap_err();
        assert_eq!(error, "pod web is already assigned to node \"n1\"");
    }

    #[test]
    fn a_pod_that_goes_or_waits_is_not_bound() {
        let mut gone = object(json!({"metadata": {"name": "web", "deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        let error = assign(&mut gone, &binding("n1"), "").unwrap_err();
        assert_eq!(error, "pod web is being deleted, cannot be assigned to a host");
        let mut gated = object(json!({"metadata": {"name": "web"}, "spec": {"schedulingGates": [{"name": "x"}]}}));
        assert!(assign(&mut gated, &binding("n1"), "").is_err());
    }

    #[test]
    fn the_target_must_be_a_node() {
        let error = check(&object(json!({"metadata": {"name": "web"}, "target": {"kind": "Pod"}}))).unwrap_err();
        assert!(error.message.contains(r#"target.kind: Unsupported value: "Pod""#), "{}", error.message);
        assert!(error.message.contains("target.name: Required value"), "{}", error.message);
    }
}

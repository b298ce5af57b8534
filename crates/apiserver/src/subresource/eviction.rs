//! Evictions: deletions that disruption budgets may refuse (upstream: `EvictionREST`).

use std::sync::Arc;

use http::StatusCode;
use kinds::KindDef;
use machinery::selector::LabelSelector;
use machinery::{ApiError, Cause, GroupResource, Object, Reason};
use registry::{Context, DeleteOptions, Entry, Operation};
use serde_json::{Value, json};

use crate::call::Call;
use crate::decode;
use crate::options;
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::subresource::{Asked, set_condition};
use crate::verbs::plain_accept;

const EVICTION: KindDef =
    KindDef { group: "policy", kind: "Eviction", schema: "io.k8s.api.policy.v1.Eviction", ..KindDef::PLAIN };

/// Evictions that the disruption controller has not seen yet; beyond, it is taken to be stuck.
const DISRUPTED_PODS_MAX: usize = 2000;

impl Server {
    pub(crate) async fn evict(&self, call: &mut Call, pods: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = plain_accept(call)?;
        let mut context = call.context()?;
        let mut eviction = decode::object(call, &EVICTION, context.field_validation).await?;
        let (namespace, name) = (call.info.namespace.as_str(), call.info.name.as_str());
        if eviction.name() != name {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        context.dry_run |= delete_options(call, &eviction)?.1;
        self.admit(&context, pods, Asked::of(call, Operation::Create), &mut eviction).await?;
        let (mut delete, _) = delete_options(call, &eviction)?;
        let pod = self.registry().get(pods, namespace, name, "").await?;
        if !needs_no_budget(&pod.object()) {
            let budgets = self.kind("policy", "v1", "poddisruptionbudgets")?;
            if self.take_from_budget(&context, budgets, &pod).await? == Disruption::OfUnready {
                // The pod must not have become ready in between.
                delete.resource_version.get_or_insert_with(|| pod.revision().to_string());
            }
        }
        if !context.dry_run && !pod.object().is_deleting() {
            let marked = self.mark_disrupted(&context, pods, &pod, delete.resource_version.as_deref()).await?;
            // The mark itself is no change that the client must know of.
            delete.resource_version = delete.resource_version.map(|_| marked.revision().to_string());
        }
        self.registry().delete_admitted(&context, pods, namespace, name, &delete).await?;
        Ok(respond::value(call, accept, StatusCode::CREATED, respond::STATUS, &respond::success(Value::Null)))
    }

    /// Tells others why the pod goes; fails if the pod is not the one expected any more.
    async fn mark_disrupted(
        &self,
        context: &Context,
        pods: &'static KindDef,
        pod: &Entry,
        expected: Option<&str>,
    ) -> Result<Arc<Entry>, ApiError> {
        let now = clock::format_time(clock::now());
        let mark = |current: &mut Object| {
            if expected.is_some_and(|expected| current.resource_version() != expected) {
                return Err(ApiError::stale(&pods.group_resource(), pod.name()));
            }
            let condition = json!({
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            });
            set_condition(current, condition, &now);
            Ok(())
        };
        self.registry().mutate(context, pods, pod.namespace(), pod.name(), "eviction", mark).await
    }

    async fn take_from_budget(
        &self,
        context: &Context,
        kind: &'static KindDef,
        pod: &Entry,
    ) -> Result<Disruption, ApiError> {
        let budgets = self.registry().lister(kind).list(pod.namespace());
        let covering: Vec<Arc<Entry>> =
            budgets.into_iter().filter(|budget| covers(&budget.object(), pod.labels())).collect();
        let budget = match covering.as_slice() {
            [] => return Ok(Disruption::Free),
            [budget] => budget,
            _ => {
                let message =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(ApiError::new(Reason::InternalError, message));
            }
        };
        if unready_is_free(&pod.object(), &budget.object()) {
            return Ok(Disruption::OfUnready);
        }
        let now = clock::format_time(clock::now());
        let take = |budget: &mut Object| take(budget, pod.name(), &now);
        self.registry().mutate(context, kind, pod.namespace(), budget.name(), "status", take).await?;
        Ok(Disruption::Counted)
    }
}

/// What the pod is deleted with, and whether that is to be tried only.
fn delete_options(call: &Call, eviction: &Object) -> Result<(DeleteOptions, bool), ApiError> {
    let wanted = eviction.map(&["deleteOptions"]).map(|options| Object(options.clone()));
    options::delete(&call.query, wanted.as_ref())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disruption {
    Free,
    OfUnready,
    Counted,
}

fn needs_no_budget(pod: &Object) -> bool {
    pod.is_deleting() || matches!(pod.str(&["status", "phase"]), "Succeeded" | "Failed" | "Pending")
}

/// A budget without a selector, or with an empty or broken one, covers nothing.
fn covers(budget: &Object, labels: &std::collections::BTreeMap<String, String>) -> bool {
    let Some(selector) = budget.get(&["spec", "selector"]) else { return false };
    let given = |field: &str| selector.get(field).is_some_and(|of| of != &json!({}) && of != &json!([]));
    if !given("matchLabels") && !given("matchExpressions") {
        return false;
    }
    LabelSelector::from_object(selector).is_ok_and(|selector| selector.matches_map(labels))
}

/// An unready pod that the budget does not count as healthy may go while enough others are.
fn unready_is_free(pod: &Object, budget: &Object) -> bool {
    let conditions = pod.list(&["status", "conditions"]);
    let ready = conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    if ready {
        return false;
    }
    let number = |field| budget.int(&["status", field]).unwrap_or(0);
    let (healthy, desired) = (number("currentHealthy"), number("desiredHealthy"));
    let always = budget.str(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    always || (healthy >= desired && desired > 0)
}

/// Counts one disruption, or says why there is none to have.
fn take(budget: &mut Object, pod: &str, now: &str) -> Result<(), ApiError> {
    let number = |field| budget.int(&["status", field]).unwrap_or(0);
    let name = budget.name().to_owned();
    if number("observedGeneration") < budget.generation() {
        return Err(refusal(10, format!("The disruption budget {name} is still being processed by the server.")));
    }
    let forbidden = |why| ApiError::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), &name, why);
    let allowed = number("disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if budget.map(&["status", "disruptedPods"]).is_some_and(|pods| pods.len() > DISRUPTED_PODS_MAX) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(forbidden(why));
    }
    if allowed == 0 {
        let (desired, healthy) = (number("desiredHealthy"), number("currentHealthy"));
        let why = format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
        return Err(refusal(0, why));
    }
    budget.set(&["status", "disruptionsAllowed"], allowed - 1);
    budget.map_mut(&["status", "disruptedPods"]).insert(pod.to_owned(), json!(now));
    Ok(())
}

fn refusal(retry_after_seconds: u32, why: String) -> ApiError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = ApiError::too_many_requests(message, retry_after_seconds);
    if let Some(details) = &mut error.details {
        details.causes.push(Cause { reason: "DisruptionBudget".to_owned(), message: why, field: String::new() });
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64, healthy: i64) -> Object {
        let value = json!({
            "metadata": {"name": "web", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {
                "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": 2,
            },
        });
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_budget_gives_what_it_has() {
        let mut budget = budget(1, 3);
        take(&mut budget, "a", "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(budget.int(&["status", "disruptionsAllowed"]), Some(0));
        assert_eq!(budget.str(&["status", "disruptedPods", "a"]), "2026-01-01T00:00:00Z");
        let error = take(&mut budget, "b", "").unwrap_err();
        assert_eq!(error.code(), 429);
        let details = error.details.unwrap();
        assert_eq!(details.causes[0].reason, "DisruptionBudget");
        assert_eq!(details.causes[0].message, "The disruption budget web needs 2 healthy pods and has 3 currently");
    }

    #[test]
    fn a_budget_not_yet_looked_at_gives_nothing() {
        let mut budget = budget(1, 3);
        budget.set(&["metadata", "generation"], 2);
        let details = take(&mut budget, "a", "").unwrap_err().details.unwrap();
        assert_eq!(details.retry_after_seconds, 10);
    }

    #[test]
    fn unready_pods_go_while_enough_are_healthy() {
        let pod = |ready: &str| {
            Object::from_value(json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}})).unwrap()
        };
        assert!(unready_is_free(&pod("False"), &budget(0, 2)));
        assert!(!unready_is_free(&pod("False"), &budget(0, 1)));
        assert!(!unready_is_free(&pod("True"), &budget(0, 2)));
    }

    #[test]
    fn an_empty_selector_covers_nothing() {
        let labels = [("app".to_owned(), "web".to_owned())].into();
        assert!(covers(&budget(0, 0), &labels));
        let mut empty = budget(0, 0);
        empty.set(&["spec", "selector"], json!({}));
        assert!(!covers(&empty, &labels));
    }
}

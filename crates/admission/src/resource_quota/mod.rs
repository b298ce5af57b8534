//! ResourceQuotas: what a namespace may use in all.
//!
//! Use is charged to the quota's status, by compare and set, before the object is written: of two requests
//! for the last place one is refused. Requests at once share a write (see [`Ledger`]). What a failed write or a deletion gives back is counted anew by the
//! quota controller. A quota whose status does not cover a resource yet is counted here first.

mod ledger;
mod scopes;
mod usage;

use auth::view::Resource;
use auth::{View, view};
use machinery::quantity::Quantity;
use machinery::{ApiError, Object};
use registry::{Operation, Registry};
use serde_json::{Map, Value, json};

use crate::Admit;
use crate::pods::{Amounts, add, amounts};
pub use ledger::Ledger;

/// Checks and charges all quotas of the namespace that the object falls under.
pub async fn charge(
    admit: &Admit<'_>,
    ledger: &Ledger,
    registry: &Registry,
    object: Option<&Object>,
) -> Result<(), ApiError> {
    let Some(object) = object else { return Ok(()) };
    let charges = charges(admit, object)?;
    if admit.request.context.dry_run {
        return Ok(());
    }
    for charge in &charges {
        let charged = ledger.charge(registry, admit.request.namespace, charge).await?;
        charged.map_err(|why| admit.forbidden(Some(object), why))?;
    }
    Ok(())
}

/// What one quota is charged for one object.
#[derive(Clone, Debug)]
struct Charge {
    quota: String,
    /// May be negative: an update that needs less.
    delta: Amounts,
    /// What was used before, of resources that the quota's status does not cover yet.
    counted: Amounts,
}

/// The charges, each checked against the cache.
fn charges(admit: &Admit<'_>, object: &Object) -> Result<Vec<Charge>, ApiError> {
    let request = admit.request;
    let counts = matches!(request.operation, Operation::Create | Operation::Update);
    let resizes = admit.is(Resource::PODS, "resize");
    if !counts || !request.kind.namespaced() || !(request.subresource.is_empty() || resizes) {
        return Ok(Vec::new());
    }
    let mut charges = Vec::new();
    for quota in admit.view.list(Resource::RESOURCE_QUOTAS, request.namespace) {
        if !scopes::fits(&quota, request.kind, object) {
            continue;
        }
        if let Some(charge) = charge_of(admit, &quota, object)? {
            charge.apply(&mut quota.clone()).map_err(|why| admit.forbidden(Some(object), why))?;
            charges.push(charge);
        }
    }
    Ok(charges)
}

fn charge_of(admit: &Admit<'_>, quota: &Object, object: &Object) -> Result<Option<Charge>, ApiError> {
    let hard = amounts(quota.get(&["spec", "hard"]));
    let mut delta = usage::of(admit.request.kind, object);
    delta.retain(|name, _| hard.contains_key(name));
    if admit.creates(Resource::PODS) {
        let missing = usage::unspecified(object, &hard);
        if !missing.is_empty() {
            let why = format!("failed quota: {}: must specify {missing}", quota.name());
            return Err(admit.forbidden(Some(object), why));
        }
    }
    if let Some(old) = admit.request.old.filter(|old| scopes::fits(quota, admit.request.kind, old)) {
        for (name, amount) in usage::of(admit.request.kind, old) {
            if let Some(needed) = delta.get_mut(&name) {
                *needed = *needed - amount;
            }
        }
    }
    delta.retain(|_, amount| !amount.is_zero());
    if delta.is_empty() {
        return Ok(None);
    }
    let covered = amounts(quota.get(&["status", "hard"]));
    let mut counted = Amounts::new();
    if delta.keys().any(|name| !covered.contains_key(name)) {
        counted = count(admit, quota);
        counted.retain(|name, _| delta.contains_key(name) && !covered.contains_key(name));
    }
    Ok(Some(Charge { quota: quota.name().to_owned(), delta, counted }))
}

/// What all objects of the request's kind use now.
fn count(admit: &Admit<'_>, quota: &Object) -> Amounts {
    let kind = admit.request.kind;
    let resource = view::Resource { group: kind.group, version: kind.version, name: kind.resource };
    let objects = View::list(admit.view, resource, admit.request.namespace);
    let mut total = Amounts::new();
    for object in objects.iter().filter(|object| scopes::fits(quota, kind, object)) {
        add(&mut total, &usage::of(kind, object));
    }
    total
}

impl Charge {
    /// Adds the charge to the quota's status. The error says what would be too much.
    fn apply(&self, quota: &mut Object) -> Result<(), String> {
        let hard = amounts(quota.get(&["spec", "hard"]));
        let mut used = amounts(quota.get(&["status", "used"]));
        let covered = amounts(quota.get(&["status", "hard"]));
        for name in self.delta.keys().filter(|name| !covered.contains_key(*name)) {
            used.insert(name.clone(), self.counted.get(name).copied().unwrap_or(Quantity::ZERO));
        }
        let before = used.clone();
        for (name, amount) in &self.delta {
            let of = used.entry(name.clone()).or_insert(Quantity::ZERO);
            *of = *of + *amount;
        }
        let exceeded: Vec<&String> = self
            .delta
            .iter()
            .filter(|(name, amount)| !amount.is_negative() && hard.get(*name).is_some_and(|most| used[*name] > *most))
            .map(|(name, _)| name)
            .collect();
        if !exceeded.is_empty() {
            return Err(format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                self.quota,
                printed(&self.delta, &exceeded),
                printed(&before, &exceeded),
                printed(&hard, &exceeded)
            ));
        }
        let names = self.delta.keys();
        let hard_status: Map<String, Value> = merged(quota, "hard", names.clone(), &hard);
        let used_status: Map<String, Value> = merged(quota, "used", names, &used);
        quota.set(&["status", "hard"], hard_status);
        quota.set(&["status", "used"], used_status);
        Ok(())
    }
}

fn merged<'a>(
    quota: &Object,
    field: &str,
    names: impl Iterator<Item = &'a String>,
    amounts: &Amounts,
) -> Map<String, Value> {
    let mut map = quota.map(&["status", field]).cloned().unwrap_or_default();
    for name in names {
        if let Some(amount) = amounts.get(name) {
            map.insert(name.clone(), json!(amount.to_string()));
        }
    }
    map
}

/// `a=1,b=2`
fn printed(amounts: &Amounts, names: &[&String]) -> String {
    let pairs = names.iter().map(|name| {
        let amount = amounts.get(*name).copied().unwrap_or(Quantity::ZERO);
        format!("{name}={amount}")
    });
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    /// The statuses of the quotas after the object is admitted, or why it is not.
    fn charged(case: Case, new: &str) -> Result<Vec<String>, String> {
        let new = object(new);
        let charges = case.with(|admit| charges(admit, &new)).map_err(|error| error.message)?;
        let quota = |charge: &Charge| {
            let mut quota = case.objects.get(Resource::RESOURCE_QUOTAS, "dev", &charge.quota).unwrap();
            charge.apply(&mut quota).unwrap();
            quota.get(&["status", "used"]).unwrap().to_string()
        };
        Ok(charges.iter().map(quota).collect())
    }

    fn pod(requests: &str) -> String {
        format!(
            r#"{{"metadata":{{"name":"a"}},"spec":{{"containers":[{{"name":"c","resources":{{"requests":{requests}}}}}]}}}}"#
        )
    }

    #[test]
    fn a_pod_is_charged_and_the_last_one_refused() {
        let quota = |used: &str| {
            let quota = format!(
                r#"resourcequotas/dev q spec={{"hard":{{"pods":"2","requests.cpu":"1"}}}} status={{"hard":{{"pods":"2","requests.cpu":"1"}},"used":{used}}}"#
            );
            Case::create("pods", "dev").cluster(&quota)
        };
        assert_eq!(
            charged(quota(r#"{"pods":"1","requests.cpu":"500m"}"#), &pod(r#"{"cpu":"500m"}"#)),
            Ok(vec![r#"{"pods":"2","requests.cpu":"1"}"#.to_owned()])
        );
        assert_eq!(
            charged(quota(r#"{"pods":"2","requests.cpu":"500m"}"#), &pod(r#"{"cpu":"600m"}"#)),
            Err("pods \"a\" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=600m, \
                 used: pods=2,requests.cpu=500m, limited: pods=2,requests.cpu=1"
                .to_owned())
        );
        assert_eq!(
            charged(quota(r#"{"pods":"0"}"#), &pod("{}")),
            Err("pods \"a\" is forbidden: failed quota: q: must specify requests.cpu for: c".to_owned())
        );
    }

    #[test]
    fn a_quota_without_status_is_counted_first() {
        let cluster = r#"
            resourcequotas/dev q spec={"hard":{"count/configmaps":"3"}}
            configmaps/dev a
            configmaps/dev b
            configmaps/prod c
        "#;
        let case = Case::create("configmaps", "dev").cluster(cluster);
        assert_eq!(charged(case, r#"{"metadata":{"name":"d"}}"#), Ok(vec![r#"{"count/configmaps":"3"}"#.to_owned()]));
    }

    #[test]
    fn an_update_is_charged_the_difference() {
        let quota = r#"resourcequotas/dev q spec={"hard":{"requests.storage":"5Gi","persistentvolumeclaims":"1"}} status={"hard":{"requests.storage":"5Gi"},"used":{"requests.storage":"4Gi"}}"#;
        let claim = |size: &str| {
            format!(r#"{{"metadata":{{"name":"d"}},"spec":{{"resources":{{"requests":{{"storage":"{size}"}}}}}}}}"#)
        };
        let update = |size: &str| {
            let case = Case::update("persistentvolumeclaims", "dev", object(&claim("2Gi"))).cluster(quota);
            charged(case, &claim(size))
        };
        assert_eq!(update("2Gi"), Ok(vec![]));
        assert_eq!(update("3Gi"), Ok(vec![r#"{"requests.storage":"5Gi"}"#.to_owned()]));
        assert_eq!(update("1Gi"), Ok(vec![r#"{"requests.storage":"3Gi"}"#.to_owned()]));
        assert!(update("4Gi").unwrap_err().contains("exceeded quota: q, requested: requests.storage=2Gi"));
    }

    #[test]
    fn scopes_tell_pods_apart() {
        let quota = |scopes: &str| {
            let quota = format!(
                r#"resourcequotas/dev q spec={{"hard":{{"pods":"0"}},{scopes}}} status={{"hard":{{"pods":"0"}},"used":{{"pods":"0"}}}}"#
            );
            Case::create("pods", "dev").cluster(&quota)
        };
        for (scopes, pod, expected) in [
            (r#""scopes":["BestEffort"]"#, pod("{}"), true),
            (r#""scopes":["BestEffort"]"#, pod(r#"{"cpu":"1"}"#), false),
            (r#""scopes":["NotBestEffort"]"#, pod(r#"{"cpu":"1"}"#), true),
            (r#""scopes":["Terminating"]"#, pod("{}"), false),
            (r#""scopes":["Terminating"]"#, r#"{"spec":{"activeDeadlineSeconds":5}}"#.to_owned(), true),
            (
                r#""scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["high"]}]}"#,
                r#"{"spec":{"priorityClassName":"high"}}"#.to_owned(),
                true,
            ),
            (
                r#""scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["high"]}]}"#,
                r#"{"spec":{"priorityClassName":"low"}}"#.to_owned(),
                false,
            ),
        ] {
            assert_eq!(charged(quota(scopes), &pod).is_err(), expected, "{scopes} {pod}");
        }
    }
}

//! ResourceQuotas: what a namespace may use in all.
//!
//! Use is charged to the quota's status, by compare and set, in one with the write of the object: of two requests for
//! the last place one is refused. Requests at once share a commit (see [`Ledger`]). What a failed write or a
//! deletion gives back is counted anew by the quota controller. A quota whose status does not cover a resource yet is
//! counted here first.

mod balance;
mod known;
mod ledger;
mod limited;

use async_trait::async_trait;
use auth::view::Resource;
use auth::{View, view};
use kinds::KindDef;
use kinds::quota::{self, Amounts, add};
use machinery::quantity::Quantity;
use machinery::{ApiError, Object, Reason};
use registry::{Admitted, Counted, Operation, Registry};
use store::{Revision, Write};

use crate::Admit;
pub use known::Known;
use known::Quota;
pub use ledger::Ledger;
pub use limited::Limited;
use limited::shown;

/// What no quota counts: it does not last, or never was counted.
const UNCOUNTED: [&str; 3] = ["bindings", "events", "localsubjectaccessreviews"];

/// Checks all quotas of the namespace that the object falls under; what is answered charges them.
pub fn charge(admit: &Admit<'_>, known: &Known, ledger: &Ledger, object: &Object) -> Result<Admitted, ApiError> {
    let charges = charges(admit, known, object)?;
    if admit.request.context.dry_run || charges.is_empty() {
        return Ok(None);
    }
    Ok(Some(Box::new(Charged {
        ledger: ledger.clone(),
        kind: admit.request.kind,
        namespace: admit.request.namespace.to_owned(),
        name: admit.name(Some(object)).to_owned(),
        charges,
    })))
}

/// An object with its charges, in the order of the quotas' names.
struct Charged {
    ledger: Ledger,
    kind: &'static KindDef,
    namespace: String,
    name: String,
    charges: Vec<Charge>,
}

#[async_trait]
impl Counted for Charged {
    /// The last charge takes the write along.
    async fn write(
        self: Box<Self>,
        registry: &Registry,
        write: &Write,
    ) -> Result<Option<store::Result<Revision>>, ApiError> {
        let mut written = None;
        let last = self.charges.len() - 1;
        for (at, charge) in self.charges.into_iter().enumerate() {
            let along = (at == last).then(|| write.clone());
            match self.ledger.charge(registry, &self.namespace, charge, along).await {
                Ok(Ok(of_last)) => written = of_last,
                Ok(Err(why)) => return Err(ApiError::forbidden(&self.kind.group_resource(), &self.name, why)),
                // A quota that is gone limits nothing.
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// What one quota is charged for one object.
#[derive(Clone, Debug)]
struct Charge {
    quota: String,
    /// Never negative: what an update gives back is counted when it has been written.
    delta: Amounts,
    /// Whether it may go beyond what the quota allows: what has been given is counted, and not refused.
    given: bool,
    /// What was used before, of resources that the quota's status does not cover yet.
    counted: Amounts,
}

/// The charges, each checked against the cache.
fn charges(admit: &Admit<'_>, known: &Known, object: &Object) -> Result<Vec<Charge>, ApiError> {
    let request = admit.request;
    if !request.kind.namespaced() || !counts(admit, object) {
        return Ok(Vec::new());
    }
    let quotas = known.list(admit.view, request.namespace);
    let usage = quota::usage(request.kind, object);
    let mut charges = Vec::new();
    for quota in quotas.iter().filter(|quota| quota::fits(&quota.object, request.kind, object)) {
        charges.extend(charge_of(admit, quota, object, &usage)?.map(|charge| (quota, charge)));
    }
    covered(admit, object, &usage, &quotas)?;
    for (quota, charge) in &charges {
        quota.balance.with(charge).map_err(|why| admit.forbidden(Some(object), why))?;
    }
    Ok(charges.into_iter().map(|(_, charge)| charge).collect())
}

/// Refuses what the administrator lets nobody have but by a quota.
fn covered(admit: &Admit<'_>, object: &Object, usage: &Amounts, quotas: &[Quota]) -> Result<(), ApiError> {
    let kind = admit.request.kind;
    let before = admit.request.old.map(|old| quota::usage(kind, old)).unwrap_or_default();
    if usage.iter().all(|(name, amount)| before.get(name).is_some_and(|was| amount <= was)) {
        return Ok(());
    }
    let mut names = admit.options.limited.names(kind, usage);
    let mut scopes = admit.options.limited.scopes(kind, object);
    for Quota { object: quota, balance } in quotas {
        if quota::fits(quota, kind, object) {
            names.retain(|name| !balance.hard.contains_key(*name));
        }
        for held in quota::scopes_of(quota).filter(|scope| quota::fits_scope(scope, kind, object)) {
            scopes.retain(|scope| scope["scopeName"] != held["scopeName"]);
        }
    }
    if !names.is_empty() {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(admit.forbidden(Some(object), format!("insufficient quota to consume: {}", names.join(","))));
    }
    if !scopes.is_empty() {
        let scopes: Vec<String> = scopes.into_iter().map(shown).collect();
        let why = format!("insufficient quota to match these scopes: [{}]", scopes.join(" "));
        return Err(ApiError::internal(why));
    }
    Ok(())
}

/// Whether the request can change what is used.
fn counts(admit: &Admit<'_>, object: &Object) -> bool {
    let request = admit.request;
    let updates = request.operation == Operation::Update;
    match (request.kind.resource, request.subresource) {
        (resource, _) if UNCOUNTED.contains(&resource) => false,
        ("pods", "") if updates && request.kind.group.is_empty() => {
            request.old.is_some_and(|old| quota::is_terminating(old) != quota::is_terminating(object))
        }
        ("pods", "resize") | ("persistentvolumeclaims", "status") => updates && request.kind.group.is_empty(),
        (_, "") => updates || request.operation == Operation::Create,
        _ => false,
    }
}

fn charge_of(
    admit: &Admit<'_>,
    Quota { object: quota, balance }: &Quota,
    object: &Object,
    usage: &Amounts,
) -> Result<Option<Charge>, ApiError> {
    let limited = usage.iter().filter(|(name, _)| balance.hard.contains_key(*name));
    let mut delta: Amounts = limited.map(|(name, amount)| (name.clone(), *amount)).collect();
    if admit.creates(Resource::PODS) {
        let missing = quota::unspecified(object, &balance.hard);
        if !missing.is_empty() {
            let why = format!("failed quota: {}: must specify {missing}", quota.name());
            return Err(admit.forbidden(Some(object), why));
        }
    }
    if let Some(old) = admit.request.old.filter(|old| quota::fits(quota, admit.request.kind, old)) {
        for (name, amount) in quota::usage(admit.request.kind, old) {
            if let Some(needed) = delta.get_mut(&name) {
                *needed = *needed - amount;
            }
        }
    }
    delta.retain(|_, amount| *amount > Quantity::ZERO);
    if delta.is_empty() {
        return Ok(None);
    }
    let mut counted = Amounts::new();
    if delta.keys().any(|name| !balance.covers(name)) {
        counted = count(admit, quota);
        counted.retain(|name, _| delta.contains_key(name) && !balance.covers(name));
    }
    let given = admit.request.subresource == "status";
    Ok(Some(Charge { quota: quota.name().to_owned(), delta, given, counted }))
}

/// What all objects of the request's kind use now.
fn count(admit: &Admit<'_>, quota: &Object) -> Amounts {
    let kind = admit.request.kind;
    let resource = view::Resource { group: kind.group, version: kind.version, name: kind.resource };
    let objects = View::list(admit.view, resource, admit.request.namespace);
    let mut total = Amounts::new();
    for object in objects.iter().filter(|object| quota::fits(quota, kind, object)) {
        add(&mut total, &quota::usage(kind, object));
    }
    total
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::balance::Balance;
    use super::*;
    use crate::testing::{Case, object};

    /// The statuses of the quotas after the object is admitted, or why it is not.
    fn charged(case: Case, new: &str) -> Result<Vec<String>, String> {
        let new = object(new);
        let charges = case.with(|admit| charges(admit, &Known::default(), &new)).map_err(|error| error.message)?;
        let quota = |charge: &Charge| {
            let mut quota = case.objects.get(Resource::RESOURCE_QUOTAS, "dev", &charge.quota).unwrap();
            let mut balance = Balance::of(&quota);
            balance.add(charge).unwrap();
            balance.show(&mut quota);
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
        assert_eq!(update("1Gi"), Ok(vec![]));
        assert!(update("4Gi").unwrap_err().contains("exceeded quota: q, requested: requests.storage=2Gi"));
    }

    /// A quota that has no room, and a quota of pods with a deadline.
    #[test]
    fn only_what_changes_use_is_charged() {
        let cluster = r#"
            resourcequotas/dev q spec={"hard":{"pods":"1","requests.storage":"1","count/events":"0"}} status={"hard":{"pods":"1","requests.storage":"1"},"used":{"pods":"1","requests.storage":"1"}}
            resourcequotas/dev t spec={"hard":{"pods":"0"},"scopes":["Terminating"]} status={"hard":{"pods":"0"},"used":{"pods":"0"}}
        "#;
        let old = || object(r#"{"metadata":{"name":"a"},"spec":{}}"#);
        let deadline = r#"{"metadata":{"name":"a"},"spec":{"activeDeadlineSeconds":9}}"#;
        let asking = r#"{"metadata":{"name":"a"},"spec":{"resources":{"requests":{"storage":"1"}}}}"#;
        let given = r#"{"metadata":{"name":"a"},"spec":{"resources":{"requests":{"storage":"1"}}},"status":{"allocatedResources":{"storage":"5"}}}"#;
        for (case, new, expected) in [
            (Case::create("events", "dev"), "{}", Ok(vec![])),
            (
                Case::update("pods", "dev", old()),
                r#"{"metadata":{"name":"a","labels":{"a":"b"}},"spec":{}}"#,
                Ok(vec![]),
            ),
            (
                Case::update("pods", "dev", old()),
                deadline,
                Err(r#"pods "a" is forbidden: exceeded quota: t, requested: pods=1, used: pods=0, limited: pods=0"#),
            ),
            (Case::update("pods/status", "dev", old()), deadline, Ok(vec![])),
            (
                Case::update("persistentvolumeclaims/status", "dev", object(asking)),
                given,
                Ok(vec![r#"{"pods":"1","requests.storage":"5"}"#]),
            ),
        ] {
            let charged = charged(case.cluster(cluster), new);
            let expected = expected.map(|used| used.into_iter().map(str::to_owned).collect()).map_err(str::to_owned);
            assert_eq!(charged, expected, "{new}");
        }
    }

    #[test]
    fn what_is_limited_takes_a_quota_that_covers_it() {
        let config = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration",
            "limitedResources": [
                {"resource": "pods", "matchContains": ["requests.cpu"], "matchScopes":
                    [{"scopeName": "PriorityClass", "operator": "In", "values": ["high", "top"]}]},
                {"resource": "persistentvolumeclaims", "matchContains": ["ssd.storageclass"]},
            ],
        });
        let of_high = r#"resourcequotas/dev q spec={"hard":{"pods":"9"},"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["high"]}]}}"#;
        let of_cpu = r#"resourcequotas/dev q spec={"hard":{"requests.cpu":"9"}}"#;
        let high = r#"{"metadata":{"name":"a"},"spec":{"priorityClassName":"high"}}"#;
        let top = r#"{"metadata":{"name":"a"},"spec":{"priorityClassName":"top"}}"#;
        let claim = r#"{"metadata":{"name":"a"},"spec":{"storageClassName":"ssd"}}"#;
        let plain = r#"{"metadata":{"name":"a"},"spec":{}}"#;
        let unmatched =
            "Internal error occurred: insufficient quota to match these scopes: [{PriorityClass In [high top]}]";
        for (resource, cluster, new, expected) in [
            ("pods", "", plain, ""),
            ("pods", "", high, unmatched),
            ("pods", of_high, high, ""),
            ("pods", of_high, top, unmatched),
            (
                "pods",
                "",
                &pod(r#"{"cpu":"1"}"#),
                r#"pods "a" is forbidden: insufficient quota to consume: requests.cpu"#,
            ),
            ("pods", of_cpu, &pod(r#"{"cpu":"1"}"#), ""),
            (
                "persistentvolumeclaims",
                of_cpu,
                claim,
                "persistentvolumeclaims \"a\" is forbidden: insufficient quota to consume: \
                 ssd.storageclass.storage.k8s.io/persistentvolumeclaims",
            ),
            ("configmaps", "", plain, ""),
        ] {
            let mut case = Case::create(resource, "dev").cluster(cluster);
            case.options.limited = Limited::parse(&config).expect("it is valid");
            assert_eq!(charged(case, new).err().unwrap_or_default(), expected, "{resource} {cluster} {new}");
        }
        for (config, expected) in [
            (json!({}), "Object 'Kind' is missing in '{}'"),
            (
                json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration",
                    "limitedResources": [{"matchContains": ["x"]}]}),
                "limitedResources[0].resource: Required value",
            ),
        ] {
            assert_eq!(Limited::parse(&config).expect_err("it is wrong"), expected);
        }
    }
}

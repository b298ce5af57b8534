//! The APIServices of what this server serves itself. (upstream: pkg/controlplane/apiserver/aggregator.go,
//! cmd/kube-apiserver/app, kube-aggregator pkg/controllers/autoregister)

use futures::future::try_join_all;
use machinery::{ApiError, Object, Reason};
use registry::{Context, Registry, Target};
use serde_json::{Value, json};

use super::extension::Extension;
use super::{GROUP, kind};

/// Says that the server keeps the APIService: as of its start, or as definitions come and go.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const ON_START: &str = "onstart";
const ALWAYS: &str = "true";

/// Upstream's groups with their importance.
const PRIORITIES: [(&str, i64); 22] = [
    ("", 18000),
    ("apps", 17800),
    ("events.k8s.io", 17750),
    ("authentication.k8s.io", 17700),
    ("authorization.k8s.io", 17600),
    ("autoscaling", 17500),
    ("batch", 17400),
    ("certificates.k8s.io", 17300),
    ("networking.k8s.io", 17200),
    ("policy", 17100),
    ("rbac.authorization.k8s.io", 17000),
    ("storage.k8s.io", 16800),
    ("apiextensions.k8s.io", 16700),
    ("admissionregistration.k8s.io", 16700),
    ("scheduling.k8s.io", 16600),
    ("coordination.k8s.io", 16500),
    ("node.k8s.io", 16300),
    ("discovery.k8s.io", 16200),
    ("flowcontrol.apiserver.k8s.io", 16100),
    ("internal.apiserver.k8s.io", 16000),
    ("resource.k8s.io", 16200),
    ("storagemigration.k8s.io", 15800),
];
/// Of groups that are not above, such as that of metrics.
const OTHER_PRIORITY: i64 = 100;
/// Of groups that definitions make, and of their versions. (upstream: controlplane/controller/crdregistration)
const CUSTOM_PRIORITIES: (i64, i64) = (1000, 100);

/// A version of a group that this server serves itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Own {
    pub group: String,
    pub version: String,
    /// By definitions alone.
    pub custom: bool,
}

/// Makes what is missing, and takes away what the server kept for versions that it no longer serves. What somebody
/// gave to another server is left alone.
pub(super) async fn ensure(registry: &Registry, context: &Context, served: &[Own]) -> Result<(), ApiError> {
    let kind = kind(registry);
    let wanted: Vec<Object> = served.iter().filter(|own| own.group != GROUP).map(of).collect();
    let stored: Vec<Object> = registry.lister(kind).list("").iter().map(|entry| entry.object()).collect();
    // Side by side, so that they share flushes of the disk.
    try_join_all(wanted.iter().map(async |wanted| match stored.iter().find(|of| of.name() == wanted.name()) {
        None => match registry.create(context, kind, "", wanted.clone()).await {
            Err(error) if error.reason != Reason::AlreadyExists => Err(error),
            _ => Ok(()),
        },
        Some(of) if is_kept(of) && of.get(&["spec"]) != wanted.get(&["spec"]) => {
            let mut renewed = of.clone();
            renewed.set(&["spec"], wanted.get(&["spec"]).cloned().unwrap_or_default());
            registry.update(context, kind, "", of.name(), Target::Main, renewed).await.map(drop)
        }
        Some(_) => Ok(()),
    }))
    .await?;
    for stale in stored.iter().filter(|of| is_kept(of) && wanted.iter().all(|wanted| wanted.name() != of.name())) {
        match registry.delete(context, kind, "", stale.name(), &registry::DeleteOptions::default()).await {
            Err(error) if error.reason != Reason::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_kept(of: &Object) -> bool {
    of.labels().get(MANAGED).is_some_and(|how| [ON_START, ALWAYS].contains(&how.as_str()))
        && Extension::read(of).is_none()
}

fn of(Own { group, version, custom }: &Own) -> Object {
    let known = PRIORITIES.iter().find(|(name, _)| name == group);
    let (group_priority, version_priority) = match custom {
        true => CUSTOM_PRIORITIES,
        false => (known.map_or(OTHER_PRIORITY, |(_, priority)| *priority), version_priority(group, version)),
    };
    let managed = if *custom { ALWAYS } else { ON_START };
    let object: Value = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {MANAGED: managed}},
        "spec": {
            "group": group, "version": version,
            "groupPriorityMinimum": group_priority, "versionPriority": version_priority,
        },
    });
    Object::from_value(object).expect("the literal is an object")
}

fn version_priority(group: &str, version: &str) -> i64 {
    match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io" | "resource.k8s.io", "v1") => 21,
        ("resource.k8s.io", "v1beta2") => 15,
        (_, version) if version.contains("alpha") => 1,
        (_, version) if version.contains("beta") => 9,
        _ => 15,
    }
}

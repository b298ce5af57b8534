//! Objects that every cluster has from its first start, made again whenever one is missing.

use std::net::IpAddr;

use auth::authn::HeaderNames;
use futures::future::try_join_all;
use machinery::{ApiError, Object, Reason};
use registry::service::SERVICE_NAME;
use registry::{Context, Registry};
use serde_json::{Value, json};

use crate::identity;

/// What the objects say about this server.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Where the server is reached from nodes and pods.
    pub address: IpAddr,
    pub port: u16,
    /// Of the `kubernetes` Service.
    pub service_port: u16,
    /// PEM of the authorities that sign client certificates.
    pub client_ca: String,
    /// What tells this server from others of the cluster: the host's or node's name.
    pub host: String,
    /// Proxies that name users, where there are any.
    pub proxies: Option<Proxies>,
}

/// How requests are known that a proxy passes on, this server among them.
#[derive(Clone, Debug)]
pub struct Proxies {
    /// PEM of the authorities that sign certificates of proxies.
    pub authorities: String,
    pub allowed_names: Vec<String>,
    pub headers: HeaderNames,
}

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

const PRIORITY_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// Makes what is missing, and brings the addresses of this server up to date. Safe to repeat.
pub async fn bootstrap(registry: &Registry, bootstrap: &Bootstrap) -> Result<(), ApiError> {
    let objects = Objects { registry, context: Context::of_server() };
    try_join_all(NAMESPACES.map(|name| objects.ensure(namespace(name)))).await?;
    let classes = PRIORITY_CLASSES.map(|(name, value, text)| objects.ensure(priority_class(name, value, text)));
    // Side by side, so that they share flushes of the disk.
    tokio::try_join!(
        auth::policy::reconcile(registry),
        try_join_all(classes),
        objects.ensure_range(service_range(registry.service_range())),
        objects.ensure(service(bootstrap)),
        objects.tell_servers(bootstrap, true),
        objects.replace(authentication(bootstrap), &["data"]),
    )?;
    Ok(())
}

/// Tells pods and nodes where all servers of the cluster are that live: this one too while it `serves`.
pub async fn tell_servers(registry: &Registry, bootstrap: &Bootstrap, serves: bool) -> Result<(), ApiError> {
    Objects { registry, context: Context::of_server() }.tell_servers(bootstrap, serves).await
}

/// Tells servers of extension APIs whom this server trusts to vouch for users and proxies.
pub async fn tell_authorities(registry: &Registry, bootstrap: &Bootstrap) -> Result<(), ApiError> {
    Objects { registry, context: Context::of_server() }.replace(authentication(bootstrap), &["data"]).await
}

struct Objects<'a> {
    registry: &'a Registry,
    context: Context,
}

impl Objects<'_> {
    /// Creates the object unless it is there.
    async fn ensure(&self, object: Object) -> Result<(), ApiError> {
        let kind = self.kind(&object)?;
        let namespace = object.namespace().to_owned();
        if self.registry.lister(kind).get(&namespace, object.name()).is_some() {
            return Ok(());
        }
        match self.registry.create(&self.context, kind, &namespace, object).await {
            Err(error) if error.reason != Reason::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Creates the object, or sets these fields of the one that is there.
    async fn replace(&self, object: Object, fields: &[&str]) -> Result<(), ApiError> {
        self.ensure(object.clone()).await?;
        let kind = self.kind(&object)?;
        let (namespace, name) = (object.namespace(), object.name());
        // Other servers write it too.
        let change = |current: &mut Object| {
            for field in fields {
                match object.0.get(*field) {
                    Some(value) => current.set(&[field], value.clone()),
                    None => drop(current.remove(&[field])),
                }
            }
            Ok(())
        };
        self.registry.mutate(&self.context, kind, namespace, name, "", change).await.map(drop)
    }

    /// (upstream: pkg/controlplane/reconcilers/lease.go)
    async fn tell_servers(&self, bootstrap: &Bootstrap, serves: bool) -> Result<(), ApiError> {
        let mut addresses = identity::others(self.registry, bootstrap);
        // The last server stays where it was: nobody could tell that it is back.
        if serves || addresses.is_empty() {
            addresses.push(bootstrap.address);
        }
        addresses.sort_unstable();
        addresses.dedup();
        futures::try_join!(
            self.replace(endpoints(&addresses, bootstrap.port), &["subsets"]),
            self.replace(endpoint_slice(&addresses, bootstrap.port), &["endpoints", "ports"]),
        )?;
        Ok(())
    }

    /// The default range of Service addresses, ready before a controller runs. One that someone made otherwise is
    /// left alone.
    /// (upstream: pkg/controlplane/controller/defaultservicecidr)
    async fn ensure_range(&self, wanted: Object) -> Result<(), ApiError> {
        self.ensure(wanted.clone()).await?;
        let (kind, name) = (self.kind(&wanted)?, wanted.name());
        let current = self.registry.get(kind, "", name, "").await?.object();
        if current.get(&["spec"]) != wanted.get(&["spec"]) {
            let (stored, flag) = (current.list(&["spec", "cidrs"]), self.registry.service_range());
            tracing::warn!(?stored, flag, "the default ServiceCIDR does not match the flag");
            return Ok(());
        }
        let terminating = current.get(&["metadata", "deletionTimestamp"]).is_some();
        if terminating || !current.list(&["status", "conditions"]).is_empty() {
            return Ok(());
        }
        let condition = json!({
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": clock::format_time(clock::now()),
        });
        let set = |range: &mut Object| {
            range.set(&["status", "conditions"], vec![condition.clone()]);
            Ok(())
        };
        self.registry.mutate(&self.context, kind, "", name, "status", set).await?;
        Ok(())
    }

    fn kind(&self, object: &Object) -> Result<&'static kinds::KindDef, ApiError> {
        let gvk = object.gvk();
        self.registry.kinds().by_gvk(&gvk).ok_or_else(|| ApiError::internal(format!("{gvk} is not served")))
    }
}

fn object(value: Value) -> Object {
    Object::from_value(value).expect("the literals here are objects")
}

fn namespace(name: &str) -> Object {
    object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
}

fn priority_class(name: &str, value: i64, description: &str) -> Object {
    object(json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
        "value": value, "description": description,
    }))
}

fn service_range(cidr: &str) -> Object {
    object(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": kinds::networking::DEFAULT_SERVICE_CIDR}, "spec": {"cidrs": [cidr]},
    }))
}

fn service(bootstrap: &Bootstrap) -> Object {
    object(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "sessionAffinity": "None",
            "ports": [{
                "name": "https", "protocol": "TCP", "port": bootstrap.service_port, "targetPort": bootstrap.port,
            }],
        },
    }))
}

fn endpoints(addresses: &[IpAddr], port: u16) -> Object {
    let addresses: Vec<Value> = addresses.iter().map(|address| json!({"ip": address.to_string()})).collect();
    object(json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": addresses,
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }],
    }))
}

fn endpoint_slice(addresses: &[IpAddr], port: u16) -> Object {
    let family = if addresses.iter().all(IpAddr::is_ipv4) { "IPv4" } else { "IPv6" };
    let ready = |address: &IpAddr| json!({"addresses": [address.to_string()], "conditions": {"ready": true}});
    let endpoints: Vec<Value> = addresses.iter().map(ready).collect();
    object(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {SERVICE_NAME: "kubernetes"},
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }))
}

/// What servers of extension APIs need to trust the users that this server sends them.
fn authentication(bootstrap: &Bootstrap) -> Object {
    let mut data = json!({"client-ca-file": bootstrap.client_ca});
    if let Some(Proxies { authorities, allowed_names, headers }) = &bootstrap.proxies {
        let list = |names: &[String]| json!(names).to_string();
        let shown = |names: &[String]| list(&names.iter().map(|name| canonical(name)).collect::<Vec<_>>());
        data["requestheader-client-ca-file"] = json!(authorities);
        data["requestheader-allowed-names"] = json!(list(allowed_names));
        data["requestheader-username-headers"] = json!(shown(&headers.username));
        data["requestheader-uid-headers"] = json!(shown(&headers.uid));
        data["requestheader-group-headers"] = json!(shown(&headers.groups));
        data["requestheader-extra-headers-prefix"] = json!(shown(&headers.extra_prefixes));
    }
    object(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": data,
    }))
}

/// `X-Remote-User` of `x-remote-user`.
fn canonical(header: &str) -> String {
    let capital = |part: &str| part.get(..1).map_or_else(String::new, |first| first.to_uppercase() + &part[1..]);
    header.split('-').map(capital).collect::<Vec<_>>().join("-")
}

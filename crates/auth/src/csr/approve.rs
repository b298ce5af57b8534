//! Which requests are approved without anyone being asked.

use std::net::IpAddr;

use machinery::{Object, UserInfo};
use serde_json::Value;

use super::{KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER, NODE_PREFIX, Request};
use crate::authz::{Attributes, Authorizer};
use crate::view::{Resource, View};

/// The Service of the API, and what its names begin with.
const API: &str = "kubernetes";

/// The message of the Approved condition; nothing if the request is left to an administrator.
pub fn approve(view: &dyn View, authorizer: &dyn Authorizer, csr: &Object, request: &Request) -> Option<&'static str> {
    request.check().ok()?;
    match request.signer.as_str() {
        KUBELET_CLIENT_SIGNER => approve_client(authorizer, csr, request),
        KUBELET_SERVING_SIGNER => approve_serving(view, request),
        _ => None,
    }
}

fn approve_client(authorizer: &dyn Authorizer, csr: &Object, request: &Request) -> Option<&'static str> {
    if request.username == request.subject_name && may(authorizer, csr, "selfnodeclient") {
        return Some("Auto approving self kubelet client certificate after SubjectAccessReview.");
    }
    may(authorizer, csr, "nodeclient").then_some("Auto approving kubelet client certificate after SubjectAccessReview.")
}

fn may(authorizer: &dyn Authorizer, csr: &Object, subresource: &str) -> bool {
    let attributes = Attributes {
        user: requester(csr),
        verb: "create".to_owned(),
        api_group: "certificates.k8s.io".to_owned(),
        api_version: "*".to_owned(),
        resource: "certificatesigningrequests".to_owned(),
        subresource: subresource.to_owned(),
        is_resource: true,
        ..Attributes::default()
    };
    authorizer.authorize(&attributes).allowed()
}

/// Who created the request, as the API server wrote it down then.
fn requester(csr: &Object) -> UserInfo {
    let groups = csr.list(&["spec", "groups"]).iter().filter_map(Value::as_str).map(str::to_owned);
    UserInfo {
        name: csr.str(&["spec", "username"]).to_owned(),
        uid: csr.str(&["spec", "uid"]).to_owned(),
        groups: groups.collect(),
        ..UserInfo::default()
    }
}

/// A node may serve under the names and addresses that its Node object lists, and asks for itself alone. As it writes
/// that list itself, it gets no name of the API, and no address of another node that is alive: of one that is not it may
/// be the successor.
fn approve_serving(view: &dyn View, request: &Request) -> Option<&'static str> {
    if request.username != request.subject_name {
        return None;
    }
    let name = request.subject_name.strip_prefix(NODE_PREFIX)?;
    let node = view.get(Resource::NODES, "", name)?;
    let addresses: Vec<&str> =
        node.list(&["status", "addresses"]).iter().filter_map(|address| address["address"].as_str()).collect();
    let ips: Vec<IpAddr> = addresses.iter().filter_map(|address| address.parse().ok()).collect();
    let own_names = request.dns_names.iter().all(|dns| dns == name || addresses.contains(&dns.as_str()));
    let own_ips = request.ips.iter().all(|ip| ips.contains(ip));
    let of_api = |dns: &String| dns == "localhost" || dns == API || dns.starts_with(&format!("{API}."));
    let lives = |node: &Object| {
        let conditions = node.list(&["status", "conditions"]);
        conditions.iter().any(|of| of["type"] == "Ready" && of["status"] == "True")
    };
    let others = view.list(Resource::NODES, "");
    let of_others = others.iter().filter(|other| other.name() != name && lives(other)).any(|other| {
        let addresses = other.list(&["status", "addresses"]).iter().filter_map(|of| of["address"].as_str());
        addresses.chain([other.name()]).any(|taken| {
            let ip = taken.parse::<IpAddr>().ok();
            request.dns_names.iter().any(|dns| dns == taken) || ip.is_some_and(|ip| request.ips.contains(&ip))
        })
    });
    let not_its_own = of_others || request.dns_names.iter().any(of_api) || request.ips.iter().any(IpAddr::is_loopback);
    (own_names && own_ips && !not_its_own)
        .then_some("Auto approving kubelet serving certificate for the addresses of its node.")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::authz::Rbac;
    use crate::csr::{CLIENT_SIGNER, new_request, node_client_spec, node_serving_spec, object};
    use crate::pki::LeafSpec;
    use crate::policy::bootstrap_policy;
    use crate::view::testing::Objects;

    fn decide(spec: &LeafSpec, signer: &str, user: &UserInfo) -> bool {
        let objects = Objects::default();
        for policy in bootstrap_policy() {
            objects.put(&format!("{}s", policy.kind().to_lowercase()), policy);
        }
        objects.apply(
            r#"
            nodes n1 status={"addresses":[{"address":"10.0.0.1"},{"address":"host-1"},{"address":"10.0.0.3"},{"address":"n3"},{"address":"kubernetes.default.svc"},{"address":"127.0.0.1"}]}
            nodes n3 status={"addresses":[{"address":"10.0.0.3"}],"conditions":[{"type":"Ready","status":"True"}]}
            nodes n4 status={"addresses":[{"address":"10.0.0.1"}],"conditions":[{"type":"Ready","status":"Unknown"}]}
            "#,
        );
        let objects = Arc::new(objects);
        let (pem, _) = new_request(spec).unwrap();
        let mut csr = object("a", signer, &pem);
        csr.set(&["spec", "username"], user.name.clone());
        csr.set(&["spec", "groups"], json!(user.groups));
        let request = Request::parse(&csr).unwrap();
        approve(&*objects, &Rbac::new(objects.clone()), &csr, &request).is_some()
    }

    #[test]
    fn joining_and_renewing_are_approved_and_nothing_else() {
        let joining = UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers"]);
        let node = UserInfo::new("system:node:n1", &["system:nodes"]);
        let jane = UserInfo::new("jane", &[]);
        let serving = |ip: &str| node_serving_spec("n1", vec![ip.parse().unwrap()]);
        let named = LeafSpec { dns_names: vec!["host-1".to_owned()], ..serving("10.0.0.1") };
        let called = |name: &str| LeafSpec { dns_names: vec![name.to_owned()], ..serving("10.0.0.1") };
        let foreign = LeafSpec { dns_names: vec!["kubernetes".to_owned()], ..serving("10.0.0.1") };
        for (spec, signer, user, expected) in [
            (node_client_spec("n2"), KUBELET_CLIENT_SIGNER, &joining, true),
            (node_client_spec("n1"), KUBELET_CLIENT_SIGNER, &node, true),
            (node_client_spec("n2"), KUBELET_CLIENT_SIGNER, &node, false),
            (node_client_spec("n1"), KUBELET_CLIENT_SIGNER, &jane, false),
            (LeafSpec::client("jane", &["dev"]), CLIENT_SIGNER, &jane, false),
            (serving("10.0.0.1"), KUBELET_SERVING_SIGNER, &node, true),
            (named, KUBELET_SERVING_SIGNER, &node, true),
            (foreign, KUBELET_SERVING_SIGNER, &node, false),
            (serving("10.0.0.2"), KUBELET_SERVING_SIGNER, &node, false),
            (serving("10.0.0.1"), KUBELET_SERVING_SIGNER, &joining, false),
            (serving("10.0.0.3"), KUBELET_SERVING_SIGNER, &node, false),
            (serving("127.0.0.1"), KUBELET_SERVING_SIGNER, &node, false),
            (called("n3"), KUBELET_SERVING_SIGNER, &node, false),
            (called("kubernetes.default.svc"), KUBELET_SERVING_SIGNER, &node, false),
        ] {
            assert_eq!(decide(&spec, signer, user), expected, "{spec:?} {}", user.name);
        }
    }
}

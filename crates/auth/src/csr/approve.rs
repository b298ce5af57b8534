//! Which requests are approved without anyone being asked.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use machinery::Object;
use serde_json::Value;

use super::{KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER, NODE_PREFIX, Request};
use crate::authz::reviews::spec_user;
use crate::authz::{Attributes, Authorizer};
use crate::view::{Resource, View};

/// The Service of the API, and what its names begin with.
const API: &str = "kubernetes";
/// A label of nodes that run a server.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// The message of the Approved condition; nothing if the request is left to an administrator.
pub fn approve(
    view: &dyn View,
    nodes: &Nodes,
    authorizer: &dyn Authorizer,
    csr: &Object,
    request: &Request,
) -> Option<&'static str> {
    request.check().ok()?;
    match request.signer.as_str() {
        KUBELET_CLIENT_SIGNER => approve_client(authorizer, csr, request),
        KUBELET_SERVING_SIGNER => approve_serving(view, nodes, request),
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
        // Who created the request, as the API server wrote it down then.
        user: spec_user(csr, "username"),
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

/// A node may serve under the names and addresses that its Node object lists, and asks for itself alone. As it writes
/// that list itself, it gets nothing by which the API or a Service is reached, and nothing of another node that is alive:
/// of one that is not it may be the successor.
fn approve_serving(view: &dyn View, nodes: &Nodes, request: &Request) -> Option<&'static str> {
    if request.username != request.subject_name {
        return None;
    }
    let name = request.subject_name.strip_prefix(NODE_PREFIX)?;
    let own = nodes.0.get(name)?;
    let ips = request.ips.iter().map(|ip| Host::Ip(ip.to_canonical()));
    let asked: BTreeSet<Host> = request.dns_names.iter().map(|dns| Host::of(dns)).chain(ips).collect();
    let of_others = nodes.0.iter().any(|(other, node)| other != name && node.lives && !node.hosts.is_disjoint(&asked));
    let of_api = || !own.is_control_plane && asked.iter().any(|host| api_addresses(view).contains(host));
    let its_own = asked.is_subset(&own.hosts) && !of_others && !asked.iter().any(Host::is_reserved) && !of_api();
    its_own.then_some("Auto approving kubelet serving certificate for the addresses of its node.")
}

/// Where nodes say that they are, by their names.
#[derive(Default)]
pub struct Nodes(HashMap<String, Place>);

#[derive(PartialEq)]
struct Place {
    /// Its name and its addresses.
    hosts: BTreeSet<Host>,
    lives: bool,
    /// Which no node can say of itself.
    is_control_plane: bool,
}

impl Nodes {
    /// Takes in what a node is now; answers whether anything of it is another.
    pub fn set(&mut self, node: &Object) -> bool {
        let addresses = node.list(&["status", "addresses"]).iter().filter_map(|of| of["address"].as_str());
        let conditions = node.list(&["status", "conditions"]);
        let place = Place {
            hosts: addresses.chain([node.name()]).map(Host::of).collect(),
            lives: conditions.iter().any(|of| of["type"] == "Ready" && of["status"] == "True"),
            is_control_plane: node.labels().contains_key(CONTROL_PLANE),
        };
        let changed = self.0.get(node.name()) != Some(&place);
        self.0.insert(node.name().to_owned(), place);
        changed
    }

    /// Answers whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }
}

/// What a certificate is shown for, as those compare it who call: names whatever their case, IPv4 addresses whatever
/// their form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Host {
    fn of(text: &str) -> Self {
        match text.parse::<IpAddr>() {
            Ok(ip) => Self::Ip(ip.to_canonical()),
            Err(_) => Self::Name(text.trim_end_matches('.').to_ascii_lowercase()),
        }
    }

    /// Whether it is no node's, whatever a node says: its own machine, the API, a Service, or several hosts at once.
    fn is_reserved(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback() || ip.is_unspecified(),
            Self::Name(name) => {
                let first = name.split('.').next().unwrap_or_default();
                let of_service = name.ends_with(".svc") || name.ends_with(".cluster.local");
                name.contains('*') || ["localhost", API].contains(&first) || of_service
            }
        }
    }
}

/// Where the API answers: the addresses of its Service, and those behind it.
fn api_addresses(view: &dyn View) -> BTreeSet<Host> {
    let text = |value: &Value| value.as_str().map(Host::of);
    let service = view.get(Resource::SERVICES, "default", API).unwrap_or_default();
    let slice = view.get(Resource::ENDPOINT_SLICES, "default", API).unwrap_or_default();
    let behind = slice.list(&["endpoints"]).iter().filter_map(|of| of["addresses"].as_array()).flatten();
    service.list(&["spec", "clusterIPs"]).iter().chain(behind).filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use machinery::UserInfo;
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
            nodes n3 status={"addresses":[{"address":"10.0.0.3"}],"conditions":[{"type":"Ready","status":"True"}]}
            nodes n4 status={"addresses":[{"address":"10.0.0.1"}],"conditions":[{"type":"Ready","status":"Unknown"}]}
            nodes n5 metadata.labels={"node-role.kubernetes.io/control-plane":""} status={"addresses":[{"address":"10.0.0.9"}]}
            services/default kubernetes spec={"clusterIPs":["10.43.0.1"]}
            endpointslices/default kubernetes endpoints=[{"addresses":["10.0.0.9"]}]
            "#,
        );
        // A node lists whatever it likes.
        let mut own = Object::default();
        own.set(&["metadata", "name"], "n1");
        own.set(&["status", "addresses"], LISTED.map(|address| json!({"address": address})).to_vec());
        objects.put("nodes", own);
        let mut nodes = Nodes::default();
        for node in objects.list(Resource::NODES, "") {
            nodes.set(&node);
        }
        let objects = Arc::new(objects);
        let (pem, _) = new_request(spec).unwrap();
        let mut csr = object("a", signer, &pem);
        csr.set(&["spec", "username"], user.name.clone());
        csr.set(&["spec", "groups"], json!(user.groups));
        let request = Request::parse(&csr).unwrap();
        approve(&*objects, &nodes, &Rbac::new(objects.clone()), &csr, &request).is_some()
    }

    const LISTED: [&str; 15] = [
        "10.0.0.1",
        "Host-1",
        "10.0.0.3",
        "::ffff:10.0.0.3",
        "10.0.0.9",
        "10.43.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "n3",
        "N3",
        "kubernetes.default.svc",
        "Kubernetes.default.svc.",
        "*.default.svc",
        "guard.shop.svc.cluster.local",
        "*.example.com",
    ];

    #[test]
    fn joining_and_renewing_are_approved_and_nothing_else() {
        let joining = UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers"]);
        let node = UserInfo::new("system:node:n1", &["system:nodes"]);
        let jane = UserInfo::new("jane", &[]);
        let server = UserInfo::new("system:node:n5", &["system:nodes"]);
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
            (called("HOST-1"), KUBELET_SERVING_SIGNER, &node, true),
            (called("host-2"), KUBELET_SERVING_SIGNER, &node, false),
            (node_serving_spec("n5", vec!["10.0.0.9".parse().unwrap()]), KUBELET_SERVING_SIGNER, &server, true),
        ] {
            assert_eq!(decide(&spec, signer, user), expected, "{spec:?} {}", user.name);
        }
        for listed in &LISTED[2..] {
            let spec = listed.parse::<IpAddr>().map_or_else(|_| called(listed), |_| serving(listed));
            assert!(!decide(&spec, KUBELET_SERVING_SIGNER, &node), "{listed}");
        }
    }
}

//! People, programs and machines that try to get more than they were given: each with credentials of its own, over HTTP.

use std::collections::BTreeMap;
use std::fs;

use auth::csr::{self, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER};
use auth::pki::LeafSpec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::{Cluster, Output, bearer, until};

/// Two machines that never came, with a pod each; a developer with many rights; an approver with half of what it takes.
const WORLD: &str = r#"
---
{apiVersion: v1, kind: Namespace, metadata: {name: vault}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: admin, namespace: vault}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: vault-admin},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
 subjects: [{kind: ServiceAccount, name: admin, namespace: vault}]}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {taints: [{key: a, effect: NoSchedule}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n3}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s2}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s3}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: builder}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p2}, spec: {nodeName: n2, containers: [{name: a, image: a, envFrom: [{secretRef: {name: s2}}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p3}, spec: {nodeName: n3, serviceAccountName: builder, containers: [{name: a, image: a, envFrom: [{secretRef: {name: s3}}]}]}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: developer}, rules: [
  {apiGroups: [rbac.authorization.k8s.io], resources: ["*"], verbs: [get, create, update, patch, delete]},
  {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [create, get]},
  {apiGroups: [""], resources: [users], resourceNames: [joe], verbs: [impersonate]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: developer},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: developer},
 subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: pods}, rules: [
  {apiGroups: [""], resources: [pods], verbs: [create, get]},
  {apiGroups: [""], resources: [serviceaccounts], verbs: [create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: pods},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: pods},
 subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}, {kind: ServiceAccount, name: builder, namespace: default}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: prober}, rules: [
  {apiGroups: [""], resources: [services/proxy, pods/proxy, nodes/proxy], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: prober},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: prober},
 subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: prober}]}
---
{apiVersion: v1, kind: Service, metadata: {name: sly}, spec: {clusterIP: None, ports: [{port: 443}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: sly, labels: {kubernetes.io/service-name: sly}},
 addressType: IPv4, ports: [{name: "", port: 6443}], endpoints: [{addresses: [10.43.0.10], conditions: {ready: true}}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: approver}, rules: [
  {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests, certificatesigningrequests/approval, certificatesigningrequests/status], verbs: [get, update, patch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: approver},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: approver},
 subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: approver}]}
"#;

/// Who: what (a method, a path, perhaps headers, perhaps a body after `|`); below it the status, and what its message
/// holds. Words with a dollar stand for what [`World::ask`] puts there.
const TABLE: &str = r#"
jane: GET /api/v1/secrets Impersonate-User:admin
    403 users "admin" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope
jane: GET /api/v1/secrets Impersonate-User:joe Impersonate-Group:system:masters
    403 groups "system:masters" is forbidden: User "jane" cannot impersonate resource "groups" in API group "" at the cluster scope
jane: GET /api Impersonate-User:joe Impersonate-Extra-scopes:all
    403 cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope
jane: GET /api Impersonate-User:joe Impersonate-Uid:1
    403 cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope
jane: GET /api/v1/secrets Impersonate-User:joe
    403 secrets is forbidden: User "joe" cannot list resource "secrets" in API group "" at the cluster scope
jane: GET /api/v1/secrets X-Remote-User:admin X-Remote-Group:system:masters
    403 secrets is forbidden: User "jane" cannot list resource "secrets"
nobody: GET /api/v1/secrets X-Remote-User:admin X-Remote-Group:system:masters
    401 Unauthorized
jane: GET /api Impersonate-User:jürgen
    403 users "jürgen" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope
jane: GET /api Impersonate-User:joe Impersonate-Group:büro
    403 groups "büro" is forbidden
jane: GET /api Impersonate-User:system:serviceaccount:default:a:b
    403 users "system:serviceaccount:default:a:b" is forbidden
builder: GET /api Impersonate-User:system:serviceaccount:vault:admin
    403 serviceaccounts "admin" is forbidden: User "system:serviceaccount:default:builder" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "vault"
n2: GET /api Impersonate-User:system:node:n3
    403 cannot impersonate resource "users"

jane: POST $rbac/namespaces/default/rolebindings | {kind: RoleBinding, $bind: cluster-admin}}
    403 user "jane" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
jane: POST $rbac/clusterrolebindings | {kind: ClusterRoleBinding, $bind: cluster-admin}}
    403 is attempting to grant RBAC permissions not currently held:
jane: POST $rbac/clusterrolebindings | {kind: ClusterRoleBinding, $bind: "system:node"}}
    403 is attempting to grant RBAC permissions not currently held:
jane: PATCH $rbac/clusterrolebindings/x?fieldManager=jane&force=true Content-Type:application/apply-patch+yaml | {kind: ClusterRoleBinding, $bind: cluster-admin}}
    403 is attempting to grant RBAC permissions not currently held:
jane: POST $rbac/namespaces/default/roles | {kind: Role, $named, rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]}
    403 {APIGroups:[""], Resources:["secrets"], Verbs:["get"]}
jane: POST $rbac/clusterroles | {kind: ClusterRole, $named, rules: [{nonResourceURLs: [/metrics], verbs: [get]}]}
    403 {NonResourceURLs:["/metrics"], Verbs:["get"]}
jane: POST $rbac/clusterroles | {kind: ClusterRole, $named, aggregationRule: {clusterRoleSelectors: [{}]}}
    403 must have cluster-admin privileges to use the aggregationRule
jane: PATCH $rbac/namespaces/default/roles/pods Content-Type:application/json-patch+json | [{"op":"replace","path":"/rules/0/resources","value":["*"]}]
    403 is attempting to grant RBAC permissions not currently held:
jane: POST $rbac/namespaces/default/roles | {kind: Role, $named, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}
    201
builder: POST $rbac/namespaces/default/rolebindings | {kind: RoleBinding, $bind: view}}
    403 cannot create resource "rolebindings" in API group "rbac.authorization.k8s.io" in the namespace "default"
jane: POST /apis/apiregistration.k8s.io/v1/apiservices | {kind: APIService, apiVersion: apiregistration.k8s.io/v1, metadata: {name: v1.acme.dev}}
    403 cannot create resource "apiservices"
jane: POST /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations | {kind: MutatingWebhookConfiguration, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: x}}
    403 cannot create resource "mutatingwebhookconfigurations"

jane: POST $pods | {$pod}, spec: {serviceAccountName: admin, $containers}}
    403 error looking up service account default/admin: serviceaccount "admin" not found
jane: POST /api/v1/namespaces/vault/pods | {$pod}, spec: {serviceAccountName: admin, $containers}}
    403 cannot create resource "pods" in API group "" in the namespace "vault"
jane: POST $accounts/builder/token | {$token {}}
    403 cannot create resource "serviceaccounts/token"
builder: POST $accounts/builder/token | {$token {}}
    403 cannot create resource "serviceaccounts/token"
jane: POST $pods/p3/exec?command=sh&stdout=1
    403 cannot create resource "pods/exec"
jane: GET $pods/p3/exec?command=sh&stdout=1 Connection:Upgrade Upgrade:websocket
    403 cannot get resource "pods/exec"
jane: PATCH $pods/p3/ephemeralcontainers | {"spec":{"ephemeralContainers":[{"name":"x","image":"x"}]}}
    403 cannot patch resource "pods/ephemeralcontainers"
jane: POST $pods/p3/binding | {kind: Binding, apiVersion: v1, metadata: {name: p3}, target: {kind: Node, name: n1}}
    403 cannot create resource "pods/binding"
jane: GET /api/v1/nodes/n1/proxy/pods
    403 cannot get resource "nodes/proxy"

prober: GET /api/v1/namespaces/default/services/https:kubernetes:443/proxy/api/v1/secrets
    503 no endpoints available for service "kubernetes"
prober: GET /api/v1/namespaces/default/services/https:sly:443/proxy/api/v1/secrets
    503 no endpoints available for service "sly"
prober: GET /api/v1/nodes/https:n1:6443/proxy/api/v1/secrets
    401 Unauthorized
prober: GET /api/v1/nodes/https:n1:10250/proxy/healthz
    200
prober: GET /api/v1/nodes/n1/proxy/exec/default/p3/a?command=id Connection:Upgrade Upgrade:websocket
    403 cannot create resource "nodes/proxy"
prober: GET /api/v1/watch/nodes/n1/proxy/healthz
    403 cannot watch resource "nodes/proxy"

n2: POST $accounts/builder/token | {$token {boundObjectRef: {apiVersion: v1, kind: Pod, name: p3, uid: $p3}}}
    403 no relationship found between node 'n2' and this object
n2: POST $accounts/default/token | {$token {}}
    403 node requested token not bound to a pod
n2: POST $accounts/default/token | {$token {boundObjectRef: {apiVersion: v1, kind: Pod, name: p3, uid: $p3}}}
    403 node requested token bound to a pod scheduled on a different node
n2: POST $accounts/default/token | {$token {boundObjectRef: {apiVersion: v1, kind: Pod, name: p2, uid: $p3}}}
    403 the UID in the bound object reference ($p3) does not match the UID in record. The object might have been deleted and then recreated
n2: POST $accounts/default/token | {$token {boundObjectRef: {apiVersion: v1, kind: Pod, name: p2, uid: $p2}}}
    201
n2: POST $pods | {$pod}, spec: {nodeName: n2, $containers}}
    403 pod does not have "kubernetes.io/config.mirror" annotation, node "n2" can only create mirror pods
n2: POST $pods | {$pod, $mirror}, spec: {nodeName: n3, $containers}}
    403 node "n2" can only create pods with spec.nodeName set to itself
n2: POST $pods | {$pod, $mirror}, spec: {nodeName: n2, serviceAccountName: builder, $containers}}
    403 node "n2" can not create pods that reference serviceaccounts
n2: POST $pods | {$pod, $mirror}, spec: {nodeName: n2, volumes: [{name: v, secret: {secretName: s3}}], $containers}}
    403 node "n2" can not create pods that reference secrets
n2: PATCH $pods/p3/status | {"status":{"phase":"Failed"}}
    403 node "n2" can only update pod status for pods with spec.nodeName set to itself
n2: PATCH $pods/p2/status | {"metadata":{"labels":{"app":"web"}}}
    403 node "n2" cannot update labels through pod status
n2: DELETE $pods/p3
    403 node "n2" can only delete pods with spec.nodeName set to itself
n2: POST $pods/p3/eviction | {kind: Eviction, apiVersion: policy/v1, metadata: {name: p3}}
    403 node n2 can only evict pods with spec.nodeName set to itself

n2: GET $secrets/s2
    200
n2: GET $secrets/s3
    403 secrets "s3" is forbidden: User "system:node:n2" cannot get resource "secrets" in API group "" in the namespace "default": no relationship found between node 'n2' and this object
n2: GET $secrets?fieldSelector=metadata.name=s3
    403 no relationship found between node 'n2' and this object
n2: GET $secrets
    403 cannot list resource "secrets" in API group "" in the namespace "default"
n2: PATCH $secrets/s2 | {}
    403 cannot patch resource "secrets"
n2: PATCH /api/v1/nodes/n3 | {"metadata":{"labels":{"a":"b"}}}
    403 node "n2" is not allowed to modify node "n3"
n2: PATCH /api/v1/nodes/n2 | {"metadata":{"labels":{"node-restriction.kubernetes.io/a":"b"}}}
    403 is not allowed to modify labels: node-restriction.kubernetes.io/a
n2: PATCH /api/v1/nodes/n2 | {"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}}
    403 is not allowed to modify labels: node-role.kubernetes.io/control-plane
n2: PATCH /api/v1/nodes/n2 | {"spec":{"taints":[]}}
    403 node "n2" is not allowed to modify taints
n2: POST /api/v1/nodes | {kind: Node, apiVersion: v1, metadata: {name: n9}}
    403 node "n2" is not allowed to modify node "n9"
n2: DELETE /api/v1/nodes/n2
    403 cannot delete resource "nodes"
n2: POST $leases | {kind: Lease, apiVersion: coordination.k8s.io/v1, metadata: {name: n3}}
    403 can only access node lease with the same name as the requesting node
n2: GET $leases/n3
    403 can only access node lease with the same name as the requesting node
n2: GET /api/v1/nodes/n1/proxy/pods
    403 cannot get resource "nodes/proxy"
named as n2: GET $secrets/s2
    403 User "system:node:n2" cannot get resource "secrets"

jane: POST $requests | $masters
    403 use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed
jane: POST $requests | $of-jane
    201
jane: POST $requests | $of-n9-by-jane
    201
jane: PATCH $requests/of-jane/approval | $approved
    403 cannot patch resource "certificatesigningrequests/approval"
approver: PATCH $requests/of-jane/approval | $approved
    403 user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"
approver: PATCH $requests/of-jane/status | {"status":{"certificate":"$certificate"}}
    403 user not permitted to sign requests with signerName "kubernetes.io/kube-apiserver-client"
n2: POST $requests | $of-n3-by-n2
    403 can only create a node CSR with CN=system:node:n2
n2: POST $requests | $serving-n3-by-n2
    403 can only create a node CSR with CN=system:node:n2
joining: POST $requests | $of-n9-by-joining
    201
joining: POST $requests | $of-admin-by-joining
    201
joining: GET $secrets
    403 User "system:bootstrap:
joining: GET /api/v1/nodes
    403 cannot list resource "nodes"

gone: GET /api
    401 Unauthorized
for another: GET /api
    401 Unauthorized
cut: GET /api
    401 Unauthorized
without signature: GET /api
    401 Unauthorized
of another key: GET /api
    401 Unauthorized
made up: GET /api
    401 Unauthorized
"#;

const WORDS: &[(&str, &str)] = &[
    ("$rbac", "/apis/rbac.authorization.k8s.io/v1"),
    ("$requests", "/apis/certificates.k8s.io/v1/certificatesigningrequests"),
    ("$leases", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"),
    ("$pods", "/api/v1/namespaces/default/pods"),
    ("$secrets", "/api/v1/namespaces/default/secrets"),
    ("$accounts", "/api/v1/namespaces/default/serviceaccounts"),
    (
        "$bind",
        "$named, subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: jane}], roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name",
    ),
    ("$named", "apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: x}"),
    ("$pod", "kind: Pod, apiVersion: v1, metadata: {name: x"),
    (
        "$mirror",
        "annotations: {kubernetes.io/config.mirror: x}, ownerReferences: [{apiVersion: v1, kind: Node, name: n2, uid: $n2, controller: true}]",
    ),
    ("$containers", "containers: [{name: a, image: a}]"),
    ("$token", "kind: TokenRequest, apiVersion: authentication.k8s.io/v1, spec:"),
    ("$approved", r#"{"status":{"conditions":[{"type":"Approved","status":"True","reason":"a"}]}}"#),
];

/// Requests for certificates by name: for whom, in which groups, by which signer.
const REQUESTS: &[(&str, &str, &str, &str)] = &[
    ("masters", "jane", "system:masters", CLIENT),
    ("of-jane", "jane", "ops", CLIENT),
    ("of-n9-by-jane", "system:node:n9", "system:nodes", KUBELET_CLIENT_SIGNER),
    ("of-n3-by-n2", "system:node:n3", "system:nodes", KUBELET_CLIENT_SIGNER),
    ("serving-n3-by-n2", "system:node:n3", "system:nodes", KUBELET_SERVING_SIGNER),
    ("of-n9-by-joining", "system:node:n9", "system:nodes", KUBELET_CLIENT_SIGNER),
    ("of-admin-by-joining", "admin", "ops", CLIENT),
];
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

struct World {
    cluster: Cluster,
    /// What curl shows for each of them.
    credentials: BTreeMap<&'static str, Vec<String>>,
    /// What words with a dollar stand for.
    words: Vec<(String, String)>,
}

impl World {
    fn new() -> World {
        let cluster = Cluster::start_without_image();
        cluster.apply(WORLD);
        let words = WORDS.iter().map(|(word, text)| ((*word).to_owned(), (*text).to_owned())).collect();
        let mut world = World { cluster, credentials: BTreeMap::new(), words };
        for (who, name, groups) in [
            ("jane", "jane", &["dev"][..]),
            ("approver", "approver", &[]),
            ("prober", "prober", &[]),
            ("n2", "system:node:n2", &["system:nodes"]),
            ("named as n2", "system:node:n2", &["dev"]),
        ] {
            let shown = world.cluster.shows(&world.cluster.authority("ca"), name, groups);
            world.credentials.insert(who, shown);
        }
        world.give_tokens();
        for (name, object) in [("$p2", "pod p2"), ("$p3", "pod p3"), ("$n2", "node n2")] {
            let uid = world.cluster.field(object, ".metadata.uid");
            world.words.push((name.to_owned(), uid));
        }
        let certificate = fs::read(world.cluster.data_dir().join("pki/ca.crt")).expect("the server has one");
        world.words.push(("$certificate".to_owned(), STANDARD.encode(certificate)));
        for (name, common_name, group, signer) in REQUESTS {
            let spec = match *signer {
                KUBELET_SERVING_SIGNER => csr::node_serving_spec("n3", vec![]),
                _ => LeafSpec::client(*common_name, &[group]),
            };
            let (request, _) = csr::new_request(&spec).expect("a request is made");
            let mut object = csr::object(name, signer, &request).into_value();
            // Who asks is for the server to say.
            object["spec"]["username"] = "system:node:n9".into();
            object["spec"]["groups"] = serde_json::json!(["system:masters"]);
            world.words.push((format!("${name}"), object.to_string()));
        }
        world
    }

    fn give_tokens(&mut self) {
        let token = |line: &str| self.cluster.kubectl(line).trim().to_owned();
        let (builder, another) = (token("create token builder"), token("create token builder --audience=vault"));
        self.cluster.kubectl("create serviceaccount gone");
        let gone = token("create token gone");
        self.cluster.kubectl("delete serviceaccount gone");
        let joining = self.cluster.keelson(&["token", "create"]).succeeds();
        let parts: Vec<&str> = builder.split('.').collect();
        let other_signature = another.rsplit('.').next().expect("it has three parts");
        for (who, token) in [
            ("gone", gone),
            ("cut", builder[..builder.len() - 4].to_owned()),
            // {"alg":"none"}, and the claims of a token that is good.
            ("without signature", format!("eyJhbGciOiJub25lIn0.{}.", parts[1])),
            ("of another key", format!("{}.{}.{other_signature}", parts[0], parts[1])),
            ("made up", "admin".to_owned()),
            // PREFIX.FINGERPRINT.ID.SECRET
            ("joining", joining.trim().splitn(3, '.').last().expect("it has parts").to_owned()),
            ("for another", another),
            ("builder", builder),
        ] {
            self.credentials.insert(who, bearer(&token));
        }
        self.credentials.insert("nobody", Vec::new());
    }

    /// A text with what its words stand for; those that begin alike are replaced longest first.
    fn meant(&self, text: &str) -> String {
        let mut words: Vec<&(String, String)> = self.words.iter().collect();
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        let once = |text: String| words.iter().fold(text, |text, (word, meaning)| text.replace(word.as_str(), meaning));
        // What a word stands for may hold others.
        once(once(text.to_owned()))
    }

    /// The status and the message of the answer.
    fn ask(&self, who: &str, what: &str) -> (u16, String) {
        let what = self.meant(what);
        let (head, body) = what.split_once(" | ").unwrap_or((&what, ""));
        let mut words = head.split_whitespace();
        let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
        let mut curl = self.cluster.machine.command("curl");
        curl.args(["--silent", "--insecure", "--http1.1", "--max-time", "10", "--request", method]);
        curl.args(&self.credentials[who]).args(["--write-out", "\n%{http_code}"]);
        let own = if method == "PATCH" { "merge-patch+json" } else { "yaml" };
        let own = format!("Content-Type: application/{own}");
        let headers: Vec<String> = words.map(|header| header.replacen(':', ": ", 1)).collect();
        let own = (!headers.iter().any(|header| header.starts_with("Content-Type"))).then_some(&own);
        for header in headers.iter().chain(own) {
            curl.args(["--header", header]);
        }
        if !body.is_empty() {
            curl.args(["--data-binary", body]);
        }
        let answer = Output::of(curl.arg(format!("https://127.0.0.1:6443{path}"))).stdout;
        let (answer, status) = answer.rsplit_once('\n').expect("curl writes the status last");
        let answer: Value = serde_json::from_str(answer).unwrap_or_default();
        (status.parse().unwrap_or_default(), answer["message"].as_str().unwrap_or_default().to_owned())
    }

    /// All that were not answered as the table says.
    fn walk(&self) -> Vec<String> {
        let lines: Vec<&str> = TABLE.lines().filter(|line| !line.is_empty()).collect();
        let wrong = |row: &[&str]| {
            let (who, what) = row[0].split_once(": ").expect("somebody does something");
            let (status, message) = row[1].trim().split_once(' ').unwrap_or((row[1].trim(), ""));
            let (found, said) = self.ask(who, what);
            let right = found.to_string() == status && said.contains(&self.meant(message));
            (!right).then(|| format!("{who}: {what}\n  found  {found} {said}\n  wanted {status} {message}"))
        };
        lines.chunks(2).filter_map(wrong).collect()
    }

    /// What was asked for by names of others waits for a person, and says who asked.
    fn check_requests(&self) {
        let field = |name: &str, path: &str| self.cluster.field(&format!("csr {name}"), path);
        self.cluster.until_field("csr of-n9-by-joining", ".status.conditions[0].type", "Approved");
        for name in ["of-jane", "of-n9-by-jane"] {
            assert_eq!(field(name, ".spec.username"), "jane", "{name}");
            assert_eq!(field(name, ".status.conditions"), "", "{name}");
        }
        assert_eq!(field("of-admin-by-joining", ".status.conditions"), "");
    }
}

#[test]
fn nobody_gets_more_than_they_were_given() {
    let world = World::new();
    until("roles count", || (world.ask("jane", "GET $pods/p3").0 == 200).then_some(()));
    let wrong = world.walk();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    world.check_requests();
}

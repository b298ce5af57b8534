//! The objects that every server has: those without which it can not work, and those that upstream suggests.
//! (upstream: apiserver/pkg/apis/flowcontrol/bootstrap)

use kinds::flowcontrol::mandatory;
use machinery::{Object, UserInfo};
use serde_json::{Value, json};

/// Says whether the server keeps the specification as it should be.
pub const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// Set right whenever they are not as here, whatever someone says of them.
pub const MANDATORY: [&str; 2] = [mandatory::EXEMPT, mandatory::CATCH_ALL];

const VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";

pub fn levels() -> Vec<Object> {
    let mandatory = MANDATORY.map(|name| (name, mandatory::level(name).expect("it has to be")));
    let limited = [
        ("system", 30, 33, 64, 6),
        ("node-high", 40, 25, 64, 6),
        ("leader-election", 10, 0, 16, 4),
        ("workload-high", 40, 50, 128, 6),
        ("workload-low", 100, 90, 128, 6),
        ("global-default", 20, 50, 128, 6),
    ];
    let limited = limited.map(|(name, shares, lendable, queues, hand)| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        let spec = json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing},
        }});
        (name, spec)
    });
    let all = mandatory.into_iter().chain(limited);
    all.map(|(name, spec)| object("PriorityLevelConfiguration", name, spec)).collect()
}

pub fn schemas() -> Vec<Object> {
    let managers = || users(&["system:kube-controller-manager", "system:kube-scheduler"]);
    let accounts = || vec![account("*")];
    let leases = || on(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false);
    let everyone = || groups(&[UserInfo::UNAUTHENTICATED, UserInfo::AUTHENTICATED]);
    let probes = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]});
    let own_leases = on(&["*"], "coordination.k8s.io", &["leases"], false);
    let own_node = vec![on(&["*"], "", &["nodes", "nodes/status"], true), own_leases];
    vec![
        mandatory_schema(mandatory::EXEMPT),
        schema("probes", "exempt", 2, "", json!({"subjects": everyone(), "nonResourceRules": [probes]})),
        schema(
            "system-leader-election",
            "leader-election",
            100,
            "ByUser",
            rule(managers().into_iter().chain(accounts()).collect(), vec![leases()]),
        ),
        schema("system-node-high", "node-high", 400, "ByUser", rule(groups(&["system:nodes"]), own_node)),
        schema("system-nodes", "system", 500, "ByUser", all(groups(&["system:nodes"]))),
        schema(
            "kube-controller-manager",
            "workload-high",
            800,
            "ByNamespace",
            all(users(&["system:kube-controller-manager"])),
        ),
        schema("kube-scheduler", "workload-high", 800, "ByNamespace", all(users(&["system:kube-scheduler"]))),
        schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", all(accounts())),
        schema("service-accounts", "workload-low", 9000, "ByUser", all(groups(&["system:serviceaccounts"]))),
        schema("global-default", "global-default", 9900, "ByUser", all(everyone())),
        mandatory_schema(mandatory::CATCH_ALL),
    ]
}

fn object(kind: &str, name: &str, spec: Value) -> Object {
    let metadata = json!({"name": name, "annotations": {AUTOUPDATE: "true"}});
    let object = json!({"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec});
    Object::from_value(object).expect("the literals here are objects")
}

fn mandatory_schema(name: &str) -> Object {
    object("FlowSchema", name, mandatory::schema(name).expect("it has to be"))
}

fn schema(name: &str, level: &str, precedence: u32, distinguisher: &str, rule: Value) -> Object {
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
    });
    if !distinguisher.is_empty() {
        spec["distinguisherMethod"] = json!({"type": distinguisher});
    }
    object("FlowSchema", name, spec)
}

fn all(subjects: Vec<Value>) -> Value {
    let mut rule = rule(subjects, vec![on(&["*"], "*", &["*"], true)]);
    rule["nonResourceRules"] = json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
    rule
}

fn rule(subjects: Vec<Value>, resources: Vec<Value>) -> Value {
    json!({"subjects": subjects, "resourceRules": resources})
}

fn on(verbs: &[&str], group: &str, resources: &[&str], cluster_scope: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
    if cluster_scope {
        rule["clusterScope"] = json!(true);
    }
    rule
}

fn users(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect()
}

fn groups(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
}

/// A service account of the namespace of system components.
fn account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}})
}

//! A node, with what runs on it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use machinery::Quantity;
use machinery::percent::encode;
use serde_json::Value;

use super::generic;
use super::text::{Text, items, pairs, plain, text};
use crate::Result;
use crate::ages::{age, long_date};
use crate::connection::{Session, with_query};

const ROLE: &str = "node-role.kubernetes.io/";

/// Pods on the node that have not ended.
pub async fn pods(session: &Session, node: &Value) -> Result<Vec<Value>> {
    let name = text(&node["metadata"]["name"]);
    let selector = format!("spec.nodeName={name},status.phase!=Failed,status.phase!=Succeeded");
    let mut list = session.get(&with_query("/api/v1/pods", &[("fieldSelector", &selector)])).await?;
    Ok(serde_json::from_value(list["items"].take())?)
}

/// The lease by which the node shows that it lives.
pub async fn lease(session: &Session, node: &Value) -> Result<Option<Value>> {
    let name = encode(text(&node["metadata"]["name"]));
    match session.get(&format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")).await {
        Ok(lease) => Ok(Some(lease)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn describe(to: &mut Text, node: &Value, pods: &[Value], lease: Option<&Value>, now: Timestamp) {
    let (metadata, spec, status) = (&node["metadata"], &node["spec"], &node["status"]);
    to.head(node);
    to.field(0, "Roles", roles(metadata));
    to.labels(0, &metadata["labels"]);
    to.annotations(0, &metadata["annotations"]);
    to.field(0, "CreationTimestamp", long_date(text(&metadata["creationTimestamp"])));
    to.values(0, "Taints", &items(&spec["taints"]).iter().map(taint).collect::<Vec<_>>());
    to.field(0, "Unschedulable", spec["unschedulable"] == true);
    if let Some(lease) = lease {
        to.line(0, "Lease:");
        to.field(1, "HolderIdentity", text(&lease["spec"]["holderIdentity"]));
        to.field(1, "AcquireTime", "<unset>");
        to.field(1, "RenewTime", long_date(text(&lease["spec"]["renewTime"])));
    }
    conditions(to, status);
    to.line(0, "Addresses:");
    for address in items(&status["addresses"]) {
        to.field(1, text(&address["type"]), text(&address["address"]));
    }
    for (title, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        to.line(0, &format!("{title}:"));
        pairs(&status[field], ":\t").iter().for_each(|amount| to.line(1, amount));
    }
    to.line(0, "System Info:");
    for (name, value) in status["nodeInfo"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_object()) {
        to.field(1, &generic::words(name), plain(value));
    }
    to.optional(0, "PodCIDR", text(&spec["podCIDR"]));
    to.optional(0, "ProviderID", text(&spec["providerID"]));
    running(to, node, pods, now);
}

fn roles(metadata: &Value) -> String {
    let labels = metadata["labels"].as_object().into_iter().flatten();
    let roles: Vec<&str> = labels.filter_map(|(name, _)| name.strip_prefix(ROLE)).collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn taint(taint: &Value) -> String {
    let value = match text(&taint["value"]) {
        "" => String::new(),
        value => format!("={value}"),
    };
    format!("{}{value}:{}", text(&taint["key"]), text(&taint["effect"]))
}

fn conditions(to: &mut Text, status: &Value) {
    let row = |of: &Value| {
        let date = |field: &str| long_date(text(&of[field]));
        let word = |field: &str| text(&of[field]).to_owned();
        let times = [date("lastHeartbeatTime"), date("lastTransitionTime")];
        let [heartbeat, transition] = times;
        vec![word("type"), word("status"), heartbeat, transition, word("reason"), word("message")]
    };
    let headers = ["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"];
    to.line(0, "Conditions:");
    to.table(1, &headers, &items(&status["conditions"]).iter().map(row).collect::<Vec<_>>());
}

/// What one pod asks for, or what all do: resource to amount, in thousandths.
type Amounts = BTreeMap<String, i128>;

/// The larger of what the containers want together and what any one init container wants, and the overhead.
fn wanted(pod: &Value, field: &str) -> Amounts {
    let of = |container: &Value| amounts(&container["resources"][field]);
    let mut total = Amounts::new();
    let sidecars = items(&pod["spec"]["initContainers"]).iter().filter(|one| one["restartPolicy"] == "Always");
    for container in items(&pod["spec"]["containers"]).iter().chain(sidecars) {
        add(&mut total, &of(container));
    }
    for container in items(&pod["spec"]["initContainers"]) {
        for (name, amount) in of(container) {
            let most = total.entry(name).or_default();
            *most = (*most).max(amount);
        }
    }
    add(&mut total, &amounts(&pod["spec"]["overhead"]));
    total
}

fn amounts(resources: &Value) -> Amounts {
    let fields = resources.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), milli(value))).collect()
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *total.entry(name.clone()).or_default() += amount;
    }
}

fn milli(value: &Value) -> i128 {
    plain(value).parse::<Quantity>().map(|quantity| quantity.milli_value()).unwrap_or_default()
}

/// `100m (5%)` of what the node has.
fn share(amount: i128, node: &Value, resource: &str) -> String {
    let all = milli(&node["status"]["allocatable"][resource]);
    let percent = if all > 0 { amount * 100 / all } else { 0 };
    format!("{} ({percent}%)", readable(amount, resource))
}

/// Memory in binary units where it comes out even.
fn readable(milli: i128, resource: &str) -> String {
    if resource == "cpu" {
        return if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") };
    }
    let bytes = milli / 1000;
    for (unit, size) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if bytes > 0 && bytes % size == 0 {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

fn running(to: &mut Text, node: &Value, pods: &[Value], now: Timestamp) {
    to.field(0, "Non-terminated Pods", format!("({} in total)", pods.len()));
    let row = |pod: &Value| {
        let (requests, limits) = (wanted(pod, "requests"), wanted(pod, "limits"));
        let of = |amounts: &Amounts, name: &str| share(amounts.get(name).copied().unwrap_or_default(), node, name);
        let metadata = &pod["metadata"];
        vec![
            text(&metadata["namespace"]).to_owned(),
            text(&metadata["name"]).to_owned(),
            of(&requests, "cpu"),
            of(&limits, "cpu"),
            of(&requests, "memory"),
            of(&limits, "memory"),
            age(text(&metadata["creationTimestamp"]), now),
        ]
    };
    let headers = ["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"];
    to.table(1, &headers, &pods.iter().map(row).collect::<Vec<_>>());
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    for pod in pods {
        add(&mut requests, &wanted(pod, "requests"));
        add(&mut limits, &wanted(pod, "limits"));
    }
    to.line(0, "Allocated resources:");
    to.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    let names = ["cpu", "memory", "ephemeral-storage"];
    let total = |name: &&str| {
        let of = |amounts: &Amounts| share(amounts.get(*name).copied().unwrap_or_default(), node, name);
        vec![(*name).to_owned(), of(&requests), of(&limits)]
    };
    to.table(1, &["Resource", "Requests", "Limits"], &names.iter().map(total).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_lists_its_pods_and_what_they_take() {
        let node = json!({"metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}, "nodeInfo": {"machineID": "m"},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}});
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
            "initContainers": [{"resources": {"requests": {"cpu": "1"}}}]}});
        let mut text = Text::default();
        describe(&mut text, &node, &[pod], None, "2026-01-01T00:05:00Z".parse().unwrap());
        let text = text.aligned();
        for expected in [
            "Roles:              control-plane\n",
            "Taints:             k:NoSchedule\n",
            "  InternalIP:  10.0.0.1\n",
            "  Machine ID:         m\n",
            "  ns                  p     1 (50%)       0 (0%)      128Mi (12%)      0 (0%)         5m\n",
            "  cpu                1 (50%)      0 (0%)\n",
            "  memory             128Mi (12%)  0 (0%)\n",
        ] {
            assert!(text.contains(expected), "{expected}{text}");
        }
    }
}

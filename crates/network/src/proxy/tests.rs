use super::rules::compile;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

fn service(spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": spec})).unwrap()
}

/// `"10.0.0.1 n1 ready"`, `"10.0.0.2 n2 serving"`, `"10.0.0.3 n1 out"`.
fn slice(endpoints: &[&str]) -> EndpointSlice {
    let endpoint = |text: &&str| {
        let [address, node, state] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
        json!({"addresses": [address], "nodeName": node, "conditions": {
            "ready": state == "ready", "serving": state != "out", "terminating": state != "ready"}})
    };
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>()}))
    .unwrap()
}

/// The rules of node n1, a line each.
fn rules(spec: Value, endpoints: &[&str]) -> Vec<String> {
    let rules = compile([&service(spec)], [&slice(endpoints)], "n1", &["10.43.0.10".parse().unwrap()]);
    let balancers = rules.balancers.iter().map(|(name, of)| {
        let endpoints: Vec<String> = of.endpoints.iter().map(|(ip, port)| format!("{ip}:{port}")).collect();
        let masquerade = if of.masquerade { " masquerade" } else { "" };
        let sticky = if of.sticky { " sticky" } else { "" };
        format!("{name} -> {}{masquerade}{sticky}", endpoints.join(" "))
    });
    let addresses = rules.addresses.iter().map(|((ip, _, port), chain)| format!("{ip}:{port} {chain}"));
    let node_ports = rules.node_ports.iter().map(|((_, port), chain)| format!("*:{port} {chain}"));
    let refused = rules.refused.iter().map(|(ip, _, port)| format!("{ip}:{port} refused"));
    let refused_ports = rules.refused_node_ports.iter().map(|(_, port)| format!("*:{port} refused"));
    balancers.chain(addresses).chain(node_ports).chain(refused).chain(refused_ports).collect()
}

fn cluster_ip() -> Value {
    json!({"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"], "ports": [{"port": 80, "protocol": "TCP"}]})
}

fn node_port(policy: &str) -> Value {
    let mut spec = cluster_ip();
    spec["ports"][0]["nodePort"] = json!(30080);
    spec["externalTrafficPolicy"] = json!(policy);
    spec
}

#[test]
fn a_cluster_ip_leads_to_ready_endpoints() {
    assert_eq!(
        rules(cluster_ip(), &["10.0.0.1 n1 ready", "10.0.0.2 n2 ready", "10.0.0.3 n1 out"]),
        ["svc/shop/web/tcp/80 -> 10.0.0.1:8080 10.0.0.2:8080", "10.43.0.5:80 svc/shop/web/tcp/80",]
    );
}

#[test]
fn endpoints_that_terminate_serve_only_when_none_is_ready() {
    let terminating = ["10.0.0.1 n1 serving", "10.0.0.2 n2 serving"];
    assert_eq!(rules(cluster_ip(), &terminating)[0], "svc/shop/web/tcp/80 -> 10.0.0.1:8080 10.0.0.2:8080");
    let replaced = ["10.0.0.1 n1 serving", "10.0.0.3 n2 ready"];
    assert_eq!(rules(cluster_ip(), &replaced)[0], "svc/shop/web/tcp/80 -> 10.0.0.3:8080");
}

#[test]
fn a_service_without_endpoints_is_refused() {
    assert_eq!(rules(cluster_ip(), &["10.0.0.1 n1 out"]), ["10.43.0.5:80 refused"]);
    assert_eq!(rules(node_port("Cluster"), &[]), ["10.43.0.5:80 refused", "*:30080 refused"]);
}

#[test]
fn a_node_port_masquerades_unless_its_policy_is_local() {
    let endpoints = ["10.0.0.1 n1 ready", "10.0.0.2 n2 ready"];
    assert_eq!(
        rules(node_port("Cluster"), &endpoints),
        [
            "ext/shop/web/tcp/80 -> 10.0.0.1:8080 10.0.0.2:8080 masquerade",
            "svc/shop/web/tcp/80 -> 10.0.0.1:8080 10.0.0.2:8080",
            "10.43.0.5:80 svc/shop/web/tcp/80",
            "*:30080 ext/shop/web/tcp/80",
        ]
    );
    assert_eq!(rules(node_port("Local"), &endpoints)[0], "ext/shop/web/tcp/80 -> 10.0.0.1:8080");
    assert!(!rules(node_port("Local"), &endpoints[1..]).iter().any(|rule| rule.contains("30080")));
}

#[test]
fn affinity_makes_a_balancer_sticky() {
    let mut spec = cluster_ip();
    spec["sessionAffinity"] = json!("ClientIP");
    assert_eq!(rules(spec, &["10.0.0.1 n1 ready"])[0], "svc/shop/web/tcp/80 -> 10.0.0.1:8080 sticky");
}

#[test]
fn headless_and_reserved_addresses_get_no_rules() {
    for ip in ["None", "10.43.0.10"] {
        let spec = json!({"clusterIP": ip, "ports": [{"port": 80}]});
        assert!(rules(spec, &["10.0.0.1 n1 ready"]).is_empty(), "{ip}");
    }
}

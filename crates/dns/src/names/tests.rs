use super::*;
use serde_json::{Value, json};

fn service(name: &str, spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec})).unwrap()
}

fn names() -> Names {
    let services = Informer::detached();
    let port = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    services.apply(service("web", json!({"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"], "ports": port})));
    services.apply(service("db", json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": port})));
    services.apply(service("idle", json!({"clusterIP": "None", "clusterIPs": ["None"]})));
    services.apply(service("out", json!({"type": "ExternalName", "externalName": "Example.com."})));
    let slices = Informer::detached();
    let slice = json!({
        "metadata": {"namespace": "shop", "name": "db-1", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.42.0.7"], "hostname": "db-0"}, {"addresses": ["10.42.0.8"]},
            {"addresses": ["10.42.0.9"], "conditions": {"ready": false}}]});
    slices.apply(serde_json::from_value(slice).unwrap());
    Names::over(services, slices, "cluster.local")
}

/// `"A web.shop.svc.cluster.local"` and what it should answer.
fn check(question: &str, expected: &str) {
    let (kind, name) = question.split_once(' ').unwrap();
    let kinds = [("A", Kind::A), ("AAAA", Kind::Aaaa), ("SRV", Kind::Srv), ("PTR", Kind::Ptr), ("TXT", Kind::Txt)];
    let kind = kinds.into_iter().find(|(text, _)| *text == kind).unwrap().1;
    let answer = match names().resolve(name, kind) {
        Answer::NoSuchName => "no such name".to_owned(),
        Answer::Elsewhere => "elsewhere".to_owned(),
        Answer::Records(records) => records.iter().map(record).collect::<Vec<_>>().join(", "),
    };
    assert_eq!(answer, expected, "{question}");
}

fn record(data: &Data) -> String {
    match data {
        Data::A(address) => address.to_string(),
        Data::Aaaa(address) => address.to_string(),
        Data::Srv { port, host } => format!("{host}:{port}"),
        Data::Ptr(name) | Data::Cname(name) | Data::Txt(name) => name.clone(),
    }
}

#[test]
fn a_service_has_its_cluster_ip() {
    check("A web.shop.svc.cluster.local", "10.43.0.5");
    check("AAAA web.shop.svc.cluster.local", "");
    check("SRV _http._tcp.web.shop.svc.cluster.local", "web.shop.svc.cluster.local:80");
    check("PTR 5.0.43.10.in-addr.arpa", "web.shop.svc.cluster.local");
}

#[test]
fn a_headless_service_has_its_ready_endpoints() {
    check("A db.shop.svc.cluster.local", "10.42.0.7, 10.42.0.8");
    check("A db-0.db.shop.svc.cluster.local", "10.42.0.7");
    check("A 10-42-0-8.db.shop.svc.cluster.local", "10.42.0.8");
    check("A 10-42-0-9.db.shop.svc.cluster.local", "no such name");
    check("A idle.shop.svc.cluster.local", "no such name");
    let hosts = "db-0.db.shop.svc.cluster.local:8080, 10-42-0-8.db.shop.svc.cluster.local:8080";
    check("SRV _http._tcp.db.shop.svc.cluster.local", hosts);
    check("PTR 7.0.42.10.in-addr.arpa", "db-0.db.shop.svc.cluster.local");
}

#[test]
fn an_external_name_is_an_alias() {
    check("A out.shop.svc.cluster.local", "example.com");
}

#[test]
fn a_pod_has_its_address_in_its_name() {
    check("A 10-42-0-7.shop.pod.cluster.local", "10.42.0.7");
    check("A nonsense.shop.pod.cluster.local", "no such name");
}

#[test]
fn names_between_exist_and_others_do_not() {
    for name in ["cluster.local", "svc.cluster.local", "shop.svc.cluster.local", "_tcp.web.shop.svc.cluster.local"] {
        check(&format!("A {name}"), "");
    }
    for name in ["none.shop.svc.cluster.local", "web.other.svc.cluster.local", "x.web.shop.svc.cluster.local"] {
        check(&format!("A {name}"), "no such name");
    }
    check("TXT dns-version.cluster.local", "1.1.0");
}

#[test]
fn other_names_are_for_other_servers() {
    for name in ["A example.com", "A mycluster.local", "PTR 1.1.1.1.in-addr.arpa"] {
        check(name, "elsewhere");
    }
}

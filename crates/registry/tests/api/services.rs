//! Addresses and node ports of Services.

use registry::{Context, Patch, Target};
use serde_json::{Value, json};

use crate::{Api, api, kind};

async fn service(api: &Api, name: &str, mut spec: Value) -> Result<machinery::Object, machinery::ApiError> {
    if spec["ports"].is_null() {
        spec["ports"] = json!([{"port": 80}]);
    }
    let body = json!({"metadata": {"name": name}, "spec": spec});
    Ok(api.create(kind("", "v1", "services"), body).await?.object())
}

async fn patch(api: &Api, name: &str, patch: Value) -> Result<machinery::Object, machinery::ApiError> {
    let patch = Patch::Merge(patch);
    let services = kind("", "v1", "services");
    Ok(api.registry.patch(&api.cx, services, "default", name, Target::Main, &patch).await?.entry.object())
}

async fn delete(api: &Api, name: &str) {
    api.registry.delete(&api.cx, kind("", "v1", "services"), "default", name, &Default::default()).await.unwrap();
}

fn node_port(service: &machinery::Object, index: usize) -> Option<u64> {
    service.list(&["spec", "ports"])[index]["nodePort"].as_u64()
}

#[tokio::test]
async fn a_service_gets_an_address_and_the_api_the_first() {
    let api = api().await;
    let web = service(&api, "web", json!({})).await.unwrap();
    let address = web.str(&["spec", "clusterIP"]);
    assert!(address.starts_with("10.43."));
    assert_eq!(web.get(&["spec", "clusterIPs"]), Some(&json!([address])));
    assert_eq!(web.get(&["spec", "ipFamilies"]), Some(&json!(["IPv4"])));
    let first = service(&api, "kubernetes", json!({})).await.unwrap();
    assert_eq!(first.str(&["spec", "clusterIP"]), "10.43.0.1");
    let headless = service(&api, "headless", json!({"clusterIP": "None"})).await.unwrap();
    assert_eq!(headless.str(&["spec", "clusterIP"]), "None");
    let external = service(&api, "external", json!({"type": "ExternalName", "externalName": "a.example"})).await;
    assert_eq!(external.unwrap().get(&["spec", "clusterIP"]), None);
}

#[tokio::test]
async fn an_address_is_given_once_and_free_again_after_deletion() {
    let api = api().await;
    let ask = json!({"clusterIP": "10.43.0.10"});
    service(&api, "a", ask.clone()).await.unwrap();
    let taken = service(&api, "b", ask.clone()).await.unwrap_err();
    assert_eq!(
        taken.to_string(),
        r#"Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.43.0.10"]: failed to allocate IP 10.43.0.10: provided IP is already allocated"#
    );
    let outside = service(&api, "b", json!({"clusterIP": "10.1.0.1"})).await.unwrap_err();
    assert!(outside.message.ends_with("the provided network does not match the current range"), "{outside}");
    let network = service(&api, "b", json!({"clusterIP": "10.43.0.0"})).await.unwrap_err();
    let text = "the provided IP (10.43.0.0) is not in the valid range. The range of valid IPs is 10.43.0.0/16";
    assert!(network.message.ends_with(text), "{network}");
    delete(&api, "a").await;
    service(&api, "b", ask).await.unwrap();
}

#[tokio::test]
async fn node_ports_follow_the_type() {
    let api = api().await;
    let web = service(&api, "web", json!({"type": "NodePort"})).await.unwrap();
    let port = node_port(&web, 0).unwrap();
    assert!((30000..=32767).contains(&port));
    let renamed = patch(&api, "web", json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    assert_eq!(node_port(&renamed, 0), Some(port), "an update keeps what was given");
    let ask = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let taken = service(&api, "other", ask.clone()).await.unwrap_err();
    assert!(taken.message.contains("spec.ports[0].nodePort: Invalid value"), "{taken}");
    assert!(taken.message.ends_with("provided port is already allocated"), "{taken}");
    let plain = patch(&api, "web", json!({"spec": {"type": "ClusterIP"}})).await.unwrap();
    assert_eq!(node_port(&plain, 0), None);
    service(&api, "other", ask).await.unwrap();
    let back = patch(&api, "web", json!({"spec": {"type": "NodePort"}})).await.unwrap();
    assert_ne!(node_port(&back, 0), Some(port));
}

#[tokio::test]
async fn protocols_of_one_port_share_a_node_port() {
    let api = api().await;
    let ports = json!([{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]);
    let dns = service(&api, "dns", json!({"type": "NodePort", "ports": ports})).await.unwrap();
    assert_eq!(node_port(&dns, 0), node_port(&dns, 1));
    let low = service(&api, "low", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]})).await;
    let error = low.unwrap_err();
    assert!(error.message.ends_with("The range of valid ports is 30000-32767"), "{error}");
}

#[tokio::test]
async fn what_is_refused_or_dry_gives_everything_back() {
    let mut api = api().await;
    let ask = json!({"clusterIP": "10.43.7.7"});
    api.cx = Context { dry_run: true, ..Context::default() };
    service(&api, "dry", ask.clone()).await.unwrap();
    api.cx = Context::default();
    let twice =
        json!({"clusterIP": "10.43.7.7", "type": "NodePort", "ports": [{"name": "a", "port": 1, "nodePort": 1}]});
    service(&api, "refused", twice).await.unwrap_err();
    service(&api, "real", ask).await.unwrap();
}

#[tokio::test]
async fn allocations_are_known_again_after_opening() {
    let mut api = api().await;
    service(&api, "a", json!({"clusterIP": "10.43.5.5"})).await.unwrap();
    api.registry = crate::open(api.store.clone()).await;
    assert!(service(&api, "b", json!({"clusterIP": "10.43.5.5"})).await.is_err());
}

async fn addresses(api: &Api) -> Vec<machinery::Object> {
    let list = api.registry.list(kind("networking.k8s.io", "v1", "ipaddresses"), "", &Default::default()).await;
    list.unwrap().items.iter().map(|entry| entry.object()).collect()
}

#[tokio::test]
async fn an_address_is_an_object_that_names_its_service() {
    let api = api().await;
    let web = service(&api, "web", json!({})).await.unwrap();
    let [address] = &addresses(&api).await[..] else { panic!("one address") };
    assert_eq!(address.name(), web.str(&["spec", "clusterIP"]));
    let parent = json!({"group": "", "resource": "services", "namespace": "default", "name": "web"});
    assert_eq!(address.get(&["spec", "parentRef"]), Some(&parent));
    assert_eq!(
        serde_json::to_value(address.labels()).unwrap(),
        json!({
            "ipaddress.kubernetes.io/ip-family": "IPv4",
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        })
    );
    let external = json!({"spec": {"type": "ExternalName", "externalName": "a.example", "clusterIP": null}});
    patch(&api, "web", external).await.unwrap();
    assert!(addresses(&api).await.is_empty(), "a Service that needs no address gives it back");
}

#[tokio::test]
async fn an_address_that_something_else_holds_is_not_given() {
    let api = api().await;
    let parent = json!({"group": "gateway.networking.k8s.io", "resource": "gateways", "namespace": "a", "name": "b"});
    let held = json!({"metadata": {"name": "10.43.0.77"}, "spec": {"parentRef": parent}});
    api.create(kind("networking.k8s.io", "v1", "ipaddresses"), held).await.unwrap();
    let refused = service(&api, "web", json!({"clusterIP": "10.43.0.77"})).await.unwrap_err();
    assert!(refused.message.ends_with("failed to allocate IP 10.43.0.77: provided IP is already allocated"));
}

/// What a server leaves behind that is killed between the writes of an address and of its Service.
async fn left_behind(api: &Api, address: &str, service: &str) {
    let labels = std::collections::BTreeMap::from(kinds::networking::allocated_labels(address.parse().unwrap()));
    let parent = json!({"group": "", "resource": "services", "namespace": "default", "name": service});
    let held = json!({"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": parent}});
    api.create(kind("networking.k8s.io", "v1", "ipaddresses"), held).await.unwrap();
}

#[tokio::test]
async fn an_address_left_behind_for_a_service_is_its_own() {
    let api = api().await;
    left_behind(&api, "10.43.0.10", "dns").await;
    left_behind(&api, "10.43.0.1", "kubernetes").await;
    let ask = json!({"clusterIP": "10.43.0.10"});
    let other = service(&api, "other", ask.clone()).await.unwrap_err();
    assert!(other.message.ends_with("provided IP is already allocated"), "{other}");
    service(&api, "dns", ask.clone()).await.unwrap();
    let again = service(&api, "dns", ask).await.unwrap_err();
    assert_eq!(again.reason, machinery::Reason::AlreadyExists);
    let first = service(&api, "kubernetes", json!({})).await.unwrap();
    assert_eq!(first.str(&["spec", "clusterIP"]), "10.43.0.1");
    assert_eq!(addresses(&api).await.len(), 2, "what a refused write found there stays");
}

#[tokio::test]
async fn two_servers_that_make_a_service_at_once_give_it_one_address() {
    let api = api().await;
    let (one, other) = tokio::join!(service(&api, "kubernetes", json!({})), service(&api, "kubernetes", json!({})));
    let refused = one.as_ref().err().or(other.as_ref().err()).expect("one of them is late");
    assert_eq!(refused.reason, machinery::Reason::AlreadyExists);
    let made = one.or(other).unwrap();
    assert_eq!(made.str(&["spec", "clusterIP"]), "10.43.0.1");
    let [address] = &addresses(&api).await[..] else { panic!("one address") };
    assert_eq!(address.name(), "10.43.0.1");
}

async fn range(api: &Api, name: &str, cidr: &str) {
    let body = json!({"metadata": {"name": name}, "spec": {"cidrs": [cidr]}});
    api.create(kind("networking.k8s.io", "v1", "servicecidrs"), body).await.unwrap();
}

#[tokio::test]
async fn ranges_are_used_one_after_the_other_until_all_are_full() {
    let api = api().await;
    range(&api, "kubernetes", "10.50.0.0/30").await;
    range(&api, "a-later-one", "10.60.0.0/31").await;
    range(&api, "more", "10.70.0.0/30").await;
    let mut given = Vec::new();
    for name in ["a", "b", "c", "d"] {
        given.push(service(&api, name, json!({})).await.unwrap().str(&["spec", "clusterIP"]).to_owned());
    }
    given.sort();
    assert_eq!(given, ["10.50.0.1", "10.50.0.2", "10.70.0.1", "10.70.0.2"]);
    let full = service(&api, "e", json!({})).await.unwrap_err();
    assert!(full.message.ends_with("failed to allocate a serviceIP: range is full"), "{full}");
}

#[tokio::test]
async fn a_range_that_is_not_ready_gives_nothing() {
    let api = api().await;
    range(&api, "kubernetes", "10.50.0.0/24").await;
    let kind = kind("networking.k8s.io", "v1", "servicecidrs");
    let change = |range: &mut machinery::Object| {
        range.set(&["status", "conditions"], json!([{"type": "Ready", "status": "False"}]));
        Ok(())
    };
    api.registry.mutate(&api.cx, kind, "", "kubernetes", "status", change).await.unwrap();
    api.registry.get(kind, "", "kubernetes", "").await.unwrap();
    service(&api, "a", json!({})).await.unwrap_err();
}

#[tokio::test]
async fn services_made_at_once_get_different_addresses_and_ports() {
    let api = api().await;
    range(&api, "kubernetes", "10.50.0.0/26").await;
    let names: Vec<String> = (0..62).map(|at| format!("s{at}")).collect();
    let made = names.iter().map(|name| service(&api, name, json!({"type": "NodePort"})));
    let made: Vec<_> = futures::future::join_all(made).await.into_iter().map(Result::unwrap).collect();
    let addresses: std::collections::HashSet<&str> = made.iter().map(|made| made.str(&["spec", "clusterIP"])).collect();
    let ports: std::collections::HashSet<_> = made.iter().map(|made| node_port(made, 0)).collect();
    assert_eq!((addresses.len(), ports.len()), (62, 62));
}

/// Two updates at once, of which one fails: what the other was given stays given.
#[tokio::test]
async fn a_failed_update_frees_only_what_it_took() {
    let api = api().await;
    service(&api, "web", json!({"type": "NodePort"})).await.unwrap();
    let change = |port: u64| {
        let ports = json!({"spec": {"ports": [{"name": "a", "port": 80, "nodePort": port}]}});
        patch(&api, "web", ports)
    };
    let (good, bad) = tokio::join!(change(30100), change(1));
    assert!(good.is_ok() && bad.is_err());
    let ask = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30100}]});
    assert!(service(&api, "other", ask).await.is_err());
}

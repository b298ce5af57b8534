//! A service.

use machinery::percent::encode;
use serde_json::Value;

use super::containers::protocol;
use super::text::{Text, items, or_none, pairs, plain, text};
use crate::Result;
use crate::connection::{Session, with_query};

/// The endpoint slices of a service.
pub async fn slices(session: &Session, service: &Value) -> Result<Vec<Value>> {
    let (namespace, name) = (text(&service["metadata"]["namespace"]), text(&service["metadata"]["name"]));
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", encode(namespace));
    let selector = format!("kubernetes.io/service-name={name}");
    let mut list = session.get(&with_query(&path, &[("labelSelector", &selector)])).await?;
    Ok(serde_json::from_value(list["items"].take())?)
}

pub fn describe(to: &mut Text, service: &Value, slices: &[Value]) {
    let (metadata, spec) = (&service["metadata"], &service["spec"]);
    let list = |field: &str| items(&spec[field]).iter().map(plain).collect::<Vec<_>>().join(",");
    to.head(service);
    to.labels(0, &metadata["labels"]);
    to.annotations(0, &metadata["annotations"]);
    to.field(0, "Selector", or_none(&pairs(&spec["selector"], "=").join(",")));
    to.field(0, "Type", text(&spec["type"]));
    to.optional(0, "IP Family Policy", text(&spec["ipFamilyPolicy"]));
    to.optional(0, "IP Families", &list("ipFamilies"));
    to.field(0, "IP", text(&spec["clusterIP"]));
    to.field(0, "IPs", or_none(&list("clusterIPs")));
    to.optional(0, "External IPs", &list("externalIPs"));
    to.optional(0, "External Name", text(&spec["externalName"]));
    to.optional(0, "LoadBalancer Ingress", &ingress(service));
    for port in items(&spec["ports"]) {
        describe_port(to, port, slices);
    }
    to.field(0, "Session Affinity", spec["sessionAffinity"].as_str().unwrap_or("None"));
    to.optional(0, "External Traffic Policy", text(&spec["externalTrafficPolicy"]));
    to.optional(0, "Internal Traffic Policy", text(&spec["internalTrafficPolicy"]));
}

fn ingress(service: &Value) -> String {
    let addresses = items(&service["status"]["loadBalancer"]["ingress"]).iter();
    let address = |one: &Value| one["ip"].as_str().or(one["hostname"].as_str()).unwrap_or_default().to_owned();
    addresses.map(address).collect::<Vec<_>>().join(", ")
}

fn describe_port(to: &mut Text, port: &Value, slices: &[Value]) {
    let name = match text(&port["name"]) {
        "" => "<unset>",
        name => name,
    };
    let protocol = protocol(port);
    to.field(0, "Port", format!("{name}\t{}/{protocol}", plain(&port["port"])));
    to.field(0, "TargetPort", format!("{}/{protocol}", plain(&port["targetPort"])));
    if let Some(number) = port["nodePort"].as_i64().filter(|number| *number > 0) {
        to.field(0, "NodePort", format!("{name}\t{number}/{protocol}"));
    }
    to.field(0, "Endpoints", endpoints(port, slices));
}

/// The first three ready addresses, and how many more there are.
fn endpoints(port: &Value, slices: &[Value]) -> String {
    const SHOWN: usize = 3;
    let mut all = Vec::new();
    for slice in slices {
        let number = items(&slice["ports"]).iter().find(|of| text(&of["name"]) == text(&port["name"]));
        let Some(number) = number.and_then(|of| of["port"].as_i64()) else { continue };
        let ready = items(&slice["endpoints"]).iter().filter(|endpoint| endpoint["conditions"]["ready"] != false);
        all.extend(ready.flat_map(|endpoint| items(&endpoint["addresses"])).map(|address| join(text(address), number)));
    }
    all.dedup();
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(",");
    if more > 0 { format!("{shown} + {more} more...") } else { shown }
}

fn join(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_with_endpoints() {
        let service = json!({"metadata": {"name": "web", "namespace": "ns"}, "spec": {"type": "NodePort",
            "selector": {"app": "web"}, "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"], "sessionAffinity": "None",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080, "protocol": "TCP"}]}});
        let endpoint = |address: &str, ready: bool| json!({"addresses": [address], "conditions": {"ready": ready}});
        let slice = json!({"ports": [{"name": "http", "port": 8080}], "endpoints":
            [endpoint("10.42.0.2", true), endpoint("10.42.0.3", false), endpoint("fd00::1", true)]});
        let mut text = Text::default();
        describe(&mut text, &service, &[slice]);
        expect![[r"
            Name:              web
            Namespace:         ns
            Labels:            <none>
            Annotations:       <none>
            Selector:          app=web
            Type:              NodePort
            IP:                10.43.0.7
            IPs:               10.43.0.7
            Port:              http  80/TCP
            TargetPort:        8080/TCP
            NodePort:          http  30080/TCP
            Endpoints:         10.42.0.2:8080,[fd00::1]:8080
            Session Affinity:  None
        "]]
        .assert_eq(&text.aligned());
    }
}

//! Service.

mod addresses;
mod columns;
mod strategy;
mod validate;

use machinery::Object;
use machinery::validation::dns1035_label;

use crate::def::{KindDef, PROXY_VERBS, SelectableField, Strategy, Subresource};
use crate::tree::{child_or_new, default, default_text, each, is_absent, text};

const AFFINITY_SECONDS: i64 = 10_800;

pub static SERVICE: KindDef = KindDef {
    kind: "Service",
    resource: "services",
    singular: "service",
    short_names: &["svc"],
    categories: &["all"],
    schema: "io.k8s.api.core.v1.Service",
    subresources: &[
        Subresource::Connect { name: "proxy", kind: "ServiceProxyOptions", verbs: PROXY_VERBS },
        Subresource::Status,
    ],
    selectable_fields: &[
        SelectableField { name: "spec.clusterIP", value: |service| service.str(&["spec", "clusterIP"]).to_owned() },
        SelectableField { name: "spec.type", value: |service| service.str(&["spec", "type"]).to_owned() },
    ],
    columns: columns::COLUMNS,
    takes_addresses: true,
    strategy: Strategy {
        default: default_service,
        prepare_create: strategy::prepare_create,
        prepare_update: strategy::prepare_update,
        validate: validate::validate,
        validate_update: validate::validate_update,
        validate_status_update: validate::validate_status_update,
        validate_name: dns1035_label,
        warnings: validate::warnings,
        generation: false,
        create_on_update: true,
        returns_deleted: true,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

/// upstream: SetDefaults_Service
fn default_service(service: &mut Object) {
    let spec = child_or_new(&mut service.0, "spec");
    default_text(spec, "type", "ClusterIP");
    default_affinity(spec);
    each(spec, "ports", default_port);
    let of_type = text(spec, "type").to_owned();
    let external = matches!(of_type.as_str(), "NodePort" | "LoadBalancer");
    if external || (of_type == "ClusterIP" && has_external_ips(spec)) {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if external || of_type == "ClusterIP" {
        default_text(spec, "internalTrafficPolicy", "Cluster");
    }
    if of_type == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
    default_load_balancer(service);
}

fn default_affinity(spec: &mut crate::tree::Map) {
    default_text(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "ClientIP" => {
            let client = child_or_new(child_or_new(spec, "sessionAffinityConfig"), "clientIP");
            default(client, "timeoutSeconds", AFFINITY_SECONDS);
        }
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        _ => {}
    }
}

fn has_external_ips(spec: &crate::tree::Map) -> bool {
    spec.get("externalIPs").and_then(serde_json::Value::as_array).is_some_and(|ips| !ips.is_empty())
}

fn default_port(port: &mut crate::tree::Map) {
    default_text(port, "protocol", "TCP");
    if is_absent(port, "targetPort") || port["targetPort"] == 0 || port["targetPort"] == "" {
        let number = port.get("port").cloned().unwrap_or_default();
        port.insert("targetPort".to_owned(), number);
    }
}

fn default_load_balancer(service: &mut Object) {
    let balancer = child_or_new(child_or_new(&mut service.0, "status"), "loadBalancer");
    each(balancer, "ingress", |ingress| {
        if !text(ingress, "ip").is_empty() {
            default_text(ingress, "ipMode", "VIP");
        }
    });
}

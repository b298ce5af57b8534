//! Where a Service is reached without a proxy: at one of its endpoints.

use machinery::{ApiError, Object};
use serde_json::Value;

/// The label by which EndpointSlices name their Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// One of the ready endpoints of a service that `is_meant` takes; `pick` chooses below a bound. The port goes by name or
/// number, or is the only one.
pub fn endpoint(
    service: &Object,
    slices: &[Object],
    port: &str,
    is_meant: impl Fn(&Value) -> bool,
    pick: impl Fn(usize) -> usize,
) -> Result<String, ApiError> {
    let name = service.name();
    let port_name = port_name(service, port)
        .ok_or_else(|| ApiError::unavailable(format!("no service port {port:?} found for service {name:?}")))?;
    let candidates: Vec<String> = slices.iter().flat_map(|slice| ready(slice, &port_name, &is_meant)).collect();
    if candidates.is_empty() {
        return Err(ApiError::unavailable(format!("no endpoints available for service {name:?}")));
    }
    Ok(candidates[pick(candidates.len())].clone())
}

/// The name of the service port that is meant: by name or number, or the only one.
fn port_name(service: &Object, port: &str) -> Option<String> {
    let ports = service.list(&["spec", "ports"]);
    let is_meant = |of: &&Value| match port {
        "" => ports.len() == 1 || text(of, "name").is_empty(),
        port => text(of, "name") == port || port.parse::<i64>().is_ok_and(|number| of["port"] == number),
    };
    ports.iter().find(is_meant).map(|of| text(of, "name").to_owned())
}

fn ready(slice: &Object, port_name: &str, is_meant: impl Fn(&Value) -> bool) -> Vec<String> {
    let ports = slice.list(&["ports"]);
    let Some(port) = ports.iter().find(|port| text(port, "name") == port_name).and_then(|port| port.get("port")) else {
        return Vec::new();
    };
    let endpoints = slice.list(&["endpoints"]).iter();
    let ready =
        endpoints.filter(|endpoint| endpoint["conditions"]["ready"] != Value::Bool(false) && is_meant(endpoint));
    let addresses = ready.filter_map(|endpoint| endpoint["addresses"][0].as_str());
    addresses.map(|address| join(address, &port.to_string())).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// `host:port`, with brackets around IPv6.
pub fn join(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn services_are_reached_at_a_ready_endpoint() {
        let service = object(json!({
            "metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}]},
        }));
        let slices = [object(json!({
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": ["10.1.0.2"], "conditions": {"ready": false}},
                {"addresses": ["10.1.0.3"], "conditions": {"ready": true}},
            ],
        }))];
        for port in ["", "http", "80"] {
            assert_eq!(endpoint(&service, &slices, port, |_| true, |_| 0).unwrap(), "10.1.0.3:8080");
        }
        for (slices, is_meant) in [(&[][..], true), (&slices, false)] {
            let error = endpoint(&service, slices, "", |_| is_meant, |_| 0).unwrap_err();
            assert_eq!((error.code(), error.message.as_str()), (503, "no endpoints available for service \"web\""));
        }
        let error = endpoint(&service, &slices, "x", |_| true, |_| 0).unwrap_err();
        assert_eq!(error.message, "no service port \"x\" found for service \"web\"");
    }
}

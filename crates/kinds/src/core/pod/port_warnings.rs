//! Ports of a pod's containers that look alike.

use std::collections::HashMap;

use machinery::field::Path;

use super::CONTAINER_LISTS;
use crate::check::At;

/// Earlier ports of the same number that one is compared with, of the 100,000 that a body has room for.
const ALIKE_MAX: usize = 32;
/// No client is told more.
const WARNINGS_MAX: usize = 100;

struct Port<'a> {
    path: Path,
    number: i64,
    protocol: &'a str,
    host_ip: &'a str,
    host_port: i64,
}

/// Ports that are listed twice, and those of which it is not clear who gets what the node receives.
pub fn of_ports(spec: &At) -> Vec<String> {
    let ports: Vec<Port> = CONTAINER_LISTS
        .iter()
        .flat_map(|list| spec.child(list).items())
        .flat_map(|container| container.child("ports").items())
        .map(|port| read(&port))
        .collect();
    let mut alike: HashMap<(i64, &str), Vec<&Port>> = HashMap::new();
    let mut warnings = Vec::new();
    for port in &ports {
        if warnings.len() >= WARNINGS_MAX {
            break;
        }
        if !port.host_ip.is_empty() && port.host_port == 0 {
            warnings.push(format!(
                "{}: hostIP set without hostPort: {{Name: HostPort:0 ContainerPort:{} Protocol:{} HostIP:{}}}",
                port.path, port.number, port.protocol, port.host_ip
            ));
        }
        let others = alike.entry((port.number, port.protocol)).or_default();
        warnings.extend(others.iter().filter_map(|other| {
            relation(port, other)
                .map(|relation| format!("{}: {relation} port definition with {}", port.path, other.path))
        }));
        if others.len() < ALIKE_MAX {
            others.push(port);
        }
    }
    warnings
}

fn read<'a>(port: &At<'a>) -> Port<'a> {
    Port {
        path: port.path.clone(),
        number: port.child("containerPort").int().unwrap_or(0),
        protocol: port.child("protocol").text(),
        host_ip: port.child("hostIP").text(),
        host_port: port.child("hostPort").int().unwrap_or(0),
    }
}

fn relation(port: &Port, other: &Port) -> Option<&'static str> {
    let same_host_port = port.host_port == other.host_port;
    match () {
        () if same_host_port && port.host_ip == other.host_ip => Some("duplicate"),
        () if port.host_port == 0 || other.host_port == 0 => Some("overlapping"),
        () if same_host_port && port.host_ip.is_empty() != other.host_ip.is_empty() => Some("dangerously ambiguous"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::Object;
    use serde_json::json;

    #[test]
    fn ports_that_look_alike_are_told() {
        let port =
            |host: i64, ip: &str| json!({"containerPort": 80, "protocol": "TCP", "hostPort": host, "hostIP": ip});
        let warnings = |ports| {
            let pod = Object::from_value(json!({"spec": {"containers": [{"ports": ports}]}})).unwrap();
            of_ports(&At::field(&pod, "spec"))
        };
        let (first, second) = ("spec.containers[0].ports[0]", "spec.containers[0].ports[1]");
        assert_eq!(
            warnings(json!([port(0, ""), port(0, "")])),
            [format!("{second}: duplicate port definition with {first}")]
        );
        assert_eq!(
            warnings(json!([port(1, ""), port(0, "")])),
            [format!("{second}: overlapping port definition with {first}")]
        );
        assert_eq!(
            warnings(json!([port(1, "10.0.0.1"), port(1, "")])),
            [format!("{second}: dangerously ambiguous port definition with {first}")]
        );
        assert_eq!(warnings(json!([port(1, ""), port(2, "")])), [""; 0]);
        let many = warnings(json!(vec![port(0, ""); 10_000])).len();
        assert!((WARNINGS_MAX..=WARNINGS_MAX + ALIKE_MAX).contains(&many), "{many} warnings");
    }
}

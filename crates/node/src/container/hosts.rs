//! The text of a pod's `/etc/hosts`. Pure.
//!
//! upstream: pkg/kubelet/kubelet_pods.go hostsFileContent

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod};

use crate::pod::spec;

/// The first line by which tools know that the file is managed.
const HEADER: &str = "# Kubernetes-managed hosts file.";
const HOST_HEADER: &str = "# Kubernetes-managed hosts file (host network).";

/// The file of a pod; one in the host's network starts from the host's own text.
pub fn hosts_file(pod: &Pod, ips: &[IpAddr], hostname: &str, domain: &str, host_text: &str) -> String {
    let aliases = spec::spec(pod).host_aliases.as_deref().unwrap_or_default();
    let mut text =
        if spec::host_network(pod) { format!("{HOST_HEADER}\n{host_text}") } else { own(ips, hostname, domain) };
    text += &entries(aliases);
    text
}

fn own(ips: &[IpAddr], hostname: &str, domain: &str) -> String {
    let mut text = format!(
        "{HEADER}\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
    );
    for ip in ips {
        text += &match domain {
            "" => format!("{ip}\t{hostname}\n"),
            domain => format!("{ip}\t{hostname}.{domain}\t{hostname}\n"),
        };
    }
    text
}

fn entries(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let lines = aliases.iter().map(|alias| {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        format!("{}\t{names}\n", alias.ip)
    });
    std::iter::once("\n# Entries added by HostAliases.\n".to_string()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_file_names_the_pod_and_its_aliases() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [],
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}}))
        .unwrap();
        let text = hosts_file(&pod, &["10.42.0.5".parse().unwrap()], "web", "s.shop.svc.cluster.local", "");
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with(
            "10.42.0.5\tweb.s.shop.svc.cluster.local\tweb\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"
        ));
    }

    #[test]
    fn a_pod_in_the_hosts_network_keeps_the_hosts_text() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"hostNetwork": true, "containers": []}})).unwrap();
        let text = hosts_file(&pod, &[], "n1", "", "127.0.0.1 me\n");
        assert_eq!(text, "# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n");
    }
}

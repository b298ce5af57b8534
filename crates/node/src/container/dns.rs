//! A pod's hostname and its `/etc/resolv.conf`. Pure, given the host's own.
//!
//! upstream: pkg/kubelet/network/dns, pkg/kubelet/kubelet_pods.go GeneratePodHostNameAndDomain

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};

use crate::pod::spec;

/// Upstream's bounds of a search list.
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
const MAX_NAMESERVERS: usize = 3;
const HOSTNAME_MAX: usize = 63;

/// The cluster's DNS, as the agent was told.
#[derive(Clone, Debug, Default)]
pub struct ClusterDns {
    pub servers: Vec<IpAddr>,
    pub domain: String,
}

/// The lines of a resolv.conf that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolv {
    pub nameservers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

impl Resolv {
    pub fn parse(text: &str) -> Resolv {
        let mut resolv = Resolv::default();
        for line in text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default()) {
            let mut words = line.split_whitespace().map(str::to_string);
            match words.next().as_deref() {
                Some("nameserver") => resolv.nameservers.extend(words.next()),
                Some("search") => resolv.searches = words.filter(|word| word != ".").collect(),
                Some("options") => resolv.options = words.collect(),
                _ => {}
            }
        }
        resolv
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text += &format!("search {}\n", self.searches.join(" "));
        }
        for server in &self.nameservers {
            text += &format!("nameserver {server}\n");
        }
        if !self.options.is_empty() {
            text += &format!("options {}\n", self.options.join(" "));
        }
        text
    }
}

/// The pod's resolv.conf by its DNS policy and its own settings.
pub fn resolv_conf(pod: &Pod, cluster: &ClusterDns, host: &Resolv) -> String {
    let spec = spec::spec(pod);
    let mut resolv = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "None" => Resolv::default(),
        "ClusterFirst" if !spec::host_network(pod) && !cluster.servers.is_empty() => cluster_first(pod, cluster, host),
        "ClusterFirstWithHostNet" if !cluster.servers.is_empty() => cluster_first(pod, cluster, host),
        _ => host.clone(),
    };
    if let Some(config) = &spec.dns_config {
        apply(&mut resolv, config);
    }
    bound(&mut resolv);
    resolv.text()
}

fn cluster_first(pod: &Pod, cluster: &ClusterDns, host: &Resolv) -> Resolv {
    let domain = &cluster.domain;
    let mut searches = vec![format!("{}.svc.{domain}", spec::namespace(pod)), format!("svc.{domain}"), domain.clone()];
    extend_new(&mut searches, &host.searches);
    Resolv {
        nameservers: cluster.servers.iter().map(ToString::to_string).collect(),
        searches,
        options: vec!["ndots:5".to_string()],
    }
}

fn extend_new(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn apply(resolv: &mut Resolv, config: &PodDNSConfig) {
    extend_new(&mut resolv.nameservers, config.nameservers.as_deref().unwrap_or_default());
    extend_new(&mut resolv.searches, config.searches.as_deref().unwrap_or_default());
    for option in config.options.iter().flatten() {
        let name = option.name.as_deref().unwrap_or_default();
        resolv.options.retain(|known| known.split(':').next() != Some(name));
        resolv.options.push(match &option.value {
            Some(value) => format!("{name}:{value}"),
            None => name.to_string(),
        });
    }
}

fn bound(resolv: &mut Resolv) {
    resolv.nameservers.truncate(MAX_NAMESERVERS);
    resolv.searches.truncate(MAX_SEARCHES);
    while resolv.searches.join(" ").len() > MAX_SEARCH_CHARS {
        resolv.searches.pop();
    }
}

/// The hostname in the pod, and the domain it belongs to (empty without a subdomain).
pub fn hostname(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = spec::spec(pod);
    if let Some(own) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (own.to_string(), String::new());
    }
    let name = spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or_else(|| spec::name(pod));
    let name = name.get(..HOSTNAME_MAX).unwrap_or(name).trim_end_matches(['-', '.']).to_string();
    let domain = match spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty()) {
        Some(subdomain) => format!("{subdomain}.{}.svc.{cluster_domain}", spec::namespace(pod)),
        None => String::new(),
    };
    if spec.set_hostname_as_fqdn == Some(true) && !domain.is_empty() {
        return (format!("{name}.{domain}"), domain);
    }
    (name, domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        spec["containers"] = json!([]);
        serde_json::from_value(json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec})).unwrap()
    }

    fn resolv(spec: Value) -> String {
        let cluster = ClusterDns { servers: vec!["10.43.0.10".parse().unwrap()], domain: "cluster.local".into() };
        let host = Resolv::parse("# host\nnameserver 1.1.1.1\nsearch corp.example .\noptions timeout:2\n");
        resolv_conf(&pod(spec), &cluster, &host)
    }

    #[test]
    fn the_policy_decides_whose_nameservers_are_used() {
        let cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
                       nameserver 10.43.0.10\noptions ndots:5\n";
        let host = "search corp.example\nnameserver 1.1.1.1\noptions timeout:2\n";
        assert_eq!(resolv(json!({})), cluster);
        assert_eq!(resolv(json!({"dnsPolicy": "Default"})), host);
        assert_eq!(resolv(json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true})), host);
        assert_eq!(resolv(json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true})), cluster);
    }

    #[test]
    fn the_pods_own_settings_are_added() {
        let config = json!({"nameservers": ["9.9.9.9"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
        assert_eq!(
            resolv(json!({"dnsPolicy": "None", "dnsConfig": config})),
            "search a.b\nnameserver 9.9.9.9\noptions ndots:2 edns0\n"
        );
        assert!(resolv(json!({"dnsConfig": config})).ends_with("options ndots:2 edns0\n"));
    }

    #[test]
    fn hostnames_follow_hostname_and_subdomain() {
        let name = |spec: Value| hostname(&pod(spec), "cluster.local");
        assert_eq!(name(json!({})), ("web-0".into(), String::new()));
        assert_eq!(name(json!({"hostname": "h", "subdomain": "s"})), ("h".into(), "s.shop.svc.cluster.local".into()));
        assert_eq!(name(json!({"subdomain": "s", "setHostnameAsFQDN": true})).0, "web-0.s.shop.svc.cluster.local");
    }
}

//! What a name of the cluster stands for: upstream's "Kubernetes DNS-Based Service Discovery", version 1.1.0.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use control::{Informer, Informers};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

const SCHEMA_VERSION: &str = "1.1.0";
const BY_SERVICE: &str = "dns/service";
const BY_ADDRESS: &str = "dns/address";

/// The record types that the cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Aaaa,
    Srv,
    Ptr,
    Txt,
    Cname,
    /// Any other: names exist, but hold none.
    Other,
}

/// One record's data. Names are absolute, without the last dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// A port of a host, which `addresses` of the same answer may resolve.
    Srv {
        port: u16,
        host: String,
    },
    Ptr(String),
    Txt(String),
    Cname(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Records of the name; none: it exists, but not with this type.
    Records(Vec<Data>),
    NoSuchName,
    /// Not a name of the cluster.
    Elsewhere,
}

/// The cluster's names, read from informers at each question.
pub struct Names {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    /// `cluster.local`, lower case.
    domain: String,
}

impl Names {
    pub fn new(informers: &Informers, domain: &str) -> Self {
        Self::over(informers.get(), informers.get(), domain)
    }

    pub fn over(services: Informer<Service>, slices: Informer<EndpointSlice>, domain: &str) -> Self {
        services.add_index(BY_ADDRESS, |service| cluster_ips(service).iter().map(IpAddr::to_string).collect());
        slices.add_index(BY_SERVICE, |slice| slice_service(slice).into_iter().collect());
        slices.add_index(BY_ADDRESS, |slice| slice.endpoints.iter().flat_map(|of| of.addresses.clone()).collect());
        Self { services, slices, domain: domain.trim_end_matches('.').to_lowercase() }
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the caches are filled, so that an absent name is known to be absent.
    pub fn is_ready(&self) -> bool {
        self.services.is_synced() && self.slices.is_synced()
    }

    /// Answers for `name`, absolute and lower case, without the last dot.
    pub fn resolve(&self, name: &str, kind: Kind) -> Answer {
        if let Some(address) = reverse_address(name) {
            return self.reverse(address, kind);
        }
        let Some(inside) = name.strip_suffix(&self.domain) else { return Answer::Elsewhere };
        if inside.is_empty() {
            return Answer::Records(Vec::new());
        }
        let Some(inside) = inside.strip_suffix('.') else { return Answer::Elsewhere };
        let labels: Vec<&str> = inside.rsplit('.').collect();
        match labels.as_slice() {
            ["dns-version"] => of_kind(kind, Kind::Txt, || Data::Txt(SCHEMA_VERSION.to_owned())),
            ["svc" | "pod"] => Answer::Records(Vec::new()),
            ["svc", namespace] => self.namespace(namespace),
            ["svc", namespace, service, rest @ ..] => self.service(namespace, service, rest, kind),
            ["pod", _namespace, address] => pod(address, kind),
            _ => Answer::NoSuchName,
        }
    }

    fn namespace(&self, namespace: &str) -> Answer {
        if self.services.in_namespace(namespace).is_empty() { Answer::NoSuchName } else { Answer::Records(Vec::new()) }
    }

    /// `rest` is what stands before the service's name, from right to left.
    fn service(&self, namespace: &str, name: &str, rest: &[&str], kind: Kind) -> Answer {
        let Some(service) = self.services.find(namespace, name) else { return Answer::NoSuchName };
        if let Some(target) = external_name(&service) {
            return if rest.is_empty() { Answer::Records(vec![Data::Cname(target)]) } else { Answer::NoSuchName };
        }
        match rest {
            [] => self.addresses(&service, kind),
            [protocol, port] if protocol.starts_with('_') && port.starts_with('_') => {
                self.ports(&service, &protocol[1..], &port[1..], kind)
            }
            [protocol] if protocol.starts_with('_') => Answer::Records(Vec::new()),
            [host] if is_headless(&service) => self.host(&service, host, kind),
            _ => Answer::NoSuchName,
        }
    }

    fn addresses(&self, service: &Service, kind: Kind) -> Answer {
        if kind == Kind::Srv {
            return Answer::Records(self.all_ports(service));
        }
        let addresses = if is_headless(service) {
            let endpoints = self.endpoints(service);
            let mut addresses: Vec<IpAddr> = endpoints.iter().flat_map(|(_, endpoint)| parsed(endpoint)).collect();
            addresses.sort_unstable();
            addresses.dedup();
            if addresses.is_empty() {
                return Answer::NoSuchName;
            }
            addresses
        } else {
            cluster_ips(service)
        };
        Answer::Records(address_records(addresses, kind))
    }

    fn host(&self, service: &Service, host: &str, kind: Kind) -> Answer {
        let endpoints = self.endpoints(service);
        let named = endpoints.iter().filter(|(_, endpoint)| endpoint_name(endpoint) == host);
        let addresses: Vec<IpAddr> = named.flat_map(|(_, endpoint)| parsed(endpoint)).collect();
        if addresses.is_empty() { Answer::NoSuchName } else { Answer::Records(address_records(addresses, kind)) }
    }

    /// `_PORT._PROTOCOL.SERVICE`
    fn ports(&self, service: &Service, protocol: &str, port: &str, kind: Kind) -> Answer {
        let records = self.port_records(service, |name, of| name == port && of.eq_ignore_ascii_case(protocol));
        match (records.is_empty(), kind) {
            (true, _) => Answer::NoSuchName,
            (false, Kind::Srv) => Answer::Records(records),
            (false, _) => Answer::Records(Vec::new()),
        }
    }

    fn all_ports(&self, service: &Service) -> Vec<Data> {
        self.port_records(service, |_, _| true)
    }

    fn port_records(&self, service: &Service, wanted: impl Fn(&str, &str) -> bool) -> Vec<Data> {
        if is_headless(service) {
            return self.endpoint_ports(service, wanted);
        }
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let ports = ports.filter(|port| wanted(text(&port.name), protocol(port)));
        let host = self.full_name(service);
        let record = |port: &ServicePort| Some(Data::Srv { port: u16::try_from(port.port).ok()?, host: host.clone() });
        ports.filter_map(record).collect()
    }

    fn endpoint_ports(&self, service: &Service, wanted: impl Fn(&str, &str) -> bool) -> Vec<Data> {
        let mut records = Vec::new();
        for (slice, endpoint) in self.endpoints(service) {
            let host = format!("{}.{}", endpoint_name(&endpoint), self.full_name(service));
            let ports = slice.ports.iter().flatten();
            let ports = ports.filter(|port| wanted(text(&port.name), port.protocol.as_deref().unwrap_or("TCP")));
            for port in ports.filter_map(|port| u16::try_from(port.port?).ok()) {
                records.push(Data::Srv { port, host: host.clone() });
            }
        }
        records
    }

    /// Endpoints that take connections, each with its slice.
    fn endpoints(&self, service: &Service) -> Vec<(Arc<EndpointSlice>, Endpoint)> {
        let key = format!("{}/{}", text(&service.metadata.namespace), text(&service.metadata.name));
        let slices = self.slices.by_index(BY_SERVICE, &key).into_iter();
        slices.flat_map(|slice| ready(&slice).map(|of| (slice.clone(), of.clone())).collect::<Vec<_>>()).collect()
    }

    fn reverse(&self, address: IpAddr, kind: Kind) -> Answer {
        let text = address.to_string();
        let services = self.services.by_index(BY_ADDRESS, &text);
        let names: Vec<String> = if services.is_empty() {
            self.endpoint_names(&text)
        } else {
            services.iter().map(|service| self.full_name(service)).collect()
        };
        if names.is_empty() {
            return Answer::Elsewhere;
        }
        let records = if kind == Kind::Ptr { names.into_iter().map(Data::Ptr).collect() } else { Vec::new() };
        Answer::Records(records)
    }

    /// Names of a headless service's endpoint by its address.
    fn endpoint_names(&self, address: &str) -> Vec<String> {
        let mut names = Vec::new();
        for slice in self.slices.by_index(BY_ADDRESS, address) {
            let service = slice_service(&slice).and_then(|key| {
                let (namespace, name) = key.split_once('/')?;
                self.services.find(namespace, name)
            });
            let Some(service) = service.filter(|service| is_headless(service)) else { continue };
            let endpoints = ready(&slice).filter(|endpoint| endpoint.addresses.iter().any(|of| of == address));
            names.extend(endpoints.map(|of| format!("{}.{}", endpoint_name(of), self.full_name(&service))));
        }
        names
    }

    fn full_name(&self, service: &Service) -> String {
        let (name, namespace) = (text(&service.metadata.name), text(&service.metadata.namespace));
        format!("{name}.{namespace}.svc.{}", self.domain)
    }
}

fn of_kind(asked: Kind, has: Kind, data: impl FnOnce() -> Data) -> Answer {
    Answer::Records(if asked == has { vec![data()] } else { Vec::new() })
}

/// `10-42-0-7.NAMESPACE.pod`: the address is in the name.
fn pod(label: &str, kind: Kind) -> Answer {
    let address = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    let address = address.or_else(|_| label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6));
    match address {
        Ok(address) => Answer::Records(address_records(vec![address], kind)),
        Err(_) => Answer::NoSuchName,
    }
}

fn address_records(addresses: Vec<IpAddr>, kind: Kind) -> Vec<Data> {
    let record = |address| match (address, kind) {
        (IpAddr::V4(address), Kind::A) => Some(Data::A(address)),
        (IpAddr::V6(address), Kind::Aaaa) => Some(Data::Aaaa(address)),
        _ => None,
    };
    addresses.into_iter().filter_map(record).collect()
}

/// The address of a `in-addr.arpa` or `ip6.arpa` name.
fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<&str> = labels.rsplit('.').collect();
        return octets.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let nibbles: String = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let number = u128::from_str_radix(&nibbles, 16).ok().filter(|_| nibbles.len() == 32)?;
    Some(IpAddr::V6(Ipv6Addr::from(number)))
}

fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let all = spec.cluster_ips.clone().unwrap_or_else(|| spec.cluster_ip.clone().into_iter().collect());
    all.iter().filter_map(|ip| ip.parse().ok()).collect()
}

fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None"))
}

fn external_name(service: &Service) -> Option<String> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("ExternalName"))?;
    Some(spec.external_name.as_ref()?.trim_end_matches('.').to_lowercase())
}

fn slice_service(slice: &EndpointSlice) -> Option<String> {
    let name = slice.metadata.labels.as_ref()?.get("kubernetes.io/service-name")?;
    Some(format!("{}/{name}", text(&slice.metadata.namespace)))
}

fn ready(slice: &EndpointSlice) -> impl Iterator<Item = &Endpoint> {
    let is_ready = |of: &&Endpoint| of.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
    slice.endpoints.iter().filter(is_ready)
}

/// The pod's own host name where it has one in the service, else its address with dashes.
fn endpoint_name(endpoint: &Endpoint) -> String {
    let dashed = || endpoint.addresses.first().map(|address| address.replace(['.', ':'], "-")).unwrap_or_default();
    endpoint.hostname.clone().filter(|name| !name.is_empty()).unwrap_or_else(dashed)
}

fn parsed(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    endpoint.addresses.iter().filter_map(|address| address.parse().ok())
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;

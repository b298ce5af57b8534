//! What holds for the whole cluster, and is derived from its address ranges.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use network::links::Cidr;

pub const DOMAIN: &str = "cluster.local";
pub const BRIDGE: &str = "keelson0";
/// The ConfigMap that tells machines which address ranges and authorities the cluster has.
pub const RANGES: &str = "keelson-cluster";
pub const RANGES_NAMESPACE: &str = "kube-public";
/// Its key with the authorities.
pub const AUTHORITIES: &str = "ca.crt";
/// Every node's share of the pod addresses.
pub const NODE_MASK: u8 = 24;

/// The address of the `kubernetes` Service: the first of the range.
pub fn api_service_ip(services: Cidr) -> Ipv4Addr {
    services.nth(1)
}

/// Where cluster DNS answers: the tenth address of the service range, on every node.
pub fn dns_ip(services: Cidr) -> Ipv4Addr {
    services.nth(10)
}

/// The address by which this machine reaches the world. Nothing is sent: the kernel is asked for a route.
pub fn own_address() -> Option<IpAddr> {
    let anywhere = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(anywhere).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address).or_else(interface_address)
}

fn interface_address() -> Option<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().ok()?;
    let outside = interfaces.filter(|interface| interface.interface_name != BRIDGE);
    let addresses = outside.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
    addresses.map(IpAddr::V4).find(|address| !address.is_loopback())
}

/// The URLs of the servers, if the slice is that of the API's endpoints.
pub fn server_urls(slice: &EndpointSlice) -> Vec<String> {
    let metadata = &slice.metadata;
    let name = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let port = slice.ports.iter().flatten().find_map(|port| u16::try_from(port.port?).ok());
    let (("default", "kubernetes"), Some(port)) = ((name.0.unwrap_or_default(), name.1.unwrap_or_default()), port)
    else {
        return Vec::new();
    };
    let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    let addresses = addresses.filter_map(|address| address.parse::<IpAddr>().ok());
    addresses.map(|address| format!("https://{}", SocketAddr::new(address, port))).collect()
}

pub fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname()?;
    Ok(name.to_string_lossy().to_lowercase())
}

//! What holds for the whole cluster, and is derived from its address ranges.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::wait::await_condition;
use kube::{Api, Resource};
use network::links::Cidr;
use serde::de::DeserializeOwned;

pub const DOMAIN: &str = "cluster.local";
pub const BRIDGE: &str = "keelson0";
/// The ConfigMap that tells machines which address ranges and authorities the cluster has.
pub const RANGES: &str = "keelson-cluster";
pub const RANGES_NAMESPACE: &str = "kube-public";
/// Its key with the authorities.
pub const AUTHORITIES: &str = "ca.crt";
/// Every node's share of the pod addresses.
pub const NODE_MASK: u8 = 24;

/// Wait before an object is asked for again.
const RETRY: Duration = Duration::from_secs(1);

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

/// Waits until the condition holds for an object, however often it can not be asked for meanwhile. May be dropped at any
/// time.
pub async fn until<K>(api: Api<K>, name: &str, condition: impl Fn(Option<&K>) -> bool + Copy) -> Option<K>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    loop {
        match await_condition(api.clone(), name, condition).await {
            Ok(found) => return found,
            Err(error) => tracing::warn!(%error, name, "an object is waited for anew"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

pub fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname()?;
    Ok(name.to_string_lossy().to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response, StatusCode};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_object_is_waited_for_while_the_server_can_not_tell() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let answer = move |_: Request<Body>| {
            let (status, body) = match count.fetch_add(1, Ordering::Relaxed) {
                0 => (StatusCode::SERVICE_UNAVAILABLE, json!({"kind": "Status", "status": "Failure", "code": 503})),
                _ => {
                    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
                    (StatusCode::OK, json!({"metadata": {"resourceVersion": "1"}, "items": [map]}))
                }
            };
            let response = Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
            std::future::ready(Ok::<_, std::convert::Infallible>(response.expect("a status and a body make one")))
        };
        let client = kube::Client::new(tower::service_fn(answer), "default");
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let found = until(maps, "a", |map: Option<&ConfigMap>| map.is_some()).await.expect("the condition holds");
        assert_eq!(found.metadata.name.as_deref(), Some("a"));
        assert!(asked.load(Ordering::Relaxed) > 1);
    }
}

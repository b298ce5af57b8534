//! Who stands behind a service: EndpointSlices for the proxies, and Endpoints for older readers.
//! (upstream: pkg/controller/endpointslice, staging k8s.io/endpointslice, pkg/controller/endpoint)

mod backends;
mod decide;
mod legacy;
mod slices;
#[cfg(test)]
mod tests;

pub use legacy::EndpointsController;
pub use slices::EndpointSliceController;

use control::meta::Labels;
use control::{Change, Informer, ObjectKey};
use k8s_openapi::api::core::v1::{Pod, Service};

/// Marks slices and Endpoints of services without a cluster IP.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// The services that a pod stood behind before or stands behind now; none if nothing that counts changed.
fn services_of(services: &Informer<Service>, change: &Change<Pod>) -> Vec<ObjectKey> {
    let pod = change.object();
    if change.old().is_some_and(|old| same_backend(old, pod)) {
        return Vec::new();
    }
    let near = services.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default());
    let selects = |service: &Service| {
        let pairs = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let labels = pairs.filter(|pairs| !pairs.is_empty()).map(Labels::pairs);
        labels.is_some_and(|labels| {
            labels.matches(&pod.metadata) || change.old().is_some_and(|old| labels.matches(&old.metadata))
        })
    };
    near.iter().filter(|service| selects(service)).map(|service| ObjectKey::of(&service.metadata)).collect()
}

/// Most changes of a pod's status do not matter to its services.
fn same_backend(old: &Pod, new: &Pod) -> bool {
    use control::pods;
    let addresses = |pod: &Pod| pod.status.as_ref().map(|status| (status.pod_ip.clone(), status.pod_ips.clone()));
    old.metadata.labels == new.metadata.labels
        && pods::is_ready(old) == pods::is_ready(new)
        && pods::is_terminating(old) == pods::is_terminating(new)
        && pods::is_finished(old) == pods::is_finished(new)
        && addresses(old) == addresses(new)
        && pods::node_name(old) == pods::node_name(new)
}

//! What authentication, authorization and admission read of the cluster.

use machinery::Object;

/// A served resource, by group, version and plural name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    pub group: &'static str,
    pub version: &'static str,
    pub name: &'static str,
}

const fn core(name: &'static str) -> Resource {
    Resource { group: "", version: "v1", name }
}

const fn rbac(name: &'static str) -> Resource {
    Resource { group: "rbac.authorization.k8s.io", version: "v1", name }
}

impl Resource {
    pub const NAMESPACES: Self = core("namespaces");
    pub const NODES: Self = core("nodes");
    pub const PODS: Self = core("pods");
    pub const SECRETS: Self = core("secrets");
    pub const SERVICE_ACCOUNTS: Self = core("serviceaccounts");
    pub const PERSISTENT_VOLUMES: Self = core("persistentvolumes");
    pub const PERSISTENT_VOLUME_CLAIMS: Self = core("persistentvolumeclaims");
    pub const LIMIT_RANGES: Self = core("limitranges");
    pub const RESOURCE_QUOTAS: Self = core("resourcequotas");
    pub const ROLES: Self = rbac("roles");
    pub const ROLE_BINDINGS: Self = rbac("rolebindings");
    pub const CLUSTER_ROLES: Self = rbac("clusterroles");
    pub const CLUSTER_ROLE_BINDINGS: Self = rbac("clusterrolebindings");
    pub const PRIORITY_CLASSES: Self = Self { group: "scheduling.k8s.io", version: "v1", name: "priorityclasses" };
    pub const RUNTIME_CLASSES: Self = Self { group: "node.k8s.io", version: "v1", name: "runtimeclasses" };
    pub const STORAGE_CLASSES: Self = Self { group: "storage.k8s.io", version: "v1", name: "storageclasses" };
    pub const VOLUME_ATTACHMENTS: Self = Self { group: "storage.k8s.io", version: "v1", name: "volumeattachments" };
    pub const INGRESS_CLASSES: Self = Self { group: "networking.k8s.io", version: "v1", name: "ingressclasses" };
    pub const RESOURCE_SLICES: Self = Self { group: "resource.k8s.io", version: "v1", name: "resourceslices" };
    pub const RESOURCE_CLAIMS: Self = Self { group: "resource.k8s.io", version: "v1", name: "resourceclaims" };
}

/// Synchronous reads of the watch cache. Resources of cluster scope have the namespace `""`.
pub trait View: Send + Sync {
    fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Object>;

    /// `""` lists all namespaces.
    fn list(&self, resource: Resource, namespace: &str) -> Vec<Object>;

    /// Changes whenever anything of the resource does.
    fn version(&self, resource: Resource) -> u64;

    /// The pods bound to a node, of one namespace or of all.
    fn pods_on(&self, node: &str, namespace: &str) -> Vec<Object> {
        let mut pods = self.list(Resource::PODS, namespace);
        pods.retain(|pod| pod.str(&["spec", "nodeName"]) == node);
        pods
    }
}

//! What authentication, authorization and admission read of the cluster.

use std::collections::BTreeMap;

use kinds::KindDef;
use machinery::Object;
use registry::Registry;

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

const fn registration(name: &'static str) -> Resource {
    Resource { group: "admissionregistration.k8s.io", version: "v1", name }
}

impl Resource {
    pub const NAMESPACES: Self = core("namespaces");
    pub const NODES: Self = core("nodes");
    pub const PODS: Self = core("pods");
    pub const SERVICES: Self = core("services");
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
    pub const ENDPOINT_SLICES: Self = Self { group: "discovery.k8s.io", version: "v1", name: "endpointslices" };
    pub const MUTATING_WEBHOOK_CONFIGURATIONS: Self = registration("mutatingwebhookconfigurations");
    pub const VALIDATING_WEBHOOK_CONFIGURATIONS: Self = registration("validatingwebhookconfigurations");
    pub const VALIDATING_ADMISSION_POLICIES: Self = registration("validatingadmissionpolicies");
    pub const VALIDATING_ADMISSION_POLICY_BINDINGS: Self = registration("validatingadmissionpolicybindings");
    pub const MUTATING_ADMISSION_POLICIES: Self =
        Self { version: "v1beta1", ..registration("mutatingadmissionpolicies") };
    pub const MUTATING_ADMISSION_POLICY_BINDINGS: Self =
        Self { version: "v1beta1", ..registration("mutatingadmissionpolicybindings") };
    pub const RESOURCE_SLICES: Self = Self { group: "resource.k8s.io", version: "v1", name: "resourceslices" };
    pub const POD_CERTIFICATE_REQUESTS: Self =
        Self { group: "certificates.k8s.io", version: "v1beta1", name: "podcertificaterequests" };
    pub const RESOURCE_CLAIMS: Self = Self { group: "resource.k8s.io", version: "v1", name: "resourceclaims" };
}

/// One change of an object; of a deleted one this is its last state.
pub struct Changed {
    pub object: Object,
    pub deleted: bool,
}

/// Synchronous reads of the watch cache. Resources of cluster scope have the namespace `""`.
pub trait View: Send + Sync {
    fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Object>;

    /// A field that selectors may name, without a look at the rest; nothing when there is no such object.
    fn field(&self, resource: Resource, namespace: &str, name: &str, field: &str) -> Option<String> {
        let object = self.get(resource, namespace, name)?;
        Some(object.str(&field.split('.').collect::<Vec<_>>()).to_owned())
    }

    /// The labels of an object, without a look at the rest; nothing when there is no such object.
    fn labels(&self, resource: Resource, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        Some(self.get(resource, namespace, name)?.labels())
    }

    /// `""` lists all namespaces.
    fn list(&self, resource: Resource, namespace: &str) -> Vec<Object>;

    /// Changes whenever anything of the resource does.
    fn version(&self, resource: Resource) -> u64;

    /// All objects, and the cursor from which their changes can be read.
    fn snapshot(&self, resource: Resource) -> (Vec<Object>, u64);

    /// The changes since a cursor, the oldest first, and the cursor behind them; nothing when they are no longer all
    /// known.
    fn changes(&self, resource: Resource, cursor: u64) -> Option<(Vec<Changed>, u64)>;

    /// The pods bound to a node, of one namespace or of all.
    fn pods_on(&self, node: &str, namespace: &str) -> Vec<Object> {
        let mut pods = self.list(Resource::PODS, namespace);
        pods.retain(|pod| pod.str(&["spec", "nodeName"]) == node);
        pods
    }
}

impl View for Registry {
    fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Object> {
        Some(self.lister(kind(self, resource)?).get(namespace, name)?.object())
    }

    fn field(&self, resource: Resource, namespace: &str, name: &str, field: &str) -> Option<String> {
        self.lister(kind(self, resource)?).get(namespace, name)?.field(field)
    }

    fn labels(&self, resource: Resource, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        Some(self.lister(kind(self, resource)?).get(namespace, name)?.labels().clone())
    }

    fn list(&self, resource: Resource, namespace: &str) -> Vec<Object> {
        let Some(kind) = kind(self, resource) else { return Vec::new() };
        self.lister(kind).list(namespace).iter().map(|entry| entry.object()).collect()
    }

    fn version(&self, resource: Resource) -> u64 {
        kind(self, resource).map_or(0, |kind| self.lister(kind).version())
    }

    fn snapshot(&self, resource: Resource) -> (Vec<Object>, u64) {
        let Some(kind) = kind(self, resource) else { return (Vec::new(), 0) };
        let (entries, cursor) = self.lister(kind).snapshot();
        (entries.iter().map(|entry| entry.object()).collect(), cursor)
    }

    fn changes(&self, resource: Resource, cursor: u64) -> Option<(Vec<Changed>, u64)> {
        let (changes, cursor) = self.lister(kind(self, resource)?).changes(cursor)?;
        let changes = changes.iter().map(|change| Changed { object: change.entry.object(), deleted: change.deleted });
        Some((changes.collect(), cursor))
    }

    /// Pods of other nodes are told apart by what the cache has extracted, without parsing them.
    fn pods_on(&self, node: &str, namespace: &str) -> Vec<Object> {
        let Some(kind) = kind(self, Resource::PODS) else { return Vec::new() };
        let pods = self.lister(kind).list(namespace);
        let own = pods.iter().filter(|pod| pod.field("spec.nodeName").as_deref() == Some(node));
        own.map(|pod| pod.object()).collect()
    }
}

fn kind(registry: &Registry, resource: Resource) -> Option<&'static KindDef> {
    registry.kinds().find(resource.group, resource.version, resource.name)
}

/// A cluster made of a few objects, for tests of this crate and of admission.
pub mod testing {
    use std::collections::{BTreeMap, VecDeque};
    use std::sync::atomic::{AtomicU64, Ordering};

    use parking_lot::RwLock;
    use serde_json::Value;

    use super::*;

    type Key = (String, String, String);

    #[derive(Default)]
    pub struct Objects {
        objects: RwLock<BTreeMap<Key, Object>>,
        /// Of whatever resource; the cursor is the place of a change among all.
        changes: RwLock<VecDeque<(String, Object, bool)>>,
        forgotten: AtomicU64,
        version: AtomicU64,
    }

    impl Objects {
        /// One object a line: `RESOURCE[/NAMESPACE] NAME [FIELD=JSON]...`; JSON without spaces.
        pub fn apply(&self, lines: &str) {
            for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let mut words = line.split_whitespace();
                let place = words.next().expect("a resource");
                let (resource, namespace) = place.split_once('/').unwrap_or((place, ""));
                let mut object = Object::default();
                object.set(&["metadata", "name"], words.next().expect("a name"));
                if !namespace.is_empty() {
                    object.set(&["metadata", "namespace"], namespace);
                }
                for word in words {
                    let (field, json) = word.split_once('=').expect("FIELD=JSON");
                    let value: Value = serde_json::from_str(json).expect("JSON");
                    object.set(&field.split('.').collect::<Vec<_>>(), value);
                }
                self.put(resource, object);
            }
        }

        pub fn put(&self, resource: &str, object: Object) {
            let key = (resource.to_owned(), object.namespace().to_owned(), object.name().to_owned());
            self.changes.write().push_back((resource.to_owned(), object.clone(), false));
            self.objects.write().insert(key, object);
            self.version.fetch_add(1, Ordering::Relaxed);
        }

        pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
            let removed = self.objects.write().remove(&(resource.to_owned(), namespace.to_owned(), name.to_owned()));
            self.changes.write().extend(removed.map(|object| (resource.to_owned(), object, true)));
            self.version.fetch_add(1, Ordering::Relaxed);
        }

        /// As a cache does that has not room for all of them.
        pub fn forget_changes(&self) {
            let forgotten = self.changes.write().drain(..).count();
            self.forgotten.fetch_add(forgotten as u64, Ordering::Relaxed);
        }
    }

    impl View for Objects {
        fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Object> {
            let key = (resource.name.to_owned(), namespace.to_owned(), name.to_owned());
            self.objects.read().get(&key).cloned()
        }

        fn list(&self, resource: Resource, namespace: &str) -> Vec<Object> {
            let objects = self.objects.read();
            let of = objects
                .iter()
                .filter(|((name, ns, _), _)| name == resource.name && (namespace.is_empty() || ns == namespace));
            of.map(|(_, object)| object.clone()).collect()
        }

        fn version(&self, _: Resource) -> u64 {
            self.version.load(Ordering::Relaxed)
        }

        fn snapshot(&self, resource: Resource) -> (Vec<Object>, u64) {
            let cursor = self.forgotten.load(Ordering::Relaxed) + self.changes.read().len() as u64;
            (self.list(resource, ""), cursor)
        }

        fn changes(&self, resource: Resource, cursor: u64) -> Option<(Vec<Changed>, u64)> {
            let (changes, forgotten) = (self.changes.read(), self.forgotten.load(Ordering::Relaxed));
            let later = changes.range(usize::try_from(cursor.checked_sub(forgotten)?).ok()?..);
            let of = later.filter(|(name, ..)| name == resource.name);
            let changed = of.map(|(_, object, deleted)| Changed { object: object.clone(), deleted: *deleted });
            Some((changed.collect(), forgotten + changes.len() as u64))
        }
    }
}

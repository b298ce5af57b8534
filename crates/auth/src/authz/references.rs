//! What a pod or a volume refers to by name.

use machinery::Object;
use serde_json::Value;

/// Kinds that pods refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
    ResourceClaim,
}

/// Names of objects in the pod's namespace.
#[derive(Clone, Debug, Default)]
pub struct PodReferences(Vec<(Kind, String)>);

const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// Volume sources that name a secret by `secretRef`.
const SECRET_REF_SOURCES: [&str; 6] = ["cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"];

impl PodReferences {
    /// Mirror pods are made by nodes and refer to nothing, whatever they say.
    pub fn of(pod: &Object) -> Self {
        let mut references = Self::default();
        if pod.annotation(MIRROR_POD).is_some() {
            return references;
        }
        references.add(Kind::ServiceAccount, pod.get(&["spec", "serviceAccountName"]));
        for secret in pod.list(&["spec", "imagePullSecrets"]) {
            references.add(Kind::Secret, secret.get("name"));
        }
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            pod.list(&["spec", list]).iter().for_each(|container| references.add_container(container));
        }
        for volume in pod.list(&["spec", "volumes"]) {
            references.add_volume(volume, pod.name());
        }
        references.add_resource_claims(pod);
        references
    }

    pub fn holds(&self, kind: Kind, name: &str) -> bool {
        self.names(kind).any(|own| own == name)
    }

    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| *of == kind).map(|(_, name)| name.as_str())
    }

    fn add(&mut self, kind: Kind, name: Option<&Value>) {
        if let Some(name) = name.and_then(Value::as_str).filter(|name| !name.is_empty()) {
            self.0.push((kind, name.to_owned()));
        }
    }

    fn add_container(&mut self, container: &Value) {
        for env in items(container, "env") {
            self.add(Kind::Secret, env.pointer("/valueFrom/secretKeyRef/name"));
            self.add(Kind::ConfigMap, env.pointer("/valueFrom/configMapKeyRef/name"));
        }
        for source in items(container, "envFrom") {
            self.add(Kind::Secret, source.pointer("/secretRef/name"));
            self.add(Kind::ConfigMap, source.pointer("/configMapRef/name"));
        }
    }

    fn add_volume(&mut self, volume: &Value, pod_name: &str) {
        self.add(Kind::Secret, volume.pointer("/secret/secretName"));
        self.add(Kind::Secret, volume.pointer("/azureFile/secretName"));
        self.add(Kind::Secret, volume.pointer("/csi/nodePublishSecretRef/name"));
        for source in SECRET_REF_SOURCES {
            self.add(Kind::Secret, volume.pointer(&format!("/{source}/secretRef/name")));
        }
        self.add(Kind::ConfigMap, volume.pointer("/configMap/name"));
        self.add(Kind::Claim, volume.pointer("/persistentVolumeClaim/claimName"));
        if volume.get("ephemeral").is_some() {
            let name = format!("{pod_name}-{}", volume["name"].as_str().unwrap_or_default());
            self.0.push((Kind::Claim, name));
        }
        for source in volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten() {
            self.add(Kind::Secret, source.pointer("/secret/name"));
            self.add(Kind::ConfigMap, source.pointer("/configMap/name"));
        }
    }

    fn add_resource_claims(&mut self, pod: &Object) {
        for claim in pod.list(&["spec", "resourceClaims"]) {
            self.add(Kind::ResourceClaim, claim.get("resourceClaimName"));
        }
        for claim in pod.list(&["status", "resourceClaimStatuses"]) {
            self.add(Kind::ResourceClaim, claim.get("resourceClaimName"));
        }
        let extended = pod.get(&["status", "extendedResourceClaimStatus", "resourceClaimName"]);
        self.add(Kind::ResourceClaim, extended);
    }
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// The secrets a PersistentVolume names, as namespace and name; those without a namespace are the claim's.
pub fn pv_secrets<'a>(volume: &'a Object, claim_namespace: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let sources = volume.map(&["spec"]).into_iter().flat_map(|spec| spec.values()).filter_map(Value::as_object);
    let fields = sources.flat_map(|source| source.iter());
    let references = fields.filter(|(field, _)| field.ends_with("SecretRef") || *field == "secretRef");
    references.filter_map(move |(_, reference)| {
        let namespace = reference["namespace"].as_str().unwrap_or(claim_namespace);
        Some((namespace, reference["name"].as_str()?))
    })
}

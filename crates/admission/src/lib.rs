//! Admission: a flat, ordered list of plugins that look at every write, and after them the cluster's policies and
//! webhooks.
//!
//! A plugin is a function over [`Admit`] and the object. It reads the watch cache and writes nothing but the
//! object; [`resource_quota`] alone counts what it lets pass, and stands at the end for that reason.
//! Names, order and texts are upstream's; `RBACEscalation`, `ParamAccess` and `DRAAdminAccess` are checks that upstream
//! keeps in the storage of these kinds.

mod admin_access;
mod always;
mod always_pull_images;
mod anti_affinity;
mod cached;
mod certificates;
mod changed;
mod claim_resize;
mod conditions;
mod configuration;
mod conversion;
mod default_classes;
mod default_toleration_seconds;
mod event_rate_limit;
mod extended_resource_toleration;
mod external_ips;
mod inputs;
mod limit_ranger;
mod matching;
mod metrics;
mod mountable_secrets;
mod namespace_lifecycle;
mod namespaces;
mod node_restriction;
mod options;
mod owner_references;
mod param_access;
mod pod_node_selector;
mod pod_security;
mod pod_toleration_restriction;
mod pods;
mod policy;
mod priority;
mod rbac_escalation;
mod reinvocation;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_protection;
mod subject;
mod taint_nodes;
#[cfg(test)]
mod testing;
mod topology_labels;
mod webhook;

pub use conversion::ConversionWebhooks;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use auth::authz::Escalation;
use auth::view::Resource;
use auth::{Authorizer, View};
use machinery::{ApiError, GroupResource, Object};
use registry::{Admission, AdmissionRequest, Admitted, KindTable, Operation, Registry};

use metrics::{Metrics, Step, Timer};
pub use options::Options;
use policy::Policies;
use reinvocation::Rounds;
use subject::Subject;
use webhook::Webhooks;

type Mutate = fn(&Admit<'_>, &mut Object) -> Result<(), ApiError>;
type Validate = fn(&Admit<'_>, Option<&Object>) -> Result<(), ApiError>;

/// The name of what has none yet.
const UNKNOWN: &str = "Unknown";

/// In the order they are asked.
const MUTATING: &[(&str, Mutate)] = &[
    ("NamespaceLifecycle", namespace_lifecycle::mutate),
    ("LimitRanger", limit_ranger::mutate),
    ("ServiceAccount", service_account::mutate),
    ("NodeRestriction", node_restriction::mutate),
    ("TaintNodesByCondition", taint_nodes::mutate),
    ("AlwaysPullImages", always_pull_images::mutate),
    ("PodNodeSelector", pod_node_selector::mutate),
    ("Priority", priority::mutate),
    ("DefaultTolerationSeconds", default_toleration_seconds::mutate),
    ("PodTolerationRestriction", pod_toleration_restriction::mutate),
    ("ExtendedResourceToleration", extended_resource_toleration::mutate),
    ("DefaultStorageClass", default_classes::storage),
    ("StorageObjectInUseProtection", storage_protection::mutate),
    ("RuntimeClass", runtime_class::mutate),
    ("DefaultIngressClass", default_classes::ingress),
    ("PodTopologyLabels", topology_labels::mutate),
];

const VALIDATING: &[(&str, Validate)] = &[
    ("AlwaysAdmit", always::admit),
    ("AlwaysDeny", always::deny),
    ("ParamAccess", param_access::validate),
    ("NamespaceLifecycle", namespace_lifecycle::validate),
    ("NamespaceExists", namespaces::exists),
    ("LimitPodHardAntiAffinityTopology", anti_affinity::validate),
    ("NodeRestriction", node_restriction::validate),
    ("LimitRanger", limit_ranger::validate),
    ("ServiceAccount", service_account::validate),
    ("PodSecurity", pod_security::validate),
    ("PodNodeSelector", pod_node_selector::validate),
    ("Priority", priority::validate),
    ("PodTolerationRestriction", pod_toleration_restriction::validate),
    ("EventRateLimit", event_rate_limit::validate),
    ("OwnerReferencesPermissionEnforcement", owner_references::validate),
    ("PersistentVolumeClaimResize", claim_resize::validate),
    ("RuntimeClass", runtime_class::validate),
    ("RBACEscalation", rbac_escalation::validate),
    ("CertificateApproval", certificates::approval),
    ("CertificateSigning", certificates::signing),
    ("ClusterTrustBundleAttest", certificates::attestation),
    ("PodCertificateSigning", certificates::pod_signing),
    ("CertificateSubjectRestriction", certificates::subject),
    ("DRAAdminAccess", admin_access::validate),
    ("DenyServiceExternalIPs", external_ips::validate),
];

/// A pod may be created right after its namespace, whose default service account a controller makes.
const SERVICE_ACCOUNT_ATTEMPTS: usize = 10;
const SERVICE_ACCOUNT_WAIT: Duration = Duration::from_millis(100);

/// The admission of a cluster.
pub struct BuiltIn {
    view: Arc<dyn View>,
    authorizer: Arc<dyn Authorizer>,
    escalation: Escalation,
    policies: Policies,
    webhooks: Webhooks,
    /// ResourceQuota, which comes last.
    quotas: Option<Timer>,
    known_quotas: resource_quota::Known,
    ledger: resource_quota::Ledger,
    options: Options,
    metrics: Metrics,
    /// Those that are on.
    mutating: Vec<(Timer, Mutate)>,
    validating: Vec<(Timer, Validate)>,
    waiting: Waiting,
}

/// Plugins that have to wait for others, where they are on.
struct Waiting {
    namespaces: Option<Timer>,
    mutating_policies: Option<Timer>,
    mutating_webhooks: Option<Timer>,
    validating_policies: Option<Timer>,
    validating_webhooks: Option<Timer>,
}

impl Waiting {
    fn new(options: &Options) -> Self {
        let timer = |name, step| options.is_on(name).then(|| Timer::new(name, step));
        Self {
            namespaces: timer("NamespaceAutoProvision", Step::Admit),
            mutating_policies: timer("MutatingAdmissionPolicy", Step::Admit),
            mutating_webhooks: timer("MutatingAdmissionWebhook", Step::Admit),
            validating_policies: timer("ValidatingAdmissionPolicy", Step::Validate),
            validating_webhooks: timer("ValidatingAdmissionWebhook", Step::Validate),
        }
    }
}

/// Those of `plugins` that are on.
fn on<F: Copy>(plugins: &[(&'static str, F)], step: Step, options: &Options) -> Vec<(Timer, F)> {
    let on = plugins.iter().filter(|(name, _)| options.is_on(name));
    on.map(|(name, plugin)| (Timer::new(name, step), *plugin)).collect()
}

impl BuiltIn {
    pub fn new(view: Arc<dyn View>, authorizer: Arc<dyn Authorizer>, escalation: Escalation) -> Self {
        let policies = Policies::new(view.clone(), authorizer.clone());
        let webhooks = Webhooks::new(view.clone(), authorizer.clone());
        Self {
            view,
            authorizer,
            escalation,
            policies,
            webhooks,
            quotas: None,
            known_quotas: resource_quota::Known::default(),
            ledger: resource_quota::Ledger::default(),
            options: Options::default(),
            metrics: Metrics::default(),
            mutating: Vec::new(),
            validating: Vec::new(),
            waiting: Waiting::new(&Options::default()),
        }
        .with_options(Options::default())
    }

    pub fn with_options(mut self, mut options: Options) -> Self {
        let [mutating, validating] = [&mut options.mutating_users, &mut options.validating_users].map(std::mem::take);
        self.webhooks = self.webhooks.known_as(mutating, validating);
        self.mutating = on(MUTATING, Step::Admit, &options);
        self.validating = on(VALIDATING, Step::Validate, &options);
        self.waiting = Waiting::new(&options);
        self.quotas = options.is_on("ResourceQuota").then(|| Timer::new("ResourceQuota", Step::Validate));
        self.options = options;
        self
    }

    /// Shows how long plugins and webhooks take.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
        self.policies.register(registry);
        self.webhooks.register(registry);
    }

    /// Asks one plugin, and notes how long that took.
    fn timed<T>(
        &self,
        timer: &Timer,
        request: &AdmissionRequest<'_>,
        ask: impl FnOnce() -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let begun = clock::monotonic();
        let outcome = ask();
        self.metrics.plugin(timer, request.operation, &outcome, begun.elapsed());
        outcome
    }

    /// The same for one that has to wait, if it is on.
    async fn waited(
        &self,
        timer: Option<&Timer>,
        request: &AdmissionRequest<'_>,
        asking: impl Future<Output = Result<(), ApiError>>,
    ) -> Result<(), ApiError> {
        let Some(timer) = timer else { return Ok(()) };
        let begun = clock::monotonic();
        let outcome = asking.await;
        self.metrics.plugin(timer, request.operation, &outcome, begun.elapsed());
        outcome
    }

    /// What was made a moment ago may not be in the cache yet: a read of the newest state waits for it.
    async fn await_namespace(&self, registry: &Registry, request: &AdmissionRequest<'_>) {
        if namespace_lifecycle::phase(&*self.view, request.namespace).is_none() {
            newest(registry, Resource::NAMESPACES, "", request.namespace).await;
        }
    }

    /// The same for a pod's service account; for the default one it may be made only now.
    async fn await_service_account(&self, registry: &Registry, request: &AdmissionRequest<'_>, pod: &Object) {
        let kind = request.kind;
        if (kind.group, kind.resource, request.subresource) != ("", "pods", "") || pods::is_mirror(pod) {
            return;
        }
        let name = match pod.str(&["spec", "serviceAccountName"]) {
            "" => service_account::DEFAULT,
            name => name,
        };
        if self.view.get(Resource::SERVICE_ACCOUNTS, request.namespace, name).is_some() {
            return;
        }
        let in_namespace = self.view.get(Resource::NAMESPACES, "", request.namespace).is_some();
        let attempts = if name == service_account::DEFAULT && in_namespace { SERVICE_ACCOUNT_ATTEMPTS } else { 1 };
        for attempt in 0..attempts {
            if attempt > 0 {
                tokio::time::sleep(SERVICE_ACCOUNT_WAIT).await;
            }
            if newest(registry, Resource::SERVICE_ACCOUNTS, request.namespace, name).await {
                return;
            }
        }
    }

    /// Asks once, and once more whom a change by another concerns.
    async fn mutate_all(
        &self,
        registry: &Registry,
        request: &AdmissionRequest<'_>,
        mut object: Option<&mut Object>,
    ) -> Result<(), ApiError> {
        let mut rounds = Rounds::default();
        self.mutate_round(registry, request, object.as_deref_mut(), &mut rounds).await?;
        if rounds.changed {
            rounds.second = true;
            self.mutate_round(registry, request, object.as_deref_mut(), &mut rounds).await?;
        }
        // Last: nobody else has a say in who asks for a certificate.
        object.into_iter().for_each(|object| certificates::requester(&self.admit(registry, request), object));
        Ok(())
    }

    async fn mutate_round(
        &self,
        registry: &Registry,
        request: &AdmissionRequest<'_>,
        mut object: Option<&mut Object>,
        rounds: &mut Rounds,
    ) -> Result<(), ApiError> {
        if let Some(object) = object.as_deref_mut() {
            let admit = self.admit(registry, request);
            for (timer, plugin) in &self.mutating {
                self.timed(timer, request, || plugin(&admit, object))?;
            }
        }
        let asking = self.policies.mutate(registry, subject(registry, request, None), object.as_deref_mut(), rounds);
        self.waited(self.waiting.mutating_policies.as_ref(), request, asking).await?;
        let asking = self.webhooks.mutate(registry, subject(registry, request, None), object, rounds);
        self.waited(self.waiting.mutating_webhooks.as_ref(), request, asking).await
    }

    async fn validate_all(
        &self,
        registry: &Registry,
        request: &AdmissionRequest<'_>,
        object: Option<&Object>,
    ) -> Result<Admitted, ApiError> {
        let admit = self.admit(registry, request);
        for (timer, plugin) in &self.validating {
            self.timed(timer, request, || plugin(&admit, object))?;
        }
        let subject = subject(registry, request, object);
        let asking = self.policies.validate(registry, subject);
        self.waited(self.waiting.validating_policies.as_ref(), request, asking).await?;
        let asking = self.webhooks.validate(registry, subject);
        self.waited(self.waiting.validating_webhooks.as_ref(), request, asking).await?;
        let (Some(timer), Some(object)) = (&self.quotas, object) else { return Ok(None) };
        self.timed(timer, request, || resource_quota::charge(&admit, &self.known_quotas, &self.ledger, object))
    }

    fn admit<'a>(&'a self, registry: &'a Registry, request: &'a AdmissionRequest<'a>) -> Admit<'a> {
        Admit {
            request,
            kinds: registry.kinds(),
            view: &*self.view,
            authorizer: &*self.authorizer,
            escalation: &self.escalation,
            options: &self.options,
        }
    }
}

fn subject<'a>(registry: &'a Registry, request: &'a AdmissionRequest<'a>, object: Option<&'a Object>) -> Subject<'a> {
    Subject { request, kinds: registry.kinds(), object }
}

/// One write and what plugins may look at.
pub(crate) struct Admit<'a> {
    pub request: &'a AdmissionRequest<'a>,
    /// Those that are served.
    pub kinds: &'a KindTable,
    pub view: &'a dyn View,
    pub authorizer: &'a dyn Authorizer,
    pub escalation: &'a Escalation,
    pub options: &'a Options,
}

impl Admit<'_> {
    /// Whether the request is about this resource itself, or about a subresource if one is named.
    fn is(&self, resource: Resource, subresource: &str) -> bool {
        let kind = self.request.kind;
        (kind.group, kind.resource) == (resource.group, resource.name) && self.request.subresource == subresource
    }

    fn creates(&self, resource: Resource) -> bool {
        self.request.operation == Operation::Create && self.is(resource, "")
    }

    /// That of the request.
    fn namespace(&self) -> Result<Object, ApiError> {
        let name = self.request.namespace;
        let found = self.view.get(Resource::NAMESPACES, "", name);
        found.ok_or_else(|| ApiError::not_found(&GroupResource::new("", "namespaces"), name))
    }

    /// Refuses the request as upstream's plugins do.
    fn forbidden(&self, object: Option<&Object>, why: impl AsRef<str>) -> ApiError {
        ApiError::forbidden(&self.request.kind.group_resource(), self.name(object), why)
    }

    /// What the object is called in an error.
    fn name<'a>(&'a self, object: Option<&'a Object>) -> &'a str {
        let named = object.map(|object| match object.name() {
            "" => object.str(&["metadata", "generateName"]),
            name => name,
        });
        match self.request.name {
            "" => named.filter(|name| !name.is_empty()).unwrap_or(UNKNOWN),
            name => name,
        }
    }
}

#[async_trait]
impl Admission for BuiltIn {
    async fn mutate(
        &self,
        registry: &Registry,
        request: &AdmissionRequest<'_>,
        object: Option<&mut Object>,
    ) -> Result<(), ApiError> {
        if request.operation == Operation::Create && request.kind.namespaced() {
            let provision = namespaces::provision(registry, request);
            self.waited(self.waiting.namespaces.as_ref(), request, provision).await?;
            self.await_namespace(registry, request).await;
            if let Some(object) = object.as_deref() {
                self.await_service_account(registry, request, object).await;
            }
        }
        let begun = clock::monotonic();
        let outcome = self.mutate_all(registry, request, object).await;
        self.metrics.step((Step::Admit, request.operation), &outcome, begun.elapsed());
        outcome
    }

    async fn validate(
        &self,
        registry: &Registry,
        request: &AdmissionRequest<'_>,
        object: Option<&Object>,
    ) -> Result<Admitted, ApiError> {
        let begun = clock::monotonic();
        let outcome = self.validate_all(registry, request, object).await;
        self.metrics.step((Step::Validate, request.operation), &outcome, begun.elapsed());
        outcome
    }
}

/// Whether the object is there, by a read that waits until the cache has seen all earlier writes.
async fn newest(registry: &Registry, resource: Resource, namespace: &str, name: &str) -> bool {
    match registry.kinds().find(resource.group, resource.version, resource.name) {
        Some(kind) => registry.get(kind, namespace, name, "").await.is_ok(),
        None => false,
    }
}

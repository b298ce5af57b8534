//! One plugin, one object: how the tests of plugins are written.

use std::sync::Arc;

use auth::View;
use auth::authz::{Escalation, Rbac};
use auth::view::testing::Objects;
use machinery::{ApiError, Object, UserInfo};
use registry::{AdmissionRequest, Context, KindTable, Operation};

use crate::subject::Subject;
use crate::{Admit, Mutate, Options, Validate};

pub struct Case {
    kind: &'static kinds::KindDef,
    operation: Operation,
    subresource: &'static str,
    namespace: String,
    name: String,
    old: Option<Object>,
    pub context: Context,
    pub objects: Arc<Objects>,
    pub options: Options,
}

pub fn object(json: &str) -> Object {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

impl Case {
    /// `resource` may be followed by its group: `leases.coordination.k8s.io`.
    fn new(operation: Operation, resource: &str, namespace: &str, name: &str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let named = |kind: &&&'static kinds::KindDef| (kind.group, kind.resource) == (group, resource);
        let in_any_version = || kinds::known().iter().find(named).copied();
        Self {
            kind: kinds::find(group, "v1", resource).or_else(in_any_version).expect("a kind"),
            operation,
            subresource: String::leak(subresource.to_owned()),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            old: None,
            context: Context { user: UserInfo::new("jane", &[]), ..Context::default() },
            objects: Arc::default(),
            options: Options::default(),
        }
    }

    pub fn create(resource: &str, namespace: &str) -> Self {
        Self::new(Operation::Create, resource, namespace, "")
    }

    pub fn update(resource: &str, namespace: &str, old: Object) -> Self {
        let case = Self::new(Operation::Update, resource, namespace, old.name());
        Self { old: Some(old), ..case }
    }

    pub fn delete(resource: &str, namespace: &str, name: &str) -> Self {
        Self::new(Operation::Delete, resource, namespace, name)
    }

    /// The name in the path.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// What the object was before.
    pub fn before(self, old: Object) -> Self {
        Self { old: Some(old), ..self }
    }

    /// Adds objects, one a line, as [`Objects::apply`] reads them.
    pub fn cluster(self, lines: &str) -> Self {
        self.objects.apply(lines);
        self
    }

    pub fn user(mut self, name: &str, groups: &[&str]) -> Self {
        self.context.user = UserInfo::new(name, groups);
        self
    }

    pub fn mutate(&self, plugin: Mutate, mut object: Object) -> Result<Object, ApiError> {
        self.with(|admit| plugin(admit, &mut object))?;
        Ok(object)
    }

    pub fn validate(&self, plugin: Validate, object: Option<&Object>) -> Result<(), ApiError> {
        self.with(|admit| plugin(admit, object))
    }

    fn request(&self) -> AdmissionRequest<'_> {
        AdmissionRequest {
            context: &self.context,
            kind: self.kind,
            operation: self.operation,
            subresource: self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            old: self.old.as_ref(),
            deletion: None,
        }
    }

    /// As webhooks and policies see it.
    pub fn seen<T>(&self, object: Option<&Object>, look: impl FnOnce(&Subject<'_>, &dyn View) -> T) -> T {
        let (request, kinds) = (self.request(), KindTable::new(kinds::all(), &[]));
        look(&Subject { request: &request, kinds: &kinds, object }, &*self.objects)
    }

    pub fn with<T>(&self, run: impl FnOnce(&Admit<'_>) -> T) -> T {
        let rbac = Arc::new(Rbac::new(self.objects.clone()));
        let escalation = Escalation::new(rbac.clone(), rbac.clone());
        let (request, kinds) = (self.request(), KindTable::new(kinds::all(), &[]));
        run(&Admit {
            request: &request,
            kinds: &kinds,
            view: &*self.objects,
            authorizer: &*rbac,
            escalation: &escalation,
            options: &self.options,
        })
    }
}

//! What webhooks and policies are shown of a write.

use std::borrow::Cow;

use kinds::{KindDef, Subresource};
use machinery::{ApiError, GroupVersionKind, Object};
use registry::{AdmissionRequest, KindTable, Operation, Registry};
use serde_json::{Map, Value, json};

use crate::UNKNOWN;

const CONFIGURATION: &str = "admissionregistration.k8s.io";
/// What neither webhooks nor policies are asked about: they could not be put right again.
///
/// upstream: webhook/predicates/rules, IsExemptAdmissionConfigurationResource
const EXEMPT: [&str; 6] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// What policies are not asked about besides: what is only answered. (upstream: pkg/kubeapiserver/admission/exclusion)
const ANSWERED: [(&str, &str); 6] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// A write and its object, in the version in which it was asked for.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub request: &'a AdmissionRequest<'a>,
    pub kinds: &'a KindTable,
    pub object: Option<&'a Object>,
}

impl<'a> Subject<'a> {
    pub fn is_exempt(&self) -> bool {
        self.request.kind.group == CONFIGURATION && EXEMPT.contains(&self.request.kind.kind)
    }

    /// The same for policies.
    pub fn is_exempt_from_policies(&self) -> bool {
        self.is_exempt() || ANSWERED.contains(&(self.request.kind.group, self.request.kind.resource))
    }

    pub fn is_namespace(&self) -> bool {
        (self.request.kind.group, self.request.kind.resource) == ("", "namespaces")
    }

    /// May be empty where the object gets a generated one.
    pub fn name(&self) -> &'a str {
        match self.request.name {
            "" => self.object.map_or("", Object::name),
            name => name,
        }
    }

    /// A Namespace lies in itself.
    pub fn namespace(&self) -> &'a str {
        if self.is_namespace() { self.name() } else { self.request.namespace }
    }

    /// Refuses the request as upstream's plugins do.
    pub fn forbidden(&self, why: &str) -> ApiError {
        let generated = || self.object.map_or("", |object| object.str(&["metadata", "generateName"]));
        let name = match self.name() {
            "" => Some(generated()).filter(|name| !name.is_empty()).unwrap_or(UNKNOWN),
            name => name,
        };
        ApiError::forbidden(&self.request.kind.group_resource(), name, why)
    }

    /// What the object is where the request is seen as one for `kind`.
    pub fn object_kind(&self, kind: &KindDef) -> GroupVersionKind {
        match kind.subresource(self.request.subresource) {
            Some(Subresource::Scale(_)) => GroupVersionKind::new("autoscaling", "v1", "Scale"),
            Some(Subresource::Other(other)) if other.kind != kind.kind => match other.version {
                "" => GroupVersionKind::new(kind.group, kind.version, other.kind),
                version => GroupVersionKind::new(other.group, version, other.kind),
            },
            Some(Subresource::Connect { kind: options, .. }) => GroupVersionKind::new("", "v1", *options),
            _ => kind.gvk(),
        }
    }

    /// The object, or the old one, where the request is seen as one for `kind`; only the kind's own objects differ
    /// by version.
    async fn seen_as<'o>(
        &self,
        registry: &Registry,
        kind: &'static KindDef,
        object: &'o Object,
    ) -> Result<Cow<'o, Object>, ApiError> {
        let own = self.request.kind;
        if std::ptr::eq(kind, own) || self.object_kind(own) != own.gvk() {
            return Ok(Cow::Borrowed(object));
        }
        let converted = registry.convert(own, kind, object.clone()).await;
        converted.map(Cow::Owned).map_err(|error| ApiError::internal(error.message))
    }

    /// An AdmissionRequest without its objects, seen as one for `kind`.
    pub fn to_value(self, kind: &KindDef) -> Map<String, Value> {
        let request = self.request;
        let user = &request.context.user;
        let mut user_info = Map::new();
        let texts = [("username", &user.name), ("uid", &user.uid)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        user_info.extend(texts.map(|(field, text)| (field.to_owned(), json!(text))));
        if !user.groups.is_empty() {
            user_info.insert("groups".to_owned(), json!(user.groups));
        }
        if !user.extra.is_empty() {
            user_info.insert("extra".to_owned(), json!(user.extra));
        }
        let mut shown = Map::new();
        let mut set = |field: &str, value: Value| drop(shown.insert(field.to_owned(), value));
        set("kind", kind_value(&self.object_kind(kind)));
        set("resource", resource_value(kind));
        set("requestKind", kind_value(&self.object_kind(request.kind)));
        set("requestResource", resource_value(request.kind));
        for (field, text) in [
            ("subResource", request.subresource),
            ("requestSubResource", request.subresource),
            ("name", self.name()),
            ("namespace", self.namespace()),
        ] {
            if !text.is_empty() {
                set(field, json!(text));
            }
        }
        set("operation", json!(operation(request.operation)));
        set("userInfo", Value::Object(user_info));
        set("dryRun", json!(request.context.dry_run));
        set("options", options(request));
        shown
    }
}

/// The objects of a request in the version in which somebody wants to see it.
pub struct Seen<'a> {
    pub object: Option<Cow<'a, Object>>,
    pub old: Option<Cow<'a, Object>>,
}

impl<'a> Seen<'a> {
    pub async fn new(registry: &Registry, subject: &Subject<'a>, kind: &'static KindDef) -> Result<Self, ApiError> {
        let mut seen = Self { object: None, old: None };
        if let Some(object) = subject.object {
            seen.object = Some(subject.seen_as(registry, kind, object).await?);
        }
        if let Some(old) = subject.request.old {
            seen.old = Some(subject.seen_as(registry, kind, old).await?);
        }
        Ok(seen)
    }

    pub fn objects(&self) -> [Option<&Object>; 2] {
        [self.object.as_deref(), self.old.as_deref()]
    }
}

fn kind_value(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn resource_value(kind: &KindDef) -> Value {
    json!({"group": kind.group, "version": kind.version, "resource": kind.resource})
}

pub fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

/// The options of the operation; connections have none but their object.
fn options(request: &AdmissionRequest<'_>) -> Value {
    let context = request.context;
    let kind = match request.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if context.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    if request.operation != Operation::Delete {
        if !context.field_manager.is_empty() {
            options["fieldManager"] = json!(context.field_manager);
        }
        options["fieldValidation"] = json!(context.field_validation.name());
        return options;
    }
    let Some(deletion) = request.deletion else { return options };
    if let Some(seconds) = deletion.grace_seconds {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    let conditions = [("uid", &deletion.uid), ("resourceVersion", &deletion.resource_version)];
    for (field, value) in conditions {
        if let Some(value) = value {
            options["preconditions"][field] = json!(value);
        }
    }
    if let Some(propagation) = deletion.propagation {
        options["propagationPolicy"] = json!(propagation.name());
    }
    options
}

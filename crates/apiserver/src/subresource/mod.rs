//! What lies below objects: status, scale, and calls that go by their name.

mod binding;
mod eviction;
mod token;

use http::StatusCode;
use kinds::autoscaling::SCALE;
use kinds::{KindDef, OtherSubresource, Subresource};
use machinery::{ApiError, Object};
use registry::{AdmissionRequest, Context, Operation, Target};
use serde_json::{Value, json};

use crate::call::Call;
use crate::decode;
use crate::negotiate::Offer;
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::verbs::{no_such_method, read_patch};

/// What a call below an object does.
pub(crate) struct Asked<'a> {
    pub operation: Operation,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl<'a> Asked<'a> {
    pub fn of(call: &'a Call, operation: Operation) -> Self {
        let info = &call.info;
        Self { operation, subresource: &info.subresource, namespace: &info.namespace, name: &info.name }
    }
}

impl Server {
    pub(crate) async fn serve_subresource(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let Some(subresource) = kind.subresource(&call.info.subresource) else {
            let of_custom = || ApiError::not_found(&kind.group_resource(), &call.info.name);
            return Err(kind.custom.map_or_else(ApiError::no_such_path, |_| of_custom()));
        };
        if kind.namespaced() && call.info.namespace.is_empty() {
            return Err(ApiError::no_such_path());
        }
        match subresource {
            Subresource::Status => self.serve_target(call, kind, Target::Status).await,
            Subresource::Scale(_) => self.serve_scale(call, kind).await,
            Subresource::Connect { name, verbs, .. } => {
                if !verbs.contains(&call.info.verb.as_str()) {
                    return Err(no_such_method());
                }
                self.serve_connection(call, kind, name).await
            }
            Subresource::Other(other) => self.serve_other(call, kind, other).await,
        }
    }

    /// Asks admission about a call that makes something, or connects, rather than writing the object itself.
    pub(crate) async fn admit(
        &self,
        context: &Context,
        kind: &'static KindDef,
        asked: Asked<'_>,
        body: &mut Object,
    ) -> Result<(), ApiError> {
        let Asked { operation, subresource, namespace, name } = asked;
        let request = AdmissionRequest {
            context,
            kind,
            operation,
            subresource,
            namespace: if kind.namespaced() { namespace } else { "" },
            name,
            old: None,
            deletion: None,
        };
        let admission = self.registry().admission();
        admission.mutate(self.registry(), &request, Some(&mut *body)).await?;
        // What is only asked is not stored, and counts nowhere.
        admission.validate(self.registry(), &request, Some(body)).await.map(drop)
    }

    async fn serve_target(&self, call: &mut Call, kind: &'static KindDef, target: Target) -> Result<Answer, ApiError> {
        match call.info.verb.as_str() {
            "get" => self.get(call, kind).await,
            "update" => self.update(call, kind, target).await,
            "patch" => self.patch(call, kind, target).await,
            _ => Err(no_such_method()),
        }
    }

    async fn serve_other(
        &self,
        call: &mut Call,
        kind: &'static KindDef,
        other: &'static OtherSubresource,
    ) -> Result<Answer, ApiError> {
        if !other.verbs.iter().any(|verb| verb.name() == call.info.verb) {
            return Err(no_such_method());
        }
        match (kind.resource, other.name) {
            ("pods", "binding") => self.bind(call, kind).await,
            ("pods", "eviction") => self.evict(call, kind).await,
            ("serviceaccounts", "token") => self.issue_token(call, kind).await,
            _ => self.serve_target(call, kind, Target::Other(other.name)).await,
        }
    }

    async fn serve_scale(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(&SCALE))?;
        let context = call.context()?;
        let registry = self.registry();
        let namespace = call.namespace(kind).to_owned();
        let name = call.info.name.clone();
        let scale = match call.info.verb.as_str() {
            "get" => registry.scale(kind, &namespace, &name).await?,
            "update" => {
                let scale = decode::object(call, &SCALE, context.field_validation).await?;
                registry.update(&context, kind, &namespace, &name, Target::Scale, scale).await?.entry.object()
            }
            "patch" => {
                let patch = read_patch(call, kind).await?;
                registry.patch(&context, kind, &namespace, &name, Target::Scale, &patch).await?.entry.object()
            }
            _ => return Err(no_such_method()),
        };
        Ok(respond::object(call, accept, &SCALE, StatusCode::OK, scale))
    }
}

/// Puts a condition that has changed in the place of the one of its type.
fn set_condition(pod: &mut Object, mut condition: Value, now: &str) {
    condition["lastProbeTime"] = Value::Null;
    condition["lastTransitionTime"] = json!(now);
    if pod.generation() > 0 {
        condition["observedGeneration"] = json!(pod.generation());
    }
    let conditions = pod.map_mut(&["status"]).entry("conditions").or_insert_with(|| json!([]));
    if let Some(conditions) = conditions.as_array_mut() {
        conditions.retain(|of| of["type"] != condition["type"]);
        conditions.push(condition);
    }
}

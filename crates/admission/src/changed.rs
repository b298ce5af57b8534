//! Taking over what a webhook or a policy made of an object.

use kinds::KindDef;
use machinery::apply::Layout;
use machinery::decode::{FieldPolicy, decode_patched};
use machinery::{ApiError, GroupVersionKind, Object};
use registry::Registry;
use serde_json::Value;

use crate::subject::Subject;

/// What the object of a request has to be.
pub enum Shape {
    Kind(&'static KindDef),
    /// Of a built-in type that is no resource of its own, by the name of its schema: `io.k8s.api.policy.v1.Eviction`.
    Named(String),
}

impl Shape {
    /// Where the request is seen as one for `kind`.
    pub fn of(subject: &Subject<'_>, kind: &'static KindDef) -> Self {
        match subject.object_kind(kind) {
            of if of == kind.gvk() => Self::Kind(kind),
            of => Self::Named(schema_name(&of)),
        }
    }

    /// How it merges.
    pub fn layout(&self) -> Layout {
        match self {
            Self::Kind(kind) => kind.layout(),
            Self::Named(name) => schema::message(name).map_or_else(Layout::unknown, Layout::Message),
        }
    }
}

fn schema_name(of: &GroupVersionKind) -> String {
    let group = of.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    format!("io.k8s.api.{group}.{}.{}", of.version, of.kind)
}

/// Reads what `before` was made to; the object must stay what it is.
pub fn decode(before: &Object, after: Value, shape: &Shape, policy: FieldPolicy) -> Result<Object, ApiError> {
    let internal = |error: ApiError| ApiError::internal(error.message);
    let after = match shape {
        Shape::Kind(kind) => kind.read_patched(after, policy).map_err(internal)?.0,
        Shape::Named(name) if schema::message(name).is_some() => {
            decode_patched(after, name, policy).map_err(internal)?.0
        }
        Shape::Named(_) => {
            Object::from_value(after).ok_or_else(|| ApiError::internal("the patched object is no object"))?
        }
    };
    if after.gvk() == before.gvk() {
        return Ok(after);
    }
    Err(ApiError::internal(format!("expected the patched object to be {}, got {}", before.gvk(), after.gvk())))
}

/// The object, which was changed in the version of `kind`, with its defaults and in the version of the request.
pub async fn taken_over(
    registry: &Registry,
    subject: &Subject<'_>,
    kind: &'static KindDef,
    mut object: Object,
) -> Result<Object, ApiError> {
    if subject.object_kind(kind) != kind.gvk() {
        return Ok(object);
    }
    kind.default(&mut object);
    registry.convert(kind, subject.request.kind, object).await
}

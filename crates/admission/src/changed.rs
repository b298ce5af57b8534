//! Taking over what a webhook or a policy made of an object.

use kinds::KindDef;
use machinery::decode::{FieldPolicy, decode_patched};
use machinery::{ApiError, GroupVersionKind, Object};
use serde_json::Value;

use crate::subject::Subject;

/// The schema of the request's object, where the request is seen as one for `kind`.
pub fn schema_of(subject: &Subject<'_>, kind: &KindDef) -> String {
    match subject.object_kind(kind) {
        of if of == kind.gvk() => kind.schema.to_owned(),
        of => schema_name(&of),
    }
}

/// Of a built-in type that is no resource of its own: `io.k8s.api.policy.v1.Eviction`.
fn schema_name(of: &GroupVersionKind) -> String {
    let group = of.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    format!("io.k8s.api.{group}.{}.{}", of.version, of.kind)
}

/// Reads what `before` was made to; the object must stay what it is.
pub fn decode(before: &Object, after: Value, schema: &str, policy: FieldPolicy) -> Result<Object, ApiError> {
    let internal = |error: ApiError| ApiError::internal(error.message);
    let after = match schema::message(schema) {
        Some(_) => decode_patched(after, schema, policy).map_err(internal)?.0,
        None => Object::from_value(after).ok_or_else(|| ApiError::internal("the patched object is no object"))?,
    };
    if after.gvk() == before.gvk() {
        return Ok(after);
    }
    Err(ApiError::internal(format!("expected the patched object to be {}, got {}", before.gvk(), after.gvk())))
}

/// The object, which was changed in the version of `kind`, with its defaults and in the version of the request.
pub fn taken_over(subject: &Subject<'_>, kind: &'static KindDef, mut object: Object) -> Object {
    if subject.object_kind(kind) != kind.gvk() {
        return object;
    }
    (kind.strategy.default)(&mut object);
    subject.kinds.convert(kind, subject.request.kind, object)
}

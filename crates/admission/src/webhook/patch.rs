//! What a webhook's patch makes of the object.

use kinds::KindDef;
use machinery::decode::{FieldPolicy, decode_patched};
use machinery::{ApiError, GroupVersionKind, Object, patch};
use serde_json::Value;

use super::Failure;
use super::hook::Hook;
use crate::subject::{Seen, Subject};

/// The object as it is now, in the version of the request.
pub struct Patched {
    pub object: Object,
    /// Whether the patch did anything.
    pub changed: bool,
    /// Its operations.
    pub patch: Vec<Value>,
}

/// `seen` is the object in the version of `kind`, to which the patch applies. None where there is no patch.
pub fn patched(
    hook: &Hook,
    subject: &Subject<'_>,
    kind: &'static KindDef,
    seen: &Seen<'_>,
    operations: Vec<Value>,
) -> Result<Option<Patched>, Failure> {
    if operations.is_empty() {
        return Ok(None);
    }
    let Some(before) = seen.object.as_deref() else {
        let name = &hook.name;
        let why = format!(
            "admission webhook {name:?} attempted to modify the object, which is not supported for this operation"
        );
        return Err(Failure::Own(ApiError::internal(why)));
    };
    let operations = Value::Array(operations);
    let of = subject.object_kind(kind);
    let mut after = apply(before, &operations, kind, &of).map_err(Failure::Own)?;
    let changed = after != *before;
    let own = of == kind.gvk();
    if own {
        (kind.strategy.default)(&mut after);
        after = subject.kinds.convert(kind, subject.request.kind, after);
    }
    let Value::Array(patch) = operations else { unreachable!("it was made an array above") };
    Ok(Some(Patched { object: after, changed, patch }))
}

/// Applies the operations; the object must stay what it is.
fn apply(before: &Object, operations: &Value, kind: &KindDef, of: &GroupVersionKind) -> Result<Object, ApiError> {
    let internal = |error: ApiError| ApiError::internal(error.message);
    let after = patch::json_patch(before.clone().into_value(), operations).map_err(internal)?;
    let schema = if *of == kind.gvk() { kind.schema.to_owned() } else { schema_name(of) };
    let after = match schema::message(&schema) {
        Some(_) => decode_patched(after, &schema, FieldPolicy::Ignore).map_err(internal)?.0,
        None => Object::from_value(after).ok_or_else(|| ApiError::internal("the patched object is no object"))?,
    };
    if after.gvk() != before.gvk() {
        return Err(ApiError::internal(format!(
            "expected the patched object to be {}, got {}",
            before.gvk(),
            after.gvk()
        )));
    }
    Ok(after)
}

/// Of a built-in type that is no resource of its own: `io.k8s.api.policy.v1.Eviction`.
fn schema_name(of: &GroupVersionKind) -> String {
    let group = of.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    format!("io.k8s.api.{group}.{}.{}", of.version, of.kind)
}

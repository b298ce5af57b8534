//! What a webhook's patch makes of the object.

use kinds::KindDef;
use machinery::decode::FieldPolicy;
use machinery::{ApiError, Object, patch};
use registry::Registry;
use serde_json::Value;

use super::Failure;
use super::hook::Hook;
use crate::changed::{self, Shape};
use crate::subject::{Seen, Subject};

/// The object as it is now, in the version of the request.
pub struct Patched {
    pub object: Object,
    /// Whether the patch did anything.
    pub changed: bool,
    /// Its operations.
    pub patch: Value,
}

/// `seen` is the object in the version of `kind`, to which the patch applies. None where there is no patch.
pub async fn patched(
    registry: &Registry,
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
    let patch = Value::Array(operations);
    let applied = patch::json_patch(before.clone().into_value(), &patch);
    let after = applied.map_err(|error| Failure::Own(ApiError::internal(error.message)))?;
    let shape = Shape::of(subject, kind);
    let after = changed::decode(before, after, &shape, FieldPolicy::Ignore).map_err(Failure::Own)?;
    let changed = after != *before;
    let object = changed::taken_over(registry, subject, kind, after).await.map_err(Failure::Own)?;
    Ok(Some(Patched { object, changed, patch }))
}

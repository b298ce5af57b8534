//! PATCH.

use kinds::KindDef;
use machinery::decode::{FieldPolicy, decode_patched};
use machinery::{ApiError, Object, patch};

use super::meta;
use super::update::{Subject, seen_as_scale};
use crate::answer::Written;
use crate::registry::Registry;
use crate::request::{Context, FieldValidation, Patch, Target};
use crate::scale;

/// The schema of what `scale` shows.
const SCALE_SCHEMA: &str = "io.k8s.api.autoscaling.v1.Scale";

impl Registry {
    /// Changes an object, its status or its scale as `patch` says; applies it again when another write was
    /// faster, unless the patch names a resource version.
    pub async fn patch(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        name: &str,
        target: Target,
        patch: &Patch,
    ) -> Result<Written, ApiError> {
        let subject = Subject { kind, namespace, name, target };
        if target == Target::Scale {
            let paths = scale::paths(kind)?;
            let patched = |old: &Object| {
                let mut scale = apply(cx, patch, scale::of(&paths, old), SCALE_SCHEMA)?;
                scale::check(&mut scale, namespace, name)?;
                scale::apply(&paths, &scale, old)
            };
            let written = self.rewrite(cx, subject, patched).await?;
            return Ok(written.map(|entry| seen_as_scale(kind, &entry)));
        }
        let patched = |old: &Object| {
            let mut new = apply(cx, patch, old.clone(), kind.schema)?;
            meta::check_type(kind, &mut new)?;
            Ok(new)
        };
        self.rewrite(cx, subject, patched).await
    }
}

/// Applies the patch and checks that what it makes is an object of the schema.
fn apply(cx: &Context, patch: &Patch, old: Object, schema: &str) -> Result<Object, ApiError> {
    let old = old.into_value();
    let new = match patch {
        Patch::Json(operations) => patch::json_patch(old, operations)?,
        Patch::Merge(changes) => patch::merge_patch(old, changes)?,
        Patch::Strategic(changes) => patch::strategic_merge_patch(old, changes, schema)?,
    };
    let policy = match cx.field_validation {
        FieldValidation::Ignore => FieldPolicy::Ignore,
        FieldValidation::Warn => FieldPolicy::Warn,
        FieldValidation::Strict => FieldPolicy::Strict,
    };
    let (object, problems) = decode_patched(new, schema, policy)?;
    problems.into_iter().for_each(|problem| cx.warnings.add(problem));
    Ok(object)
}

//! PATCH.

use kinds::KindDef;
use kinds::autoscaling::SCALE;
use machinery::decode::FieldPolicy;
use machinery::{ApiError, Object, Reason, patch};

use super::meta;
use super::update::{Subject, Tracking, is_absent};
use crate::answer::Written;
use crate::registry::Registry;
use crate::request::{Context, FieldValidation, Patch, Target};

/// How often a configuration is applied again because the object came or went meanwhile.
const ATTEMPTS: usize = 8;

impl Registry {
    /// Changes an object, its status or its scale as `patch` says; applies it again when another write was
    /// faster, unless the patch names a resource version. A configuration that is applied makes an absent object.
    pub async fn patch(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        name: &str,
        target: Target,
        patch: &Patch,
    ) -> Result<Written, ApiError> {
        let tracking = if matches!(patch, Patch::Apply { .. }) { Tracking::Known } else { Tracking::Compare };
        let subject = Subject { kind, namespace, name, target, tracking, admits: true, along: None };
        let makes = tracking == Tracking::Known && target == Target::Main;
        if target == Target::Scale {
            return self.rewrite_scale(cx, subject, |old| self.patched(cx, subject, patch, Some(old))).await;
        }
        for _ in 0..ATTEMPTS {
            match self.rewrite(cx, subject, |old| self.patched_whole(cx, subject, patch, Some(old))).await {
                Err(error) if makes && is_absent(subject, &error) => {}
                done => return done,
            }
            let applied = self.knowing(&cx.conversions, || self.patched_whole(cx, subject, patch, None)).await??;
            match self.make_applied(cx, subject, applied).await {
                Err(error) if error.reason == Reason::AlreadyExists => {}
                done => return done,
            }
        }
        Err(ApiError::stale(&kind.group_resource(), name))
    }

    /// The patched object, which must be the one that the path names.
    fn patched_whole(
        &self,
        cx: &Context,
        subject: Subject<'_>,
        patch: &Patch,
        old: Option<&Object>,
    ) -> Result<Object, ApiError> {
        let mut new = self.patched(cx, subject, patch, old)?;
        meta::check_type(subject.kind, &mut new)?;
        meta::check_namespace(subject.kind, subject.namespace, &mut new)?;
        meta::check_name(subject.name, &new)?;
        Ok(new)
    }

    /// What the patch makes of the old object; `old` is nothing where an applied configuration makes a new one.
    fn patched(
        &self,
        cx: &Context,
        subject: Subject<'_>,
        patch: &Patch,
        old: Option<&Object>,
    ) -> Result<Object, ApiError> {
        let kind = if subject.target == Target::Scale { &SCALE } else { subject.kind };
        let value = old.cloned().unwrap_or_default().into_value();
        let new = match patch {
            Patch::Json(operations) => patch::json_patch(value, operations)?,
            Patch::Merge(changes) => patch::merge_patch(value, changes)?,
            Patch::Strategic(changes) => patch::strategic_merge_patch(value, changes, kind.schema)?,
            Patch::Apply { config, force } => {
                let authorship = self.authorship(cx, subject.kind, subject.target);
                let merged = authorship.apply(old, config, *force)?.into_value();
                // What was applied has been held against the schema already.
                return kind.read_patched(merged, FieldPolicy::Ignore).map(|(object, _)| object);
            }
        };
        let (object, problems) = kind.read_patched(new, policy(cx.field_validation))?;
        problems.into_iter().for_each(|problem| cx.warnings.add(problem));
        Ok(object)
    }

    async fn make_applied(&self, cx: &Context, subject: Subject<'_>, mut object: Object) -> Result<Written, ApiError> {
        let Subject { kind, namespace, name, .. } = subject;
        if !object.uid().is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                object.uid()
            );
            return Err(ApiError::conflict(&kind.group_resource(), name, why));
        }
        cx.may_create()?;
        meta::wipe(&mut object);
        object.remove(&["metadata", "resourceVersion"]);
        kind.default(&mut object);
        Ok(Written { entry: self.make(cx, kind, namespace, object).await?, created: true })
    }
}

fn policy(validation: FieldValidation) -> FieldPolicy {
    match validation {
        FieldValidation::Ignore => FieldPolicy::Ignore,
        FieldValidation::Warn => FieldPolicy::Warn,
        FieldValidation::Strict => FieldPolicy::Strict,
    }
}

//! PATCH.

use kinds::KindDef;
use kinds::autoscaling::SCALE;
use machinery::decode::{self, FieldPolicy};
use machinery::field::{self, Path};
use machinery::names::GroupVersion;
use machinery::{ApiError, GroupVersionKind, Object, Reason, patch};
use serde_json::Value;

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
            Patch::Json(operations) => of_kind(kind, subject.target, patch::json_patch(value, operations)?)?,
            Patch::Merge(changes) => of_kind(kind, subject.target, patch::merge_patch(value, changes)?)?,
            Patch::Strategic(changes) => {
                let mut new = patch::strategic_merge_patch(value, changes, kind.schema)?;
                // What the patch says of the type counts for nothing.
                set_type(kind, &mut new);
                new
            }
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

/// The patched object, if it is still what it was; of a custom kind a status may say what it likes of its type.
fn of_kind(kind: &KindDef, target: Target, mut new: Value) -> Result<Value, ApiError> {
    let said = |field: &str, default: &str| {
        new.get(field).and_then(Value::as_str).filter(|said| !said.is_empty()).unwrap_or(default).to_owned()
    };
    let wanted = kind.group_version();
    let given = GroupVersion::parse(&said("apiVersion", &wanted.to_string()));
    let given = GroupVersionKind::new(given.group, given.version, said("kind", kind.kind));
    if given == kind.gvk() {
        return Ok(new);
    }
    match (kind.custom, target) {
        (None, _) => Err(decode::invalid_patch(&new.to_string(), kinds::no_conversion(&given, kind))),
        (Some(_), Target::Status) => {
            set_type(kind, &mut new);
            Ok(new)
        }
        (Some(_), _) => Err(other_type(&given, kind, new["metadata"]["name"].as_str().unwrap_or_default())),
    }
}

fn set_type(kind: &KindDef, object: &mut Value) {
    object["apiVersion"] = kind.group_version().to_string().into();
    object["kind"] = kind.kind.into();
}

/// The refusal of an object that says it is of another kind than the custom one it is sent as.
pub fn other_type(given: &GroupVersionKind, expected: &KindDef, name: &str) -> ApiError {
    let must_be = |field: &str, value: String, wanted: String| {
        (value != wanted).then(|| field::Error::invalid(&Path::new(field), value, format!("must be {wanted}")))
    };
    let [version, wanted] = [given.group_version(), expected.group_version()].map(|version| version.to_string());
    let problems =
        [must_be("kind", given.kind.clone(), expected.kind.to_owned()), must_be("apiVersion", version, wanted)];
    ApiError::invalid(given, name, &problems.into_iter().flatten().collect::<Vec<_>>())
}

fn policy(validation: FieldValidation) -> FieldPolicy {
    match validation {
        FieldValidation::Ignore => FieldPolicy::Ignore,
        FieldValidation::Warn => FieldPolicy::Warn,
        FieldValidation::Strict => FieldPolicy::Strict,
    }
}

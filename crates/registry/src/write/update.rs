//! PUT, and everything else that reads, changes and writes.

use std::sync::Arc;

use kinds::KindDef;
use machinery::field::{ErrorList, Path};
use machinery::validation::{validate_object_meta_update, validate_standard_finalizers};
use machinery::{ApiError, Object, Reason};
use store::Expect;

use super::{Along, Outcome, Together, admission_request, check, deletion, meta, warn};
use crate::answer::Written;
use crate::entry::Entry;
use crate::keys::object_key;
use crate::registry::Registry;
use crate::request::{Context, Operation, Target};
use crate::scale;

/// How often a write is tried again because another one was faster.
const ATTEMPTS: usize = 64;

/// The object that a write is about.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub kind: &'static KindDef,
    pub namespace: &'a str,
    pub name: &'a str,
    pub target: Target,
    pub tracking: Tracking,
    /// Whether admission is asked.
    pub admits: bool,
    /// What is written with it.
    pub along: Option<&'a Along>,
}

/// How the managers of a changed object become known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracking {
    /// By comparing it with what it was.
    Compare,
    /// They are known, or stay what they were.
    Known,
}

impl Registry {
    /// Replaces an object, its status or its scale.
    pub async fn update(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        name: &str,
        target: Target,
        mut body: Object,
    ) -> Result<Written, ApiError> {
        let subject = Subject { kind, namespace, name, target, tracking: Tracking::Compare, admits: true, along: None };
        let key = object_key(self.kinds().storage(kind), namespace, name);
        let check_uid = |body: &Object, is: &str| meta::check_uid(kind, &key, name, body, is);
        if target == Target::Scale {
            scale::check(&mut body, namespace, name)?;
        } else {
            meta::check_type(kind, &mut body)?;
            meta::check_namespace(kind, namespace, &mut body)?;
            meta::check_name(name, &body)?;
        }
        let put = |old: &Object| check_uid(&body, old.uid()).map(|()| body.clone());
        let written = match target {
            Target::Scale => self.rewrite_scale(cx, subject, put).await,
            _ => self.rewrite(cx, subject, put).await,
        };
        match written {
            Err(error) if is_absent(subject, &error) => {
                check_uid(&body, "")?;
                if target != Target::Main || !kind.strategy.create_on_update {
                    return Err(error);
                }
                cx.may_create()?;
                body.remove(&["metadata", "resourceVersion"]);
                Ok(Written { entry: self.create(cx, kind, namespace, body).await?, created: true })
            }
            done => done,
        }
    }

    /// Reads, changes and writes, again and again while others are faster; runs the pipeline of an update
    /// of `subresource`, or of the object itself when that is empty. For changes that follow from something that was
    /// admitted, or that the server makes itself: admission is not asked.
    pub async fn mutate(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        name: &str,
        subresource: &'static str,
        change: impl Fn(&mut Object) -> Result<(), ApiError> + Send + Sync,
    ) -> Result<Arc<Entry>, ApiError> {
        self.mutate_along(cx, kind, (namespace, name), subresource, change, None).await
    }

    /// The same, and what the change sets to go along.
    pub async fn mutate_along(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        (namespace, name): (&str, &str),
        subresource: &'static str,
        change: impl Fn(&mut Object) -> Result<(), ApiError> + Send + Sync,
        along: Option<&Along>,
    ) -> Result<Arc<Entry>, ApiError> {
        let target = match subresource {
            "" => Target::Main,
            "status" => Target::Status,
            other => Target::Other(other),
        };
        let changed = |old: &Object| {
            let mut new = old.clone();
            change(&mut new).map(|()| new)
        };
        // upstream: calls that change a pod by another name leave its managers as they are.
        let tracking = if matches!(target, Target::Other(_)) { Tracking::Known } else { Tracking::Compare };
        let subject = Subject { kind, namespace, name, target, tracking, admits: false, along };
        Ok(self.rewrite(cx, subject, changed).await?.entry)
    }

    /// Makes the new object from the old one and writes it, as often as it takes.
    pub(super) async fn rewrite(
        &self,
        cx: &Context,
        subject: Subject<'_>,
        make: impl Fn(&Object) -> Result<Object, ApiError> + Send + Sync,
    ) -> Result<Written, ApiError> {
        self.fresh().await?;
        let mut current = self.current(subject.kind, subject.namespace, subject.name)?;
        for _ in 0..ATTEMPTS {
            let old = self.read_as(subject.kind, current.object()).await?;
            let new = self.knowing(&cx.conversions, || make(&old)).await??;
            match self.replace(cx, subject, &current, &old, new).await? {
                Outcome::Written(entry) => return Ok(Written { entry, created: false }),
                Outcome::Lost(held) => current = self.newer(subject.kind, subject.name, held)?,
            }
        }
        Err(ApiError::stale(&subject.kind.group_resource(), subject.name))
    }

    /// One attempt to put `new` in the place of `old`, which `current` is the stored form of.
    async fn replace(
        &self,
        cx: &Context,
        subject: Subject<'_>,
        current: &Arc<Entry>,
        old: &Object,
        mut new: Object,
    ) -> Result<Outcome, ApiError> {
        let Subject { kind, namespace, name, target, tracking, admits, .. } = subject;
        meta::settle_version(&mut new)?;
        meta::check_preconditions(kind, &new, old)?;
        meta::inherit(kind, target, &mut new, old);
        meta::check_version(kind, &new)?;
        kind.default(&mut new);
        if tracking == Tracking::Compare {
            self.track(cx, kind, target, Some(old), &mut new).await;
        }
        let request = admission_request(cx, kind, Operation::Update, (namespace, name), target, Some(old));
        if admits {
            self.mutate_and_default(&request, &mut new).await?;
        }
        prepare(kind, target, &mut new, old);
        let reservation = self.reserve(cx, kind, &mut new, Some(old)).await?;
        let outcome = self.replace_reserved(cx, subject, current, old, new).await;
        reservation.settle(matches!(outcome, Ok(Outcome::Written(_))) && !cx.dry_run).await;
        outcome
    }

    async fn replace_reserved(
        &self,
        cx: &Context,
        subject: Subject<'_>,
        current: &Arc<Entry>,
        old: &Object,
        mut new: Object,
    ) -> Result<Outcome, ApiError> {
        let Subject { kind, namespace, name, target, admits, along, .. } = subject;
        meta::count_generation(kind, target, &mut new, old);
        let mut warnings = Vec::new();
        check(kind, name, validate(kind, target, &new, old, &mut warnings))?;
        warnings.into_iter().for_each(|warning| cx.warnings.add(warning));
        let request = admission_request(cx, kind, Operation::Update, (namespace, name), target, Some(old));
        let mut together = along.map_or(Together::Nothing, Together::Along);
        if admits {
            together = self.last_word(&request, &new).await?.into();
        }
        warn(cx, kind, &new, Some(old));
        meta::forget_times(&mut new, old);
        if new == *old && (cx.dry_run || !self.is_outdated(kind, current).await?) {
            return Ok(Outcome::Written(self.seen_one(current, kind).await?));
        }
        let ends = deletion::ends_with(kind, &new, old);
        if cx.dry_run {
            return Ok(Outcome::Written(Arc::new(current.seen_as(kind, new))));
        }
        if ends {
            return self.remove_as(kind, current, new).await;
        }
        self.put(kind, current.key(), new, Expect::ModRevision(current.revision()), together).await
    }

    /// Removes an object whose last finalizer went with this write; the answer shows it as written.
    async fn remove_as(&self, kind: &'static KindDef, current: &Arc<Entry>, new: Object) -> Result<Outcome, ApiError> {
        Ok(match self.remove(current).await? {
            Outcome::Written(gone) => Outcome::Written(Arc::new(gone.seen_as(kind, new))),
            lost => lost,
        })
    }
}

/// Whether a write failed because there is no such object.
pub(super) fn is_absent(subject: Subject<'_>, error: &ApiError) -> bool {
    let Subject { kind, name, .. } = subject;
    let about_this =
        error.details.as_ref().is_some_and(|details| details.name == name && details.kind == kind.resource);
    error.reason == Reason::NotFound && about_this
}

fn prepare(kind: &KindDef, target: Target, new: &mut Object, old: &Object) {
    match target {
        Target::Main | Target::Scale => (kind.strategy.prepare_update)(new, old),
        Target::Status => {
            (kind.strategy.prepare_status_update)(new, old);
            meta::keep(new, old, kind.strategy.kept_by_status);
        }
        Target::Other(name) => (kind.strategy.prepare_subresource_update)(new, old, name),
    }
}

fn validate(kind: &KindDef, target: Target, new: &Object, old: &Object, warnings: &mut Vec<String>) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = validate_object_meta_update(new, old, &path);
    if !kind.strategy.any_finalizers {
        errors.extend(validate_standard_finalizers(new, &path));
    }
    match target {
        Target::Main | Target::Scale => {
            errors.extend(kind.validate_update(new, old, warnings));
        }
        Target::Status => errors.extend(kind.validate_status_update(new, old, warnings)),
        Target::Other(name) => errors.extend((kind.strategy.validate_subresource_update)(new, old, name)),
    }
    errors
}

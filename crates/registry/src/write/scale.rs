//! Writes of what `autoscaling/v1` Scale shows of an object.

use std::sync::Arc;

use kinds::KindDef;
use machinery::{ApiError, Object, apply};

use super::meta::{MANAGED_FIELDS, set_or_remove};
use super::update::{Subject, Tracking};
use crate::answer::Written;
use crate::entry::Entry;
use crate::registry::Registry;
use crate::request::Context;
use crate::scale;

impl Registry {
    /// Makes the new Scale from the old one and writes what it says.
    pub(super) async fn rewrite_scale(
        &self,
        cx: &Context,
        subject: Subject<'_>,
        make: impl Fn(&Object) -> Result<Object, ApiError> + Send + Sync,
    ) -> Result<Written, ApiError> {
        let Subject { kind, namespace, name, target, tracking, .. } = subject;
        let paths = scale::paths(kind)?;
        let api_version = kind.group_version().to_string();
        let changed = |old: &Object| {
            let managers = old.get(MANAGED_FIELDS);
            let mut before = scale::of(&paths, old);
            set_or_remove(&mut before, MANAGED_FIELDS, apply::to_scale(managers, paths.spec_replicas));
            let mut after = make(&before)?;
            scale::check(&mut after, namespace, name)?;
            if tracking == Tracking::Compare {
                self.authorship(cx, kind, target).track(Some(&before), &mut after);
            }
            let mut new = scale::apply(kind, &paths, &after, old)?;
            let of_scale = after.get(MANAGED_FIELDS);
            let managers = apply::from_scale(managers, of_scale, paths.spec_replicas, &api_version);
            set_or_remove(&mut new, MANAGED_FIELDS, managers);
            Ok(new)
        };
        // The managers of the Scale have become the object's; the object itself has none to look for.
        let written = self.rewrite(cx, Subject { tracking: Tracking::Known, ..subject }, changed).await?;
        Ok(written.map(|entry| seen_as_scale(kind, &entry)))
    }
}

fn seen_as_scale(kind: &'static KindDef, entry: &Arc<Entry>) -> Arc<Entry> {
    match scale::paths(kind) {
        Ok(paths) => Arc::new(entry.seen_as(kind, scale::of(&paths, &entry.object()))),
        Err(_) => entry.clone(),
    }
}

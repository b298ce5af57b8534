//! Who wrote what: the writer of a request, and the versions of its kind.

use kinds::autoscaling::SCALE;
use kinds::{KindDef, Reset};
use machinery::apply::{Filter, Layout, Set, Versions, Writer};
use machinery::{ApiError, GroupVersion, GroupVersionKind, Object};
use serde_json::{Map, Value};

use super::{meta, subresource};
use crate::conversion::{Conversions, converts_by_webhook};
use crate::kind_table::KindTable;
use crate::registry::Registry;
use crate::request::{Context, Target};

/// All that a write's managers depend on.
pub(super) struct Authorship<'a> {
    manager: &'a str,
    subresource: &'static str,
    gvk: GroupVersionKind,
    api_version: String,
    layout: Layout,
    filter: Filter,
    versions: KindVersions<'a>,
}

impl Registry {
    pub(super) fn authorship<'a>(&'a self, cx: &'a Context, kind: &'static KindDef, target: Target) -> Authorship<'a> {
        let subresource = subresource(target);
        let (gvk, layout, reset) = match target {
            Target::Scale => (SCALE.gvk(), SCALE.layout(), Reset::Fields(Vec::new())),
            _ => (kind.gvk(), kind.layout(), kind.reset(subresource)),
        };
        let filter = match reset {
            Reset::Fields(fields) => Filter::Without(Set::of_fields(&fields)),
            Reset::AllBut(paths) => Filter::Within(paths),
        };
        Authorship {
            manager: &cx.field_manager,
            subresource,
            api_version: gvk.group_version().to_string(),
            gvk,
            layout,
            filter,
            versions: KindVersions { kinds: self.kinds(), kind, conversions: &cx.conversions },
        }
    }

    /// Notes who wrote what of an object. It goes without managers where nobody can say what it is in their versions.
    ///
    /// upstream: managedfields UpdateNoErrors
    pub(super) async fn track(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        target: Target,
        old: Option<&Object>,
        new: &mut Object,
    ) {
        let authorship = self.authorship(cx, kind, target);
        if !converts_by_webhook(kind) {
            return authorship.track(old, new);
        }
        let untracked = new.clone();
        let tracked = self.knowing(&cx.conversions, || {
            let mut new = untracked.clone();
            authorship.track(old, &mut new);
            new
        });
        match tracked.await {
            Ok(tracked) => *new = tracked,
            Err(error) => {
                tracing::error!(%error, kind = %kind.gvk(), "failed to update managedFields");
                new.remove(meta::MANAGED_FIELDS);
            }
        }
    }
}

impl Authorship<'_> {
    pub fn track(&self, old: Option<&Object>, new: &mut Object) {
        self.writer().track(old, new);
    }

    pub fn apply(&self, live: Option<&Object>, config: &Object, force: bool) -> Result<Object, ApiError> {
        self.writer().apply(live, config, force)
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            manager: self.manager,
            gvk: &self.gvk,
            api_version: &self.api_version,
            subresource: self.subresource,
            now: clock::now_seconds(),
            filter: &self.filter,
            layout: &self.layout,
            versions: &self.versions,
        }
    }
}

struct KindVersions<'a> {
    kinds: &'a KindTable,
    kind: &'static KindDef,
    conversions: &'a Conversions,
}

impl KindVersions<'_> {
    /// The kind in this version, if both are stored as the same.
    fn find(&self, api_version: &str) -> Option<&'static KindDef> {
        let GroupVersion { group, version } = GroupVersion::parse(api_version);
        let found = self.kinds.find(&group, &version, self.kind.resource)?;
        std::ptr::eq(self.kinds.storage(found), self.kinds.storage(self.kind)).then_some(found)
    }
}

impl Versions for KindVersions<'_> {
    fn layout(&self, api_version: &str) -> Option<Layout> {
        self.find(api_version).map(KindDef::layout)
    }

    fn convert(&self, object: Map<String, Value>, from: &str, to: &str) -> Map<String, Value> {
        let (Some(from), Some(to)) = (self.find(from), self.find(to)) else { return object };
        self.conversions.convert(self.kinds, from, to, Object(object)).0
    }
}

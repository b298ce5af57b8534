//! Writes, and whose fields they make what they write.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::check::{self, Duplicates};
use super::compare::{Comparison, compare};
use super::conflict::{self, Conflict, Taken};
use super::empty::empty;
use super::field_set::field_set;
use super::filter::Filter;
use super::last_applied;
use super::managed::{Entry, Identity, Managed, Operation, is_reset};
use super::merge::merge;
use super::node::Layout;
use super::prune::Prune;
use super::set::Set;
use crate::error::{ApiError, Reason};
use crate::names::GroupVersionKind;
use crate::object::Object;

/// The manager of all that was there before the first apply to an object whose managers were not kept.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
const MANAGED_FIELDS: &[&str] = &["metadata", "managedFields"];

/// Fields that nobody owns.
static STRIPPED: LazyLock<Set> = LazyLock::new(|| {
    Set::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// The versions in which objects of a kind are written.
pub trait Versions: Sync {
    /// Nothing for a version that is not served any more.
    fn layout(&self, api_version: &str) -> Option<Layout>;

    /// An object of version `from` in version `to`, both of which are served.
    fn convert(&self, object: Map<String, Value>, from: &str, to: &str) -> Map<String, Value>;
}

/// One write: who writes what in which version.
pub struct Writer<'a> {
    pub manager: &'a str,
    pub gvk: &'a GroupVersionKind,
    /// The version of `gvk`, as objects carry it.
    pub api_version: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    pub now: Timestamp,
    /// Leaves out what such a write keeps as it is, whatever it says.
    pub filter: &'a Filter,
    pub layout: &'a Layout,
    pub versions: &'a dyn Versions,
}

impl Writer<'_> {
    /// Notes in `new` who owns its fields; `old` is nothing when the object is made.
    ///
    /// The managers that `new` brings along count, if they make sense; an object of which no managers are kept
    /// goes on without.
    pub fn track(&self, old: Option<&Object>, new: &mut Object) {
        let sent = new.remove(MANAGED_FIELDS);
        let mut managed = self.known(old, sent.as_ref());
        if managed.0.is_empty() && old.is_some() {
            return;
        }
        match old {
            Some(old) => self.update(&old.0, new, self.manager, &mut managed),
            None => self.update(&self.nothing(), new, self.manager, &mut managed),
        }
        set_managed(new, managed);
    }

    fn known(&self, old: Option<&Object>, sent: Option<&Value>) -> Managed {
        let held = || Managed::decode(old.and_then(|old| old.get(MANAGED_FIELDS))).unwrap_or_default();
        if !self.subresource.is_empty() {
            return held();
        }
        if is_reset(sent) {
            return Managed::default();
        }
        Managed::decode(sent).ok().filter(|managed| !managed.0.is_empty()).unwrap_or_else(held)
    }

    /// Gives what `new` changed to `manager`, whoever had it.
    fn update(&self, old: &Map<String, Value>, new: &Object, manager: &str, managed: &mut Managed) {
        let mut comparisons = Comparisons::new(self, old, &new.0);
        if comparisons.own().is_same() {
            return;
        }
        self.take(&mut comparisons, managed, None);
        let written = comparisons.into_own().written;
        if !written.is_empty() {
            managed.extend(self.identity(manager, Operation::Update), written, Some(self.time()));
        }
        managed.cap();
    }

    /// Takes from all but `except` what was written and removed. Answers what was written of whose.
    fn take(&self, comparisons: &mut Comparisons<'_>, managed: &mut Managed, except: Option<&Identity>) -> Vec<Taken> {
        let mut all_taken = Vec::new();
        managed.0.retain_mut(|entry| {
            if except.is_some_and(|except| entry.identity.is(except)) {
                return true;
            }
            let Some(comparison) = comparisons.of(&entry.identity.api_version) else { return false };
            let taken = entry.fields.intersection(&comparison.written);
            if !taken.is_empty() || !comparison.removed.is_empty() {
                entry.fields = entry.fields.difference(&taken).difference(&comparison.removed);
            }
            if !taken.is_empty() {
                all_taken.push((entry.identity.clone(), taken));
            }
            true
        });
        managed.drop_empty();
        all_taken
    }

    /// `live` with what `config` says, and without what the manager applied before and `config` does not say.
    ///
    /// Refuses to change what others own unless `force` says so. `live` is nothing when there is no such object.
    pub fn apply(&self, live: Option<&Object>, config: &Object, force: bool) -> Result<Object, ApiError> {
        self.check_config(config)?;
        let (live, managed) = self.live(live)?;
        let attempt = self.try_apply(&live, config, managed.clone(), force);
        let retried = attempt.or_else(|conflicts| match self.not_from_last_applied(&live, conflicts) {
            none if none.is_empty() => self.try_apply(&live, config, managed, true),
            conflicts => Err(conflicts),
        });
        let (mut merged, managed) = retried.map_err(|conflicts| conflict::error(&conflicts))?;
        if self.manager == last_applied::KUBECTL {
            last_applied::keep_up(&mut merged, config);
        }
        set_managed(&mut merged, managed);
        Ok(merged)
    }

    fn check_config(&self, config: &Object) -> Result<(), ApiError> {
        if config.gvk() != *self.gvk {
            return Err(ApiError::bad_request(format!("invalid object type: {}", show_gvk(&config.gvk()))));
        }
        if config.get(MANAGED_FIELDS).is_some_and(|value| !value.is_null()) {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        check::check(&config.0, self.layout.form(), Duplicates::Refused)
            .map_err(|why| unfit(format!("failed to create typed patch object ({}): {why}", self.describe(config))))
    }

    /// The live object without its managers, and these.
    fn live(&self, live: Option<&Object>) -> Result<(Object, Managed), ApiError> {
        let Some(live) = live else { return Ok((Object::default(), Managed::default())) };
        let mut live = live.clone();
        let managed = Managed::decode(live.remove(MANAGED_FIELDS).as_ref());
        let mut managed = managed.map_err(|why| unfit(format!("failed to decode managed fields: {why}")))?;
        check::check(&live.0, self.layout.form(), Duplicates::Allowed)
            .map_err(|why| unfit(format!("failed to create typed live object ({}): {why}", self.describe(&live))))?;
        if managed.0.is_empty() {
            self.update(&self.nothing(), &live, BEFORE_FIRST_APPLY, &mut managed);
        }
        Ok((live, managed))
    }

    /// One attempt; the error is what it conflicts with.
    fn try_apply(
        &self,
        live: &Object,
        config: &Object,
        mut managed: Managed,
        force: bool,
    ) -> Result<(Object, Managed), Vec<Conflict>> {
        let identity = self.identity(self.manager, Operation::Apply);
        let merged = merge(&live.0, &config.0, self.layout.form());
        let last = managed.find(&identity).cloned();
        let fields = self.filter.of(field_set(&config.0, self.layout.form()));
        managed.replace(Entry { identity: identity.clone(), time: None, fields });
        let prune = Prune { versions: self.versions, api_version: self.api_version, layout: self.layout };
        let pruned = prune.run(merged, &managed, &identity, last.as_ref());
        let mut comparisons = Comparisons::new(self, &live.0, &pruned);
        let taken = self.take(&mut comparisons, &mut managed, Some(&identity));
        if !force && !taken.is_empty() {
            return Err(conflict::list(taken));
        }
        self.settle(&mut managed, &identity, last, pruned != live.0);
        Ok((Object(pruned), managed))
    }

    /// Strips the applied fields of what nobody owns, and dates them; those that changed nothing keep their date.
    fn settle(&self, managed: &mut Managed, identity: &Identity, last: Option<Entry>, changed: bool) {
        let Some(entry) = managed.0.iter_mut().find(|entry| entry.identity.is(identity)) else { return };
        entry.fields = entry.fields.difference(&STRIPPED);
        let unchanged = last.filter(|last| !changed && last.fields == entry.fields);
        entry.time = unchanged.map_or_else(|| Some(self.time()), |last| last.time);
        managed.drop_empty();
    }

    /// Those conflicts that are not about what kubectl itself applied before the server did.
    fn not_from_last_applied(&self, live: &Object, mut conflicts: Vec<Conflict>) -> Vec<Conflict> {
        if self.manager == last_applied::KUBECTL
            && let Some(applied) = last_applied::still_applied(live, self.api_version, self.layout.form())
        {
            conflicts.retain(|conflict| !applied.has(&conflict.path));
        }
        conflicts
    }

    fn nothing(&self) -> Map<String, Value> {
        match self.layout {
            Layout::Message(message) => empty(message),
            Layout::Node(_) => Map::new(),
        }
    }

    fn identity(&self, manager: &str, operation: Operation) -> Identity {
        Identity {
            manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
            operation,
            subresource: self.subresource.to_owned(),
            api_version: self.api_version.to_owned(),
        }
    }

    fn time(&self) -> String {
        clock::format_time(self.now)
    }

    fn describe(&self, object: &Object) -> String {
        format!("{}/{}; {}", object.namespace(), object.name(), show_gvk(self.gvk))
    }
}

/// The group is shown even where it is empty.
fn show_gvk(gvk: &GroupVersionKind) -> String {
    format!("{}/{}, Kind={}", gvk.group, gvk.version, gvk.kind)
}

fn unfit(message: String) -> ApiError {
    ApiError::new(Reason::Unknown, message)
}

fn set_managed(object: &mut Object, managed: Managed) {
    match managed.encode() {
        Some(value) => object.set(MANAGED_FIELDS, value),
        None => drop(object.remove(MANAGED_FIELDS)),
    }
}

/// The differences between two objects in each version that managers wrote in.
struct Comparisons<'a> {
    writer: &'a Writer<'a>,
    old: &'a Map<String, Value>,
    new: &'a Map<String, Value>,
    known: Vec<(String, Comparison)>,
}

impl<'a> Comparisons<'a> {
    fn new(writer: &'a Writer<'a>, old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> Self {
        let own = compare(old, new, writer.layout.form()).filtered(writer.filter).without_only(&STRIPPED);
        Self { writer, old, new, known: vec![(writer.api_version.to_owned(), own)] }
    }

    /// In the version of this write.
    fn own(&self) -> &Comparison {
        &self.known[0].1
    }

    fn into_own(mut self) -> Comparison {
        self.known.swap_remove(0).1
    }

    /// Nothing when the version is not served any more.
    fn of(&mut self, api_version: &str) -> Option<&Comparison> {
        let at = match self.known.iter().position(|(version, _)| version == api_version) {
            Some(at) => at,
            None => {
                let layout = self.writer.versions.layout(api_version)?;
                let convert = |object: &Map<String, Value>| {
                    self.writer.versions.convert(object.clone(), self.writer.api_version, api_version)
                };
                let comparison =
                    compare(&convert(self.old), &convert(self.new), layout.form()).filtered(self.writer.filter);
                self.known.push((api_version.to_owned(), comparison));
                self.known.len() - 1
            }
        };
        Some(&self.known[at].1)
    }
}

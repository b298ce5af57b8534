//! What a manager applied before and does not apply any more goes, unless others own it.

use serde_json::{Map, Value};

use super::field_set::field_set;
use super::form::Form;
use super::managed::{Entry, Identity, Managed};
use super::node::Layout;
use super::remove::{remove, with_named_fields};
use super::set::Set;
use super::writer::Versions;

type Tree = Map<String, Value>;

pub struct Prune<'a> {
    pub versions: &'a dyn Versions,
    pub api_version: &'a str,
    pub layout: &'a Layout,
}

impl Prune<'_> {
    /// `managed` holds what `applier` applies now, `last` what it applied before.
    pub fn run(&self, merged: Tree, managed: &Managed, applier: &Identity, last: Option<&Entry>) -> Tree {
        let Some(last) = last else { return merged };
        let version = last.identity.api_version.as_str();
        let Some(layout) = self.layout_of(version) else { return merged };
        let form = layout.form();
        let now = managed.find(applier).map(|entry| &entry.fields);
        if version == self.api_version && now.is_some_and(|now| last.fields.difference(now).is_empty()) {
            return merged;
        }
        let merged = self.convert(merged, self.api_version, version);
        let gone = with_named_fields(&last.fields, form);
        let pruned = remove(&merged, &gone, form);
        let pruned = self.add_back_owned(&merged, pruned, version, managed);
        let pruned = add_back_dangling(&merged, &pruned, &gone, form);
        self.convert(pruned, version, self.api_version)
    }

    fn layout_of(&self, version: &str) -> Option<Layout> {
        if version == self.api_version { Some(self.layout.clone()) } else { self.versions.layout(version) }
    }

    fn convert(&self, object: Tree, from: &str, to: &str) -> Tree {
        if from == to { object } else { self.versions.convert(object, from, to) }
    }

    /// Adds back what anyone owns, in each version that something is owned in; that of the pruned object first.
    fn add_back_owned(&self, merged: &Tree, pruned: Tree, version: &str, managed: &Managed) -> Tree {
        let mut owned: Vec<(&str, Vec<Set>)> = vec![(version, Vec::new())];
        for entry in &managed.0 {
            let of = entry.identity.api_version.as_str();
            match owned.iter_mut().find(|(version, _)| *version == of) {
                Some((_, sets)) => sets.push(entry.fields.clone()),
                None => owned.push((of, vec![entry.fields.clone()])),
            }
        }
        owned.into_iter().fold(pruned, |pruned, (of, sets)| {
            let Some(layout) = self.layout_of(of) else { return pruned };
            let there = self.convert(merged.clone(), version, of);
            let kept = add_back(&there, &self.convert(pruned, version, of), &Set::union_all(sets), layout.form());
            self.convert(kept, of, version)
        })
    }
}

/// `merged` without what neither `pruned` nor `owned` holds.
fn add_back(merged: &Tree, pruned: &Tree, owned: &Set, form: Form) -> Tree {
    let named = |set: &Set| with_named_fields(set, form);
    let kept = named(&field_set(pruned, form)).union(&named(owned));
    remove(merged, &named(&field_set(merged, form)).difference(&kept), form)
}

/// Adds back what the manager did not apply before: it goes with nothing that goes.
fn add_back_dangling(merged: &Tree, pruned: &Tree, last: &Set, form: Form) -> Tree {
    let named = |object: &Tree| with_named_fields(&field_set(object, form), form);
    remove(merged, &named(merged).difference(&named(pruned)).intersection(last), form)
}

//! What updates are forgiven: faults that the definition had before.
//!
//! upstream: validationOptions of ValidateCustomResourceDefinitionUpdate

use machinery::Object;
use machinery::field::Path;
use serde_json::Value;
use structural::{Schema, check_defaults, check_invariants};

use super::{conversion, schema, versions};
use crate::check::At;
use crate::tree::condition_is_true;

/// Nothing is forgiven a new definition but a bundle of certificates.
#[derive(Default)]
pub struct Forgiven {
    /// Who serves a webhook for a definition that is not established yet may put the right one later.
    pub ca_bundle: bool,
    pub review_versions: bool,
    pub missing_schemas: bool,
    pub types: bool,
    pub structure: bool,
    pub unpruned_defaults: bool,
    pub set_items: bool,
    pub items_told_apart: bool,
    /// Versions whose schema stays what it was: their rules may cost more than one rule may.
    pub costs: Vec<String>,
    /// Versions that go on with too many selectable fields.
    pub selectable_fields: Vec<String>,
}

impl Forgiven {
    pub fn new() -> Self {
        Self { ca_bundle: true, ..Self::default() }
    }

    pub fn update(new: &Object, old: &Object) -> Self {
        let before = old.list(&["spec", "versions"]);
        let schemas: Vec<&Value> = before.iter().map(schema_of).filter(|schema| schema.is_object()).collect();
        let any = |wrong: &dyn Fn(&Value) -> bool| schemas.iter().any(|schema| has(schema, wrong));
        let is_structural = |schema: &Value| check_invariants(&Path::root(), schema).is_empty();
        let unpruned = |schema: &&Value| {
            let faults = |pruned| check_defaults(&Path::root(), &Schema::root(schema), pruned).len();
            has(schema, &|schema| is_set(schema, "default")) && is_structural(schema) && faults(true) > faults(false)
        };
        let stay = |same: &dyn Fn(&Value, &Value) -> bool| {
            let stays =
                |version: &&Value| before.iter().any(|old| old["name"] == version["name"] && same(version, old));
            let names = new.list(&["spec", "versions"]).iter().filter(stays).map(|version| version["name"].as_str());
            names.flatten().map(str::to_owned).collect()
        };
        Self {
            ca_bundle: !condition_is_true(old, "Established") || conversion::has_invalid_ca_bundle(old),
            review_versions: conversion::has_unknown_reviews(old),
            missing_schemas: schemas.len() < before.len(),
            types: any(&|schema| schema::has_unknown_type(&root(schema))),
            structure: !schemas.iter().all(|schema| is_structural(schema)),
            unpruned_defaults: schemas.iter().any(unpruned),
            set_items: any(&|schema| schema::set_items(&root(schema)).is_some()),
            items_told_apart: any(&|schema| !schema::told_apart(&root(schema)).is_empty()),
            costs: stay(&|new, old| schema_of(new) == schema_of(old)),
            selectable_fields: stay(&|new, old| {
                versions::has_too_many_selectable(old) && new["selectableFields"] == old["selectableFields"]
            }),
        }
    }
}

fn schema_of(version: &Value) -> &Value {
    &version["schema"]["openAPIV3Schema"]
}

fn root(schema: &Value) -> At<'_> {
    At { value: schema, path: Path::root() }
}

pub fn is_set(schema: &Value, name: &str) -> bool {
    schema.get(name).is_some_and(|value| !value.is_null())
}

/// Whether a schema is so, or one within it.
pub fn has(schema: &Value, is: &dyn Fn(&Value) -> bool) -> bool {
    is(schema) || schema::within(schema).any(|within| has(within, is))
}

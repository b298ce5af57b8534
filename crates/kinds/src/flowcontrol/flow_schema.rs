//! FlowSchema.

use std::cmp::Ordering;

use machinery::Object;

use super::flow_schema_validate;
use crate::columns::{AGE, NAME, NONE, non_empty, number};
use crate::def::Description::{Field, Text};
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};
use crate::tree::condition;

const PRECEDENCE: i32 = 1000;

pub static FLOW_SCHEMA: KindDef = KindDef {
    group: "flowcontrol.apiserver.k8s.io",
    kind: "FlowSchema",
    resource: "flowschemas",
    singular: "flowschema",
    scope: Scope::Cluster,
    schema: "io.k8s.api.flowcontrol.v1.FlowSchema",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("PriorityLevel", Field("spec.priorityLevelConfiguration.name"), |schema| {
            schema.str(&["spec", "priorityLevelConfiguration", "name"]).into()
        }),
        Column::string("MatchingPrecedence", Field("spec.matchingPrecedence"), |schema| {
            number(schema, &["spec", "matchingPrecedence"])
        }),
        Column::string("DistinguisherMethod", Field("spec.distinguisherMethod"), |schema| {
            non_empty(schema.str(&["spec", "distinguisherMethod", "type"]), NONE).into()
        }),
        AGE,
        Column::string("MissingPL", Text("references a broken or non-existent PriorityLevelConfiguration"), |schema| {
            condition(schema, "Dangling").map_or("?", |dangling| crate::tree::str_of(dangling, "status")).into()
        }),
    ],
    row_order: Some(by_precedence),
    strategy: Strategy {
        default: |schema| schema.set_default(&["spec", "matchingPrecedence"], PRECEDENCE),
        validate: flow_schema_validate::validate,
        validate_status_update: |schema, _| flow_schema_validate::validate_conditions(schema),
        kept_by_status: &[&["metadata"]],
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

/// As requests are held against them.
fn by_precedence(one: &Object, other: &Object) -> Ordering {
    let key = |schema: &Object| schema.int(&["spec", "matchingPrecedence"]).unwrap_or(0);
    key(one).cmp(&key(other)).then_with(|| one.name().cmp(other.name()))
}

//! FlowSchema.

use super::flow_schema_validate;
use crate::columns::{AGE, NAME, NONE, non_empty, number};
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
        Column::string("PriorityLevel", "Priority level of its requests", |schema| {
            schema.str(&["spec", "priorityLevelConfiguration", "name"]).into()
        }),
        Column::integer("MatchingPrecedence", "Lower goes first", |schema| {
            number(schema, &["spec", "matchingPrecedence"])
        }),
        Column::string("DistinguisherMethod", "What parts its requests into flows", |schema| {
            non_empty(schema.str(&["spec", "distinguisherMethod", "type"]), NONE).into()
        }),
        AGE,
        Column::string("MissingPL", "Whether its priority level is missing", |schema| {
            condition(schema, "Dangling").map_or("?", |dangling| crate::tree::str_of(dangling, "status")).into()
        }),
    ],
    strategy: Strategy {
        default: |schema| schema.set_default(&["spec", "matchingPrecedence"], PRECEDENCE),
        validate: flow_schema_validate::validate,
        validate_status_update: |schema, _| flow_schema_validate::validate_conditions(schema),
        unconditional_update: false,
        kept_by_status: &[&["metadata"]],
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

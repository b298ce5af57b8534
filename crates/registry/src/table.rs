//! Objects as `meta.k8s.io/v1` Tables and PartialObjectMetadata, from the columns of their kind.

use kinds::{Column, KindDef};
use machinery::Object;
use serde_json::{Value, json};

/// `includeObject`: how much of the object goes with its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although \
some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily \
intended for creation idempotence and configuration definition. Cannot be updated.";

const CREATED_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was \
created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this \
value. It is represented in RFC3339 form and is in UTC.";

/// What a kind without columns shows.
const IMPLIED: &[Column] = &[
    Column {
        name: "Name",
        of_type: "string",
        format: "name",
        description: NAME_DESCRIPTION,
        priority: 0,
        cell: |object| json!(object.name()),
    },
    Column {
        name: "Created At",
        of_type: "date",
        format: "",
        description: CREATED_DESCRIPTION,
        priority: 0,
        cell: |object| json!(object.str(&["metadata", "creationTimestamp"])),
    },
];

/// A Table of `objects`. `metadata` is the list's metadata; `header` says whether columns are described.
pub fn render<'a>(
    kind: &KindDef,
    objects: impl Iterator<Item = &'a Object>,
    metadata: Value,
    include: IncludeObject,
    header: bool,
) -> Value {
    let rows: Vec<Value> = objects.map(|object| row(kind, object, include)).collect();
    let definitions = if header { columns(kind).iter().map(definition).collect() } else { Value::Null };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn columns(kind: &KindDef) -> &'static [Column] {
    if kind.columns.is_empty() { IMPLIED } else { kind.columns }
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.of_type, "format": column.format,
        "description": column.description, "priority": column.priority,
    })
}

/// One row of a table.
pub fn row(kind: &KindDef, object: &Object, include: IncludeObject) -> Value {
    let cells: Vec<Value> = columns(kind).iter().map(|column| (column.cell)(object)).collect();
    let object = match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_metadata(object),
        IncludeObject::Object => Value::Object(object.0.clone()),
    };
    json!({"cells": cells, "object": object})
}

/// The object's metadata alone, as a PartialObjectMetadata.
pub fn partial_metadata(object: &Object) -> Value {
    let metadata = object.0.get("metadata").cloned().unwrap_or_else(|| json!({}));
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: KindDef = KindDef { kind: "ConfigMap", resource: "configmaps", ..KindDef::PLAIN };

    const WITH_DATA: KindDef = KindDef {
        columns: &[
            IMPLIED[0],
            Column {
                name: "Data",
                of_type: "integer",
                format: "",
                description: "",
                priority: 1,
                cell: |object| json!(object.map(&["data"]).map_or(0, serde_json::Map::len)),
            },
        ],
        ..PLAIN
    };

    fn config_map() -> Object {
        let value = json!({
            "kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "1", "b": "2"},
            "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"},
        });
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_kind_without_columns_shows_name_and_age() {
        let table = render(&PLAIN, [config_map()].iter(), json!({}), IncludeObject::Metadata, true);
        assert_eq!(table["columnDefinitions"][0]["name"], "Name");
        assert_eq!(table["rows"][0]["cells"], json!(["web", "2026-01-01T00:00:00Z"]));
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(table["rows"][0]["object"]["data"], Value::Null);
    }

    #[test]
    fn cells_come_from_the_columns_of_the_kind() {
        let table = render(&WITH_DATA, [config_map()].iter(), json!({}), IncludeObject::None, false);
        assert_eq!(table["rows"], json!([{"cells": ["web", 2], "object": null}]));
        assert_eq!(table["columnDefinitions"], Value::Null);
    }
}

//! Objects as `meta.k8s.io` Tables and PartialObjectMetadata, from the columns of their kind.

use std::collections::HashMap;
use std::sync::LazyLock;

use kinds::{Column, Description, KindDef};
use machinery::Object;
use serde_json::{Value, json};

use crate::answer::List;
use crate::descriptions::Descriptions;

/// `includeObject`: how much of the object goes with its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

/// The version of `meta.k8s.io` that a client asks for; both look the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetaVersion {
    #[default]
    V1,
    V1Beta1,
}

impl MetaVersion {
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// How rows are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows {
    pub include: IncludeObject,
    pub version: MetaVersion,
}

/// A Table of `objects`. `metadata` is the list's metadata; `header` says whether columns are described.
pub fn render<'a>(
    kind: &KindDef,
    objects: impl Iterator<Item = &'a Object>,
    metadata: Value,
    shown: Rows,
    header: bool,
) -> Value {
    let rows: Vec<Value> = objects.map(|object| row(kind, object, shown)).collect();
    let definitions = if header { definitions(kind) } else { Value::Null };
    json!({
        "kind": "Table", "apiVersion": shown.version.api_version(), "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn definitions(kind: &KindDef) -> Value {
    match kind.custom {
        None => kind.shown_columns().iter().map(|column| definition(kind, column)).collect(),
        Some(custom) => {
            let own = custom.columns.iter().map(|column| {
                json!({
                    "name": column.name, "type": column.of_type, "format": column.format,
                    "description": column.description, "priority": column.priority,
                })
            });
            std::iter::once(NAME.clone()).chain(own).collect()
        }
    }
}

/// The first column of every custom kind.
static NAME: LazyLock<Value> =
    LazyLock::new(|| definition(&KindDef { schema: POD, ..KindDef::PLAIN }, &KindDef::PLAIN.shown_columns()[0]));
const POD: &str = "io.k8s.api.core.v1.Pod";

fn cells(kind: &KindDef, object: &Object) -> Vec<Value> {
    let Some(custom) = kind.custom else {
        return kind.shown_columns().iter().map(|column| (column.cell)(object)).collect();
    };
    let value = Value::Object(object.0.clone());
    std::iter::once(object.name().into()).chain(custom.columns.iter().map(|column| column.cell(&value))).collect()
}

fn definition(kind: &KindDef, column: &Column) -> Value {
    let description = match column.description {
        Description::Text(text) => text,
        Description::Field(path) => FIELDS.get(&(documented(kind), path)).map_or("", Box::as_ref),
    };
    json!({
        "name": column.name, "type": column.of_type, "format": column.format,
        "description": description, "priority": column.priority,
    })
}

/// The message whose fields the columns of a kind speak of: that of the version that is stored.
fn documented(kind: &KindDef) -> &'static str {
    let stored = kind.conversion.and_then(|conversion| {
        let (group, version) = conversion.storage;
        kinds::find(group, version, kind.resource)
    });
    stored.map_or(kind.schema, |stored| stored.schema)
}

/// What the API's documentation says of those fields that columns show, by message and path.
static FIELDS: LazyLock<HashMap<(&'static str, &'static str), Box<str>>> = LazyLock::new(|| {
    let descriptions = Descriptions::load();
    let of_kind = |kind: &'static KindDef| kind.shown_columns().iter().map(move |column| (documented(kind), column));
    let columns = kinds::known().iter().copied().chain([&kinds::autoscaling::SCALE]).flat_map(of_kind);
    let fields = columns.filter_map(|(message, column)| match column.description {
        Description::Field(path) => Some((message, path)),
        Description::Text(_) => None,
    });
    fields.map(|(message, path)| ((message, path), descriptions.of_path(message, path).into())).collect()
});

/// The list in the order in which a table of its kind shows it.
pub fn in_order(kind: &KindDef, mut list: List) -> List {
    if let Some(order) = kind.row_order {
        list.items.sort_by(|one, other| order(&one.object(), &other.object()));
    }
    list
}

/// One row of a table.
pub fn row(kind: &KindDef, object: &Object, shown: Rows) -> Value {
    let cells = cells(kind, object);
    let included = match shown.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_metadata(object, shown.version),
        IncludeObject::Object => Value::Object(object.0.clone()),
    };
    let mut row = json!({"cells": cells, "object": included});
    if let Some([reason, message]) = (kind.completed)(object) {
        row["conditions"] = json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]);
    }
    row
}

/// The object's metadata alone, as a PartialObjectMetadata.
pub fn partial_metadata(object: &Object, version: MetaVersion) -> Value {
    let metadata = object.0.get("metadata").cloned().unwrap_or_else(|| json!({}));
    json!({"kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata})
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: KindDef = KindDef { kind: "ConfigMap", resource: "configmaps", ..KindDef::PLAIN };

    const NO_OBJECT: Rows = Rows { include: IncludeObject::None, version: MetaVersion::V1 };

    const WITH_DATA: KindDef = KindDef {
        columns: &[
            Column::string("Name", Description::Text("Its name"), |object| json!(object.name())),
            Column::integer("Data", Description::Text("Number of entries"), |object| {
                json!(object.map(&["data"]).map_or(0, serde_json::Map::len))
            }),
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
        let table = render(&PLAIN, [config_map()].iter(), json!({}), Rows::default(), true);
        assert_eq!(table["columnDefinitions"][0]["name"], "Name");
        assert_eq!(table["rows"][0]["cells"], json!(["web", "2026-01-01T00:00:00Z"]));
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(table["rows"][0]["object"]["data"], Value::Null);
    }

    #[test]
    fn every_column_is_described() {
        for kind in kinds::known() {
            for column in kind.shown_columns() {
                assert_ne!(definition(kind, column)["description"], "", "{kind:?} {}", column.name);
            }
        }
        let nodes = kinds::find("", "v1", "nodes").unwrap();
        let definitions = render(nodes, std::iter::empty(), json!({}), NO_OBJECT, true)["columnDefinitions"].take();
        assert_eq!(
            definitions[7]["description"],
            "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy))."
        );
    }

    #[test]
    fn rows_of_what_has_run_its_course_say_so() {
        let pods = kinds::find("", "v1", "pods").unwrap();
        let pod = Object::from_value(json!({"metadata": {"name": "a"}, "status": {"phase": "Failed"}})).unwrap();
        let conditions =
            json!([{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]);
        assert_eq!(row(pods, &pod, NO_OBJECT)["conditions"], conditions);
    }

    #[test]
    fn cells_come_from_the_columns_of_the_kind() {
        let table = render(&WITH_DATA, [config_map()].iter(), json!({}), NO_OBJECT, false);
        assert_eq!(table["rows"], json!([{"cells": ["web", 2], "object": null}]));
        assert_eq!(table["columnDefinitions"], Value::Null);
    }
}

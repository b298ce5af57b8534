//! The schemas that operations refer to, and those that they refer to.

use std::collections::{BTreeSet, HashMap};

use kinds::KindDef;
use machinery::GroupVersionKind;
use schema::{Field, ListType, Message, Shape, Type};
use serde_json::{Map, Value, json};

use super::Kinds;
use super::dialect::Dialect;
use super::operations::{Body, Operation, capital};
use crate::descriptions::Descriptions;

pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const PATCH_BODY: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Messages of which one field says which of the others counts: that field, and the others.
const UNIONS: [(&str, &str, &[&str]); 5] = [
    ("io.k8s.api.core.v1.AppArmorProfile", "type", &["localhostProfile"]),
    ("io.k8s.api.core.v1.SeccompProfile", "type", &["localhostProfile"]),
    ("io.k8s.api.flowcontrol.v1.LimitResponse", "type", &["queuing"]),
    ("io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec", "type", &["exempt", "limited"]),
    ("io.k8s.api.flowcontrol.v1.Subject", "kind", &["group", "serviceAccount", "user"]),
];

/// A kind's name among the definitions: its message, or for a custom resource its group backwards.
pub(super) fn definition_name(kind: &KindDef) -> String {
    if schema::message(kind.schema).is_some() {
        return kind.schema.to_owned();
    }
    let group: Vec<&str> = kind.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
}

/// The message of a built-in kind, found by the kind's name and the package that its group has.
pub(super) fn message_name(gvk: &GroupVersionKind) -> String {
    let package = gvk.group.split('.').next().filter(|word| !word.is_empty()).unwrap_or("core");
    format!("io.k8s.api.{package}.{}.{}", gvk.version, gvk.kind)
}

pub(super) struct Definitions<'a> {
    dialect: Dialect,
    kinds: Kinds<'a>,
    descriptions: Descriptions,
    /// Custom kinds by the name of their definition.
    custom: HashMap<String, &'static KindDef>,
    /// Group and version of each package: `io.k8s.api.apps.v1`.
    packages: HashMap<&'static str, (&'static str, &'static str)>,
    made: Map<String, Value>,
}

impl<'a> Definitions<'a> {
    pub fn new(dialect: Dialect, kinds: Kinds<'a>) -> Self {
        let package = |kind: &&'static KindDef| Some((kind.schema.rsplit_once('.')?.0, (kind.group, kind.version)));
        let packages = kinds.iter().filter_map(package).collect();
        let custom = kinds.iter().filter(|kind| kind.custom.is_some());
        let custom = custom.map(|kind| (definition_name(kind), *kind)).collect();
        Self { dialect, kinds, descriptions: Descriptions::load(), custom, packages, made: Map::new() }
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.made)
    }

    /// Adds all that an operation refers to.
    pub fn add_operation(&mut self, operation: &Operation) {
        self.add(&operation.object);
        match operation.body {
            Some(Body::Patch) => self.add(PATCH_BODY),
            Some(Body::DeleteOptions) => self.add(DELETE_OPTIONS),
            Some(Body::Object) | None => {}
        }
        match operation.answer.strip_suffix("List") {
            Some(item) if operation.action == "list" => self.add_list(item, &operation.gvk),
            _ => self.add(&operation.answer),
        }
    }

    fn add(&mut self, name: &str) {
        if name.is_empty() || self.made.contains_key(name) {
            return;
        }
        let definition = match schema::message(name) {
            Some(message) => self.message(message),
            None => self.other(name),
        };
        self.made.insert(name.to_owned(), definition);
        let message = schema::message(name).into_iter().flat_map(|message| message.fields);
        let referred: BTreeSet<&str> = message.map(|field| field.of.definition()).chain(unions(name)).collect();
        for definition in referred.into_iter().filter(|name| name.contains('.')) {
            self.add(definition);
        }
    }

    fn message(&self, message: &Message) -> Value {
        let mut definition = Map::new();
        insert_text(&mut definition, "description", self.descriptions.of_type(message.name));
        definition.insert("type".to_owned(), json!("object"));
        if !message.fields.is_empty() {
            let property = |field: &Field| (field.json.to_owned(), self.property(message, field));
            definition.insert("properties".to_owned(), message.fields.iter().map(property).collect());
        }
        let required: Vec<&str> =
            message.fields.iter().filter(|field| field.required).map(|field| field.json).collect();
        if !required.is_empty() {
            definition.insert("required".to_owned(), json!(required));
        }
        if message.atomic {
            definition.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        if let Some((_, discriminator, fields)) = UNIONS.iter().find(|(name, ..)| *name == message.name) {
            let values: Map<String, Value> =
                fields.iter().map(|field| ((*field).to_owned(), json!(capital(field)))).collect();
            let union = json!({"discriminator": discriminator, "fields-to-discriminateBy": values});
            definition.insert("x-kubernetes-unions".to_owned(), json!([union]));
        }
        let gvks = self.gvks(message);
        if !gvks.is_empty() {
            definition.insert("x-kubernetes-group-version-kind".to_owned(), json!(gvks));
        }
        Value::Object(definition)
    }

    fn property(&self, message: &Message, field: &Field) -> Value {
        let mut property = match field.shape {
            Shape::One => self.value(field.of, true),
            Shape::List => json!({"type": "array", "items": self.value(field.of, false)}),
            Shape::Map => json!({"type": "object", "additionalProperties": self.value(field.of, false)}),
        };
        let map = property.as_object_mut().expect("made an object just above");
        insert_text(map, "description", self.descriptions.of_field(message.name, field.json));
        let list = match field.list {
            ListType::Unsaid => "",
            ListType::Atomic => "atomic",
            ListType::Set => "set",
            ListType::Map => "map",
        };
        insert_text(map, "x-kubernetes-list-type", list);
        if !field.map_keys.is_empty() {
            map.insert("x-kubernetes-list-map-keys".to_owned(), json!(field.map_keys));
        }
        let map_type = match (field.atomic, field.granular) {
            (true, _) => "atomic",
            (false, true) => "granular",
            (false, false) => "",
        };
        insert_text(map, "x-kubernetes-map-type", map_type);
        insert_text(map, "x-kubernetes-patch-merge-key", field.merge_key);
        insert_text(map, "x-kubernetes-patch-strategy", field.strategy);
        property
    }

    fn value(&self, of: Type, described: bool) -> Value {
        match of {
            Type::String => json!({"type": "string"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Strings => json!({"type": "array", "items": {"type": "string"}}),
            other if described => self.dialect.described_reference(other.definition()),
            other => self.dialect.reference(other.definition()),
        }
    }

    /// A definition that is no message: a special type, the body of a patch, or a custom resource.
    fn other(&self, name: &str) -> Value {
        let mut definition = match (name.rsplit('.').next().unwrap_or_default(), self.dialect) {
            ("Quantity", Dialect::V2) => json!({"type": "string"}),
            ("Quantity", Dialect::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            ("IntOrString", Dialect::V2) => json!({"type": "string", "format": "int-or-string"}),
            ("IntOrString", Dialect::V3) => {
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            ("Time" | "MicroTime", _) => json!({"type": "string", "format": "date-time"}),
            ("FieldsV1" | "RawExtension", _) => json!({"type": "object"}),
            ("Patch", _) => json!({"type": "object", "description":
                "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body."}),
            _ => self.custom(name),
        };
        let map = definition.as_object_mut().expect("made an object just above");
        insert_text(map, "description", self.descriptions.of_type(name));
        definition
    }

    /// A custom resource, as its definition describes it. The unions of `JSONSchemaProps`: anything.
    fn custom(&self, name: &str) -> Value {
        let Some((kind, custom)) = self.custom.get(name).and_then(|kind| Some((kind, kind.custom?))) else {
            return json!({});
        };
        let header = |json: &str| json!({"type": "string", "description": self.descriptions.of_field(STATUS, json)});
        let mut metadata = self.dialect.described_reference(OBJECT_META);
        metadata["description"] = json!(self.descriptions.of_field("io.k8s.api.core.v1.Pod", "metadata"));
        let meta = super::custom::Meta { api_version: header("apiVersion"), kind: header("kind"), metadata };
        let mut definition = super::custom::definition(custom, self.dialect, &meta);
        definition["x-kubernetes-group-version-kind"] = json!([gvk_value(&kind.gvk())]);
        definition
    }

    fn add_list(&mut self, item: &str, of: &Value) {
        self.add(item);
        self.add(LIST_META);
        let kind = of["kind"].as_str().unwrap_or_default();
        let header = |json: &str| json!({"type": "string", "description": self.descriptions.of_field(STATUS, json)});
        let mut metadata = self.dialect.described_reference(LIST_META);
        metadata["description"] = json!("Standard list metadata.");
        let definition = json!({
            "description": format!("{kind}List is a list of {kind} objects."),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": header("apiVersion"),
                "kind": header("kind"),
                "metadata": metadata,
                "items": {
                    "type": "array",
                    "description": format!("The {kind} objects."),
                    "items": self.dialect.reference(item),
                },
            },
            "x-kubernetes-group-version-kind":
                [{"group": of["group"], "version": of["version"], "kind": format!("{kind}List")}],
        });
        self.made.insert(format!("{item}List"), definition);
    }

    /// What kinds a message is, by the package it lies in.
    fn gvks(&self, message: &Message) -> Vec<Value> {
        let Some((package, kind)) = message.name.rsplit_once('.') else { return Vec::new() };
        if message.name == DELETE_OPTIONS {
            let versions: BTreeSet<_> = self.kinds.iter().map(|kind| (kind.group, kind.version)).collect();
            return versions.into_iter().map(|(group, version)| gvk_json(group, version, kind)).collect();
        }
        if message.name == STATUS {
            return vec![gvk_json("", "v1", kind)];
        }
        match self.packages.get(package) {
            Some((group, version)) if message.is_object() => vec![gvk_json(group, version, kind)],
            _ => Vec::new(),
        }
    }
}

fn gvk_value(gvk: &GroupVersionKind) -> Value {
    gvk_json(&gvk.group, &gvk.version, &gvk.kind)
}

fn gvk_json(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

fn insert_text(map: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        map.insert(key.to_owned(), json!(text));
    }
}

/// What custom resources refer to without a message that says so.
fn unions(name: &str) -> impl Iterator<Item = &'static str> {
    let is_custom = schema::message(name).is_none() && !name.starts_with("io.k8s.");
    is_custom.then_some(OBJECT_META).into_iter()
}

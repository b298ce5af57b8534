//! How custom resources merge when they are applied, from their schemas.

use std::collections::BTreeMap;

use super::compile::intern_all;
use machinery::apply::{Node, Told};
use schema::Type as Scalar;
use structural::{Additional, List, Schema, Type};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The form of a resource; `open` says that all unknown fields stay.
pub(super) fn node(root: &Schema, open: bool) -> Node {
    resource(root, open || root.preserves)
}

/// An object of its own, whose type and metadata are known whatever the schema says.
fn resource(schema: &Schema, open: bool) -> Node {
    let mut fields = fields(schema);
    let metadata = schema::message(OBJECT_META).expect("metadata is in the table");
    fields.insert("apiVersion".into(), Node::Scalar(Scalar::String));
    fields.insert("kind".into(), Node::Scalar(Scalar::String));
    fields.insert("metadata".into(), Node::Message(metadata));
    Node::Struct { fields, defaults: BTreeMap::new(), open, atomic: schema.atomic_map }
}

fn fields(schema: &Schema) -> BTreeMap<Box<str>, Node> {
    schema.properties.iter().map(|(name, of)| (name.clone(), value(of))).collect()
}

fn value(schema: &Schema) -> Node {
    if schema.int_or_string {
        return Node::Scalar(Scalar::IntOrString);
    }
    match schema.of {
        None => Node::Deduced,
        Some(Type::String) => Node::Scalar(Scalar::String),
        Some(Type::Boolean) => Node::Scalar(Scalar::Bool),
        Some(Type::Integer) => Node::Scalar(Scalar::Int64),
        Some(Type::Number) => Node::Scalar(Scalar::Double),
        Some(Type::Array) => list(schema),
        Some(Type::Object) if schema.embedded => resource(schema, schema.preserves),
        Some(Type::Object) => object(schema),
    }
}

fn object(schema: &Schema) -> Node {
    let atomic = schema.atomic_map;
    match &schema.additional {
        Additional::Of(of) if schema.properties.is_empty() => Node::Map { of: Box::new(value(of)), atomic },
        Additional::Any(true) if schema.properties.is_empty() => Node::Map { of: Box::new(Node::Deduced), atomic },
        _ if schema.properties.is_empty() && !atomic => Node::Deduced,
        _ => {
            let properties = schema.properties.iter();
            let defaults = properties.filter_map(|(name, of)| Some((name.clone(), *of.default.clone()?))).collect();
            Node::Struct { fields: fields(schema), defaults, open: schema.preserves, atomic }
        }
    }
}

fn list(schema: &Schema) -> Node {
    let of = Box::new(schema.items.as_deref().map_or(Node::Deduced, value));
    let told = match &schema.list {
        List::Atomic => Told::Not,
        List::Set => Told::ByValue,
        List::Map(keys) => Told::ByKeys(intern_all(keys.iter().map(|key| &**key))),
    };
    Node::List { of, told }
}

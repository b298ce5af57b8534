//! What holds for the hooks of every kind: tried with objects made along the schema table, and with the smallest valid
//! object of each kind.

mod minimal;

use kinds::KindDef;
use machinery::Object;
use minimal::minimal;
use schema::{Message, Shape, Type};
use serde_json::{Map, Value, json};

/// How deep generated objects go.
const DEPTH_MAX: usize = 12;

/// Which fields a generated object has.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    /// All of them.
    Everything,
    /// Those that hold objects: every one is there and lacks everything else, so that defaulting has most to do.
    Shells,
}

/// An object of the message, in which no message lies within itself.
fn generated(message: &'static Message, fill: Fill, above: &mut Vec<&'static str>) -> Value {
    if above.len() > DEPTH_MAX || above.contains(&message.name) {
        return json!({});
    }
    above.push(message.name);
    let mut object = Map::new();
    for field in message.fields {
        let Some(value) = one(field.of, fill, above) else { continue };
        let value = match field.shape {
            Shape::One => value,
            Shape::List => json!([value]),
            Shape::Map => json!({"a": value}),
        };
        object.insert(field.json.to_owned(), value);
    }
    above.pop();
    object.into()
}

fn one(of: Type, fill: Fill, above: &mut Vec<&'static str>) -> Option<Value> {
    let value = match of {
        Type::Message(message) => return Some(generated(message, fill, above)),
        _ if fill == Fill::Shells => return None,
        Type::String => json!("a"),
        Type::Bytes => json!("YQ=="),
        Type::Bool => json!(true),
        Type::Int32 | Type::Int64 | Type::Double | Type::IntOrString => json!(1),
        Type::Strings => json!(["a"]),
        Type::Quantity => json!("1"),
        Type::Time => json!("2026-01-01T00:00:00Z"),
        Type::MicroTime => json!("2026-01-01T00:00:00.000000Z"),
        Type::Duration => json!("1s"),
        Type::FieldsV1 | Type::RawExtension | Type::Any => json!({}),
        Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => return None,
    };
    Some(value)
}

fn samples(kind: &KindDef) -> Vec<Object> {
    let message = schema::message(kind.schema).unwrap_or_else(|| panic!("{kind:?}"));
    let of = |fill| Object::from_value(generated(message, fill, &mut Vec::new())).unwrap();
    vec![Object::default(), of(Fill::Everything), of(Fill::Shells)]
}

#[test]
fn defaulting_twice_changes_nothing() {
    for kind in kinds::known() {
        for mut once in samples(kind) {
            (kind.strategy.default)(&mut once);
            let mut twice = once.clone();
            (kind.strategy.default)(&mut twice);
            assert_eq!(twice, once, "{kind:?}");
        }
    }
}

#[test]
fn hooks_cope_with_any_object() {
    for kind in kinds::known() {
        let (strategy, samples) = (&kind.strategy, samples(kind));
        for new in &samples {
            let mut created = new.clone();
            (strategy.prepare_create)(&mut created);
            for object in [new, &created] {
                let _ = [(strategy.validate)(object), (strategy.validate_create)(object)];
                let _ = (strategy.warnings)(object);
            }
            for old in &samples {
                let mut updated = new.clone();
                (strategy.prepare_update)(&mut updated, old);
                let _ = [(strategy.validate_update)(&updated, old), (strategy.validate_status_update)(&updated, old)];
                (strategy.prepare_status_update)(&mut updated, old);
            }
        }
    }
}

/// Every stored kind with its smallest object, defaulted.
fn minimal_objects() -> impl Iterator<Item = (&'static KindDef, Object)> {
    let stored = kinds::known().iter().filter(|kind| !kind.virtual_kind && kind.conversion.is_none());
    stored.map(|kind| {
        let mut object = minimal(kind);
        (kind.strategy.default)(&mut object);
        (*kind, object)
    })
}

#[test]
fn the_smallest_objects_are_valid() {
    for (kind, mut object) in minimal_objects() {
        let strategy = &kind.strategy;
        (strategy.prepare_create)(&mut object);
        assert_eq!((strategy.validate_name)(object.name()), Vec::<String>::new(), "{kind:?}");
        let errors = [(strategy.validate)(&object), (strategy.validate_create)(&object)].concat();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{kind:?}");
    }
}

#[test]
fn an_update_that_changes_nothing_is_valid() {
    for (kind, mut object) in minimal_objects() {
        let strategy = &kind.strategy;
        (strategy.prepare_create)(&mut object);
        // A Job takes the labels that its creation gave to its template.
        (strategy.default)(&mut object);
        let mut updated = object.clone();
        (strategy.default)(&mut updated);
        (strategy.prepare_update)(&mut updated, &object);
        assert_eq!(updated, object, "{kind:?}");
        let errors = [(strategy.validate)(&updated), (strategy.validate_update)(&updated, &object)].concat();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{kind:?}");
    }
}

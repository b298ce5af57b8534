//! What data looks like: how its JSON is read, which fields it has, how large it can get.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::escape::escape;
use crate::types::Type;

/// The largest request, and so the largest string in one. In bytes.
pub const REQUEST_MAX: u64 = 3 * 1024 * 1024;
/// A string's share of the largest request, without its quotes.
const STRING_MAX: u64 = REQUEST_MAX - 2;
/// Of a duration or a time in JSON.
const TIME_MAX: u64 = 32;
const DATE_SIZE: u64 = 12;
/// What upstream takes for no limit.
const UNBOUNDED: u64 = i64::MAX as u64;

#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub form: Form,
    pub nullable: bool,
    /// Characters, bytes, elements or entries at most; zero for what has no size.
    pub max_elements: u64,
    /// The shortest JSON of this shape.
    pub min_size: u64,
    /// Characters that the keys of a map have at most; zero where nothing bounds them.
    pub keys_max: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Whatever the JSON says.
    Dyn,
    IntOrString,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Duration,
    Date,
    DateTime,
    Quantity,
    List(Arc<Shape>, Merge),
    Map(Arc<Shape>),
    Object(Object),
}

/// Which elements of a list count as the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Merge {
    #[default]
    Atomic,
    Set,
    /// Those that agree in these properties.
    Map(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Names the type in messages.
    pub name: Arc<str>,
    /// By the name that expressions use.
    pub fields: BTreeMap<String, Field>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// As JSON has it.
    pub name: String,
    pub shape: Arc<Shape>,
}

impl Object {
    /// The field that expressions call `name`. Reserved words need no underscores where only a field can stand.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name).or_else(|| self.fields.get(&format!("__{name}__")))
    }
}

impl Shape {
    /// With the sizes that nothing limits.
    pub fn of(form: Form) -> Self {
        let (max_elements, min_size) = match &form {
            Form::Dyn => (0, 1),
            Form::IntOrString => (STRING_MAX, 1),
            Form::Bool => (0, 4),
            Form::Int | Form::Double => (0, 1),
            Form::String | Form::Bytes => (STRING_MAX, 2),
            Form::Duration => (TIME_MAX, 3),
            Form::Date => (DATE_SIZE, DATE_SIZE),
            Form::DateTime => (TIME_MAX, 21),
            Form::Quantity => (UNBOUNDED, 8),
            Form::List(items, _) => ((REQUEST_MAX - 2) / (items.min_size + 1), 2),
            Form::Map(values) => ((REQUEST_MAX - 2) / (values.min_size + 6), 2),
            Form::Object(_) => (0, 2),
        };
        Self { form, nullable: false, max_elements, min_size, keys_max: 0 }
    }

    /// The same, with no more elements, characters or entries than that.
    #[must_use]
    pub fn at_most(self, max_elements: u64) -> Self {
        Self { max_elements, ..self }
    }

    /// The same, with keys of no more characters than that.
    #[must_use]
    pub fn with_keys_of(self, keys_max: u64) -> Self {
        Self { keys_max, ..self }
    }

    /// An object of these properties; those that no expression can name are left out.
    pub fn object<S: Into<String>>(name: &str, properties: impl IntoIterator<Item = (S, Self)>) -> Self {
        let field = |(name, shape): (S, Self)| {
            let name = name.into();
            escape(&name).map(|escaped| (escaped, Field { name, shape: Arc::new(shape) }))
        };
        let fields = properties.into_iter().filter_map(field).collect();
        Self::of(Form::Object(Object { name: name.into(), fields }))
    }

    /// The shape that a structural schema describes, its type named `name`; none where expressions cannot look
    /// into it. `resource` adds the fields that every resource has.
    pub fn from_schema(schema: &Json, name: &str, resource: bool) -> Option<Self> {
        let mut shape = Self::of_schema(schema, name, resource)?;
        shape.nullable = schema["nullable"] == Json::Bool(true);
        Some(shape)
    }

    fn of_schema(schema: &Json, name: &str, resource: bool) -> Option<Self> {
        if schema["x-kubernetes-int-or-string"] == Json::Bool(true) {
            return Some(Self::of(Form::IntOrString).limited(characters(schema)));
        }
        match schema["type"].as_str()? {
            "array" => list(schema, name),
            "object" => object(schema, name, resource),
            "string" => Some(string(schema)),
            "boolean" => Some(Self::of(Form::Bool)),
            "number" => Some(Self::of(Form::Double)),
            "integer" => Some(Self::of(Form::Int)),
            _ => None,
        }
    }

    fn limited(self, limit: Option<u64>) -> Self {
        let max = limit.unwrap_or(self.max_elements);
        self.at_most(max)
    }

    pub fn to_type(&self) -> Type {
        match &self.form {
            Form::Dyn | Form::IntOrString => Type::Dyn,
            Form::Bool => Type::Bool,
            Form::Int => Type::Int,
            Form::Double => Type::Double,
            Form::String => Type::String,
            Form::Bytes => Type::Bytes,
            Form::Duration => Type::Duration,
            Form::Date | Form::DateTime => Type::Timestamp,
            Form::Quantity => Type::object("kubernetes.Quantity"),
            Form::List(items, _) => Type::list(items.to_type()),
            Form::Map(values) => Type::map(Type::String, values.to_type()),
            Form::Object(object) => Type::Object(object.name.clone()),
        }
    }

    /// Visits every object in it, itself included.
    pub fn each_object(&self, visit: &mut dyn FnMut(&Object)) {
        match &self.form {
            Form::List(inner, _) | Form::Map(inner) => inner.each_object(visit),
            Form::Object(object) => {
                visit(object);
                object.fields.values().for_each(|field| field.shape.each_object(visit));
            }
            _ => {}
        }
    }
}

fn list(schema: &Json, name: &str) -> Option<Shape> {
    let items = schema.get("items")?;
    let items = Shape::from_schema(items, &format!("{name}.@idx"), is_embedded(items))?;
    let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
    let merge = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Merge::Set,
        Some("map") => Merge::Map(keys.filter_map(Json::as_str).map(str::to_owned).collect()),
        _ => Merge::Atomic,
    };
    Some(Shape::of(Form::List(Arc::new(items), merge)).limited(limit(schema, "maxItems")))
}

fn object(schema: &Json, name: &str, resource: bool) -> Option<Shape> {
    if let Some(values) = schema.get("additionalProperties").filter(|of| of.is_object()) {
        let values = Shape::from_schema(values, &format!("{name}.@elem"), is_embedded(values))?;
        return Some(Shape::of(Form::Map(Arc::new(values))).limited(limit(schema, "maxProperties")));
    }
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut min_size = 2;
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for (property, of) in schema["properties"].as_object().into_iter().flatten() {
        let Some(shape) = Shape::from_schema(of, &format!("{name}.{property}"), is_embedded(of)) else { continue };
        if of.get("default").is_none() && required.iter().any(|name| name == property) {
            min_size += property.len() as u64 + shape.min_size + 4;
        }
        shapes.insert(property.clone(), shape);
    }
    if resource {
        add_resource_fields(&mut shapes, name);
    }
    let mut shape = Shape::object(name, shapes);
    shape.min_size = min_size;
    Some(shape)
}

/// Unless all of them are there.
fn add_resource_fields(shapes: &mut BTreeMap<String, Shape>, name: &str) {
    let is_string = |shape: Option<&Shape>| shape.is_some_and(|shape| shape.form == Form::String);
    let metadata_is_whole = |shape: &Shape| match &shape.form {
        Form::Object(object) => {
            ["name", "generateName"].iter().all(|field| is_string(object.fields.get(*field).map(|of| &*of.shape)))
        }
        _ => false,
    };
    let whole = is_string(shapes.get("kind"))
        && is_string(shapes.get("apiVersion"))
        && shapes.get("metadata").is_some_and(metadata_is_whole);
    if whole {
        return;
    }
    let string = || Shape::of(Form::String);
    let metadata = Shape::object(&format!("{name}.metadata"), [("name", string()), ("generateName", string())]);
    shapes.insert("kind".to_owned(), string());
    shapes.insert("apiVersion".to_owned(), string());
    shapes.insert("metadata".to_owned(), metadata);
}

fn string(schema: &Json) -> Shape {
    match schema["format"].as_str() {
        Some("byte") => Shape::of(Form::Bytes).limited(limit(schema, "maxLength")),
        Some("duration") => Shape::of(Form::Duration),
        Some("date") => Shape::of(Form::Date),
        Some("date-time") => Shape::of(Form::DateTime),
        _ => Shape::of(Form::String).limited(characters(schema).or_else(|| longest_enum(schema))),
    }
}

/// Upstream counts up to four bytes for each character that is allowed.
fn characters(schema: &Json) -> Option<u64> {
    limit(schema, "maxLength").map(|length| length.saturating_mul(4))
}

fn longest_enum(schema: &Json) -> Option<u64> {
    let values = schema["enum"].as_array().filter(|values| !values.is_empty())?;
    values.iter().filter_map(Json::as_str).map(|text| text.len() as u64).max().or(Some(0))
}

fn limit(schema: &Json, name: &str) -> Option<u64> {
    schema[name].as_i64().map(|limit| limit.max(0) as u64)
}

fn is_embedded(schema: &Json) -> bool {
    schema["x-kubernetes-embedded-resource"] == Json::Bool(true)
}

//! A schema as it is kept: what validation, pruning and defaulting ask, and nothing that only people read.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::formats::Format;
use crate::rules::Rules;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Object, Self::Array, Self::String, Self::Integer, Self::Number, Self::Boolean]
            .into_iter()
            .find(|of| of.name() == name)
    }
}

/// What properties an object may have besides those that are named.
#[derive(Debug, Default)]
pub enum Additional {
    #[default]
    Unsaid,
    /// `true` or `false`.
    Any(bool),
    Of(Box<Schema>),
}

/// How items of a list are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum List {
    #[default]
    Atomic,
    Set,
    Map(Vec<Box<str>>),
}

#[derive(Debug, Default)]
pub struct Schema {
    pub of: Option<Type>,
    pub nullable: bool,
    pub int_or_string: bool,
    /// Unknown fields stay.
    pub preserves: bool,
    /// An object with `apiVersion`, `kind` and `metadata`.
    pub embedded: bool,
    pub atomic_map: bool,
    pub list: List,
    pub properties: BTreeMap<Box<str>, Schema>,
    pub additional: Additional,
    pub items: Option<Box<Schema>>,
    pub default: Option<Box<Value>>,
    pub checks: Option<Box<Checks>>,
    pub(crate) rules: Option<Box<Rules>>,
    /// Whether this or anything in it has rules.
    ruled: bool,
}

/// What values must be besides their type.
#[derive(Debug, Default)]
pub struct Checks {
    pub format: Option<Format>,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub pattern: Option<Pattern>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<Box<str>>,
    pub allowed: Vec<Value>,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
}

/// Bytes of a compiled regular expression.
const PATTERN_SIZE_MAX: usize = 10 << 20;

/// A regular expression that is compiled when a value is first held against it.
#[derive(Debug)]
pub struct Pattern {
    pub text: Box<str>,
    compiled: OnceLock<Result<Regex, String>>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// The error is the compiler's.
    pub fn regex(&self) -> Result<&Regex, &str> {
        let compiled = self.compiled.get_or_init(|| compile_pattern(&self.text));
        compiled.as_ref().map_err(String::as_str)
    }
}

/// Compiles a regular expression as Go writes it.
pub(crate) fn compile_pattern(text: &str) -> Result<Regex, String> {
    expression::compile_pattern(text, PATTERN_SIZE_MAX)
}

impl Schema {
    /// Compiles the JSON of a `JSONSchemaProps` that is the root of a resource.
    pub fn root(json: &Value) -> Self {
        Self::parse(json, true)
    }

    /// `root` says that the schema is that of a resource.
    pub fn parse(json: &Value, root: bool) -> Self {
        let is = |name: &str| json[name] == Value::Bool(true);
        let part = |name: &str| json.get(name).filter(|part| part.is_object());
        let properties = json["properties"].as_object().into_iter().flatten();
        let additional = match json.get("additionalProperties") {
            Some(Value::Bool(any)) => Additional::Any(*any),
            Some(of @ Value::Object(_)) => Additional::Of(Box::new(Self::inner(of))),
            _ => Additional::Unsaid,
        };
        let mut schema = Self {
            of: json["type"].as_str().and_then(Type::parse),
            nullable: is("nullable"),
            int_or_string: is("x-kubernetes-int-or-string"),
            preserves: is("x-kubernetes-preserve-unknown-fields"),
            embedded: is("x-kubernetes-embedded-resource"),
            atomic_map: json["x-kubernetes-map-type"] == "atomic",
            list: list(json),
            properties: properties.map(|(name, of)| (name.as_str().into(), Self::inner(of))).collect(),
            additional,
            items: part("items").map(|items| Box::new(Self::inner(items))),
            default: json.get("default").filter(|value| !value.is_null()).cloned().map(Box::new),
            checks: Checks::parse(json).map(Box::new),
            rules: Rules::parse(json, root).map(Box::new),
            ruled: false,
        };
        schema.ruled = schema.rules.is_some() || schema.below().any(Self::has_rules);
        schema
    }

    fn inner(json: &Value) -> Self {
        Self::parse(json, json["x-kubernetes-embedded-resource"] == Value::Bool(true))
    }

    /// The schema of a field of an object.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or_else(|| self.additional())
    }

    /// The schema of properties that are not named.
    pub fn additional(&self) -> Option<&Self> {
        match &self.additional {
            Additional::Of(of) => Some(of),
            Additional::Any(_) | Additional::Unsaid => None,
        }
    }

    pub fn has_additional(&self) -> bool {
        !matches!(self.additional, Additional::Unsaid)
    }

    /// Whether this or anything in it has rules.
    pub fn has_rules(&self) -> bool {
        self.ruled
    }

    /// The schemas of what is in it, but for those that logic alone speaks of.
    fn below(&self) -> impl Iterator<Item = &Self> {
        self.items.as_deref().into_iter().chain(self.additional()).chain(self.properties.values())
    }
}

fn list(json: &Value) -> List {
    let keys = json["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
    match json["x-kubernetes-list-type"].as_str() {
        Some("set") => List::Set,
        Some("map") => List::Map(keys.filter_map(Value::as_str).map(Into::into).collect()),
        _ => List::Atomic,
    }
}

impl Checks {
    /// Nothing where nothing is checked.
    fn parse(json: &Value) -> Option<Self> {
        const NAMES: &[&str] = &[
            "format",
            "maximum",
            "minimum",
            "multipleOf",
            "maxLength",
            "minLength",
            "pattern",
            "maxItems",
            "minItems",
            "maxProperties",
            "minProperties",
            "required",
            "enum",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
        ];
        let fields: &Map<String, Value> = json.as_object()?;
        NAMES.iter().any(|name| fields.contains_key(*name)).then(|| {
            let number = |name: &str| json[name].as_f64();
            let count = |name: &str| json[name].as_i64();
            let schemas =
                |name: &str| json[name].as_array().into_iter().flatten().map(|of| Schema::parse(of, false)).collect();
            let required = json["required"].as_array().into_iter().flatten();
            Self {
                format: Format::of_schema(json),
                maximum: number("maximum"),
                exclusive_maximum: json["exclusiveMaximum"] == Value::Bool(true),
                minimum: number("minimum"),
                exclusive_minimum: json["exclusiveMinimum"] == Value::Bool(true),
                multiple_of: number("multipleOf"),
                max_length: count("maxLength"),
                min_length: count("minLength"),
                pattern: json["pattern"].as_str().filter(|text| !text.is_empty()).map(Pattern::new),
                max_items: count("maxItems"),
                min_items: count("minItems"),
                max_properties: count("maxProperties"),
                min_properties: count("minProperties"),
                required: required.filter_map(Value::as_str).map(Into::into).collect(),
                allowed: json["enum"].as_array().cloned().unwrap_or_default(),
                all_of: schemas("allOf"),
                any_of: schemas("anyOf"),
                one_of: schemas("oneOf"),
                not: json.get("not").filter(|not| not.is_object()).map(|not| Box::new(Schema::parse(not, false))),
            }
        })
    }
}

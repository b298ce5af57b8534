//! `openAPIV3Schema`.

use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use structural::Schema;

use super::cost::{Total, often_below};
use super::forgiven::Forgiven;
use super::rules;
use crate::check::At;
use crate::tree::list_of;

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const MAP_TYPES: &[&str] = &["atomic", "granular"];
const META: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// Fields that a schema may have at its root while the status has a path of its own: its schema is cut out then.
const AT_ROOT: &[(&str, &str)] = &[
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Checks `schema`, which is that of a version or of all.
///
/// `structural` says whether it has to be; `forgives_costs` whether one rule may cost what it likes.
pub fn validate(
    schema: &At,
    has_status: bool,
    forgiven: &Forgiven,
    structural: bool,
    forgives_costs: bool,
) -> ErrorList {
    if !schema.is_set() {
        return ErrorList::new();
    }
    let mut errors = if has_status { validate_root(schema) } else { ErrorList::new() };
    if schema.child("nullable").is_true() {
        errors.push(Error::forbidden(&schema.path.child("nullable"), "nullable cannot be true at the root"));
    }
    let mut structure = ErrorList::new();
    if structural {
        structure = structural::check_invariants(&schema.path, schema.value);
        if structure.is_empty() {
            let pruned = !forgiven.unpruned_defaults;
            structure = structural::check_defaults(&schema.path, &Schema::root(schema.value), pruned);
        }
    }
    let evaluates = structural && structure.is_empty();
    let mut walk = Walk { total: Total::new(forgives_costs), evaluates, forgiven };
    let Found { schemas, rules } = walk.visit(schema, Context { is_root: true, often: Some(1), ..Context::default() });
    if let Some(name) = unsupported(schema.value) {
        // There is no structure to speak of; why is told already, but for `$schema`.
        if schemas.is_empty() {
            errors.push(Error::invalid(&schema.path, "", format!("OpenAPIV3Schema '{name}' is not supported")));
        }
        structure.clear();
    }
    errors.extend(structure);
    errors.extend(schemas);
    errors.extend(rules);
    errors.extend(walk.total.judge(&schema.path));
    errors
}

fn validate_root(schema: &At) -> ErrorList {
    let fields = schema.value.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(_, value)| !is_zero(value)) {
        if name == "type" && value != "object" {
            let text =
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            return vec![schema.child("type").invalid(text)];
        }
        if !AT_ROOT.iter().any(|(known, _)| known == name) {
            let allowed: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
            let text = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                allowed.join(" ")
            );
            return vec![schema.invalid(text)];
        }
    }
    ErrorList::new()
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// What is wrong with a schema and what is below, and with the rules in it: these are not looked at where the former
/// is wrong.
#[derive(Default)]
struct Found {
    schemas: ErrorList,
    rules: ErrorList,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.schemas.extend(other.schemas);
        self.rules.extend(other.rules);
    }
}

/// Where in a schema one is.
#[derive(Clone, Default)]
struct Context {
    is_root: bool,
    /// Why there may be no default here.
    no_default: Option<String>,
    in_meta: bool,
    /// The outermost part that has no counterpart in an older object.
    uncorrelated: Option<Path>,
    /// In logic, where no rules are.
    in_logic: bool,
    /// How often a value can be in an object at most; nothing where no limit says.
    often: Option<u64>,
}

impl Context {
    fn inside(&self) -> Self {
        Self { is_root: false, ..self.clone() }
    }
}

struct Walk<'a> {
    total: Total,
    /// Rules are compiled only where the schema is structural.
    evaluates: bool,
    forgiven: &'a Forgiven,
}

impl Walk<'_> {
    fn visit(&mut self, schema: &At, context: Context) -> Found {
        let mut found = Found { schemas: forbidden(schema, &context, self.forgiven), rules: ErrorList::new() };
        if !schema.value.is_object() {
            return found;
        }
        self.visit_below(schema, &context, &mut found);
        found.schemas.extend(extensions(schema, self.forgiven));
        found.schemas.extend(rules::validate_texts(schema));
        let has_rules = !schema.child("x-kubernetes-validations").is_empty();
        if has_rules && found.schemas.is_empty() && self.evaluates && !context.in_logic {
            let resource = context.is_root || schema.child("x-kubernetes-embedded-resource").is_true();
            let uncorrelated = context.uncorrelated.as_ref();
            found.rules.extend(rules::validate_compiled(
                schema,
                resource,
                context.often,
                uncorrelated,
                &mut self.total,
            ));
        }
        found
    }

    fn visit_below(&mut self, schema: &At, context: &Context, found: &mut Found) {
        let often = often_below(schema.value, context.often);
        let below = Context { often, ..context.inside() };
        let (additional, properties) = (schema.child("additionalProperties"), schema.child("properties"));
        if additional.is_set() {
            if !properties.is_empty() && additional.value != &Value::Bool(true) {
                let text = "additionalProperties and properties are mutual exclusive";
                found.schemas.push(additional.forbidden(text));
            }
            let mut below = below.clone();
            if context.in_meta {
                below.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
            }
            if additional.value.is_object() {
                found.add(self.visit(&additional, below));
            }
        }
        let embedded = schema.child("x-kubernetes-embedded-resource").is_true();
        let map = schema.child("x-kubernetes-map-type");
        for (name, property) in properties.entries() {
            let mut below = below.clone();
            if map.is_set() && !MAP_TYPES.contains(&map.text()) {
                below.uncorrelated.get_or_insert_with(|| schema.path.clone());
            }
            if (context.is_root || embedded) && META.contains(&name) {
                below.in_meta = true;
                if context.is_root {
                    below.no_default = Some(format!("in top-level {name}"));
                }
            }
            found.add(self.visit(&property, below));
        }
        let in_logic = Context { in_logic: true, ..context.inside() };
        let not = schema.child("not");
        if not.is_set() {
            found.add(self.visit(&not, in_logic.clone()));
        }
        for name in ["allOf", "oneOf", "anyOf"] {
            for nested in schema.child(name).items() {
                found.add(self.visit(&nested, in_logic.clone()));
            }
        }
        let items = schema.child("items");
        if items.value.is_object() {
            let mut below = below;
            // Only items of maps have counterparts.
            if schema.child("x-kubernetes-list-type").text() != "map" {
                below.uncorrelated.get_or_insert_with(|| schema.path.clone());
            }
            found.add(self.visit(&items, below));
        }
    }
}

/// The first thing in a schema that has no structural form.
fn unsupported(schema: &Value) -> Option<&'static str> {
    const NAMES: &[&str] =
        &["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"];
    let said = |name: &&&str| schema.get(name).is_some_and(|value| !is_zero(value));
    let own = NAMES.iter().find(said).map(|name| if *name == "$schema" { "schema" } else { *name });
    let list = || schema["items"].is_array().then_some("items");
    own.or_else(list).or_else(|| within(schema).find_map(unsupported))
}

pub fn has_unknown_type(schema: &At) -> bool {
    let of = schema.child("type");
    !of.is_empty() && !TYPES.contains(&of.text())
}

/// The schemas that are parts of one.
pub fn within(schema: &Value) -> impl Iterator<Item = &Value> {
    let single =
        ["items", "additionalProperties", "additionalItems", "not"].into_iter().filter_map(|name| schema.get(name));
    let several = ["allOf", "anyOf", "oneOf", "items"].into_iter().flat_map(|name| list_of(schema, name));
    let named = ["properties", "patternProperties", "definitions", "dependencies"];
    let named = named.into_iter().flat_map(|name| schema[name].as_object()).flat_map(serde_json::Map::values);
    single.chain(several).chain(named).filter(|within| within.is_object())
}

/// What no schema may say.
fn forbidden(schema: &At, context: &Context, forgiven: &Forgiven) -> ErrorList {
    let mut errors = ErrorList::new();
    let of = schema.child("type");
    if !forgiven.types && has_unknown_type(schema) {
        errors.push(of.not_supported(TYPES));
    }
    if let Some(why) = context.no_default.as_ref().filter(|_| schema.child("default").is_set()) {
        errors.push(schema.child("default").forbidden(format!("must not be set {why}")));
    }
    for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        if !schema.child(name).is_empty() {
            errors.push(schema.child(name).forbidden(format!("{name} is not supported")));
        }
    }
    if of.text() == "null" {
        errors.push(of.forbidden("type cannot be set to null, use nullable as an alternative"));
    }
    if schema.child("items").value.is_array() {
        errors.push(schema.child("items").forbidden("items must be a schema object and not an array"));
    }
    let embedded = schema.child("x-kubernetes-embedded-resource");
    if context.in_meta && embedded.is_true() {
        errors.push(embedded.forbidden("must not be used inside of resource meta"));
    }
    let unique = schema.child("uniqueItems");
    if unique.is_true() {
        errors
            .push(unique.forbidden("uniqueItems cannot be set to true since the runtime complexity becomes quadratic"));
    }
    errors
}

fn extensions(schema: &At, forgiven: &Forgiven) -> ErrorList {
    let mut errors = ErrorList::new();
    let preserve = schema.child("x-kubernetes-preserve-unknown-fields");
    if preserve.value == &Value::Bool(false) {
        errors.push(preserve.invalid("must be true or undefined"));
    }
    errors.extend(of_type(schema, "x-kubernetes-map-type", "object"));
    let map = schema.child("x-kubernetes-map-type");
    if map.is_set() && !MAP_TYPES.contains(&map.text()) {
        errors.push(map.not_supported(MAP_TYPES));
    }
    let of_list = of_type(schema, "x-kubernetes-list-type", "array");
    let is_list = of_list.is_none();
    errors.extend(of_list);
    let list = schema.child("x-kubernetes-list-type");
    if is_list && !forgiven.set_items {
        errors.extend(set_items(schema));
    }
    if list.is_set() && !["atomic", "set", "map"].contains(&list.text()) {
        errors.push(list.not_supported(&["atomic", "set", "map"]));
    }
    let keys = schema.child("x-kubernetes-list-map-keys");
    if !keys.is_empty() && list.text() != "map" {
        let text = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(if list.is_set() { list.invalid(text) } else { list.required(text) });
    }
    if list.text() == "map" {
        errors.extend(list_map(schema, &keys));
    }
    if !forgiven.items_told_apart {
        errors.extend(told_apart(schema));
    }
    errors
}

/// An extension that belongs to values of one type alone.
fn of_type(schema: &At, name: &str, wanted: &str) -> Option<Error> {
    let of = schema.child("type");
    let text = format!("must be {wanted} if {name} is specified");
    let wrong = schema.child(name).is_set() && of.text() != wanted;
    wrong.then(|| if of.is_empty() { of.required(&text) } else { of.invalid(text) })
}

/// Items of a set that are not compared as a whole.
pub fn set_items(schema: &At) -> Option<Error> {
    let items = schema.child("items");
    let text = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let (of_list, of_map) = (items.child("x-kubernetes-list-type"), items.child("x-kubernetes-map-type"));
    match items.child("type").text() {
        _ if schema.child("x-kubernetes-list-type").text() != "set" => None,
        "array" if of_list.is_set() && of_list.text() != "atomic" => Some(of_list.invalid(text)),
        "object" if of_map.text() != "atomic" => Some(Error::invalid(&of_map.path, of_list.value.clone(), text)),
        _ => None,
    }
}

fn list_map(schema: &At, keys: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if keys.is_empty() {
        errors.push(keys.required("must not be empty if x-kubernetes-list-type is map"));
    }
    let items = schema.child("items");
    if !items.is_set() {
        errors.push(items.required("must have a schema if x-kubernetes-list-type is map"));
        return errors;
    }
    if items.value.is_array() {
        errors.push(items.invalid("must only have a single schema if x-kubernetes-list-type is map"));
        return errors;
    }
    let of = items.child("type");
    if of.text() != "object" {
        errors.push(Error::invalid(
            &of.path,
            of.text(),
            "must be object if parent array's x-kubernetes-list-type is map",
        ));
        return errors;
    }
    let mut seen: Vec<&str> = Vec::new();
    let named = items.child("properties");
    for key in keys.items() {
        let property = named.value.get(key.text());
        match property.and_then(|property| property["type"].as_str()) {
            Some("array" | "object") => {
                let at = named.path.key(key.text()).child("type");
                let text = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(Error::invalid(&at, of.text(), text));
            }
            _ if property.is_none() => errors.push(keys.invalid("entries must all be names of item properties")),
            _ => {}
        }
        if seen.contains(&key.text()) {
            errors.push(keys.invalid("must not contain duplicate entries"));
        }
        seen.push(key.text());
    }
    errors
}

/// Items are no nulls, and what tells them apart is always there.
pub fn told_apart(schema: &At) -> ErrorList {
    let (items, keys) = (schema.child("items"), schema.child("x-kubernetes-list-map-keys"));
    let list = schema.child("x-kubernetes-list-type").text();
    let mut errors = ErrorList::new();
    if !["set", "map"].contains(&list) {
        return errors;
    }
    let nullable = items.child("nullable");
    if nullable.is_true() {
        errors.push(nullable.forbidden(format!("cannot be nullable when x-kubernetes-list-type is {list}")));
    }
    if list != "map" {
        return errors;
    }
    let required = items.child("required").items();
    for key in keys.items() {
        let Some(property) = items.value["properties"].get(key.text()) else { continue };
        let at = At { value: property, path: items.child("properties").path.key(key.text()) };
        if required.iter().all(|name| name.text() != key.text()) && !at.child("default").is_set() {
            let text =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(at.child("default").required(text));
        }
        let nullable = at.child("nullable");
        if nullable.is_true() {
            let text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(nullable.forbidden(text));
        }
    }
    errors
}

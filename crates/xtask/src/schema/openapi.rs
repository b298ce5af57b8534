//! What k8s-openapi says: definitions with their JSON fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use syn::visit::Visit;

use super::tokens::{self, Tree};
use super::{module_of, sources};

/// One definition that is an object with known fields.
#[derive(Debug)]
pub struct Definition {
    /// `io.k8s.api.core.v1.Pod`
    pub name: String,
    pub properties: Vec<Property>,
    pub required: BTreeSet<String>,
}

#[derive(Debug)]
pub struct Property {
    pub json: String,
    pub shape: &'static str,
    /// A variant of `schema::Type`, or the name of a definition in parentheses.
    pub of: JsonType,
}

#[derive(Debug, Clone, PartialEq)]
pub enum JsonType {
    /// A variant of `schema::Type` without content.
    Plain(&'static str),
    /// The name of another definition.
    Message(String),
}

/// Types that are no object with fields on the wire, each with its variant of `schema::Type`.
const SPECIAL: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "Quantity"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "Time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "MicroTime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "FieldsV1"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "RawExtension"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "IntOrString"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "Any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "SchemaOrArray"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "SchemaOrBool"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray", "SchemaOrStrings"),
];

/// Generic over what is in it, so that it is no message.
const GENERIC: &str = "io.k8s.List";

pub fn read(folder: &Path) -> Result<Vec<Definition>> {
    let mut schemas = Vec::new();
    for (file, text) in sources(folder)? {
        let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        let module = module_of(&file);
        for item in &parsed.items {
            schemas.extend(json_schema(item, &module)?);
        }
    }
    let names: BTreeMap<String, String> =
        schemas.iter().map(|schema| (schema.path.clone(), schema.name.clone())).collect();
    let plain = |schema: &&Schema| schema.name != GENERIC && special(&schema.name).is_none();
    schemas.iter().filter(plain).map(|schema| definition(schema, &names)).collect()
}

struct Schema {
    /// `api::core::v1::Pod`
    path: String,
    name: String,
    tree: Tree,
}

/// The schema in `impl JsonSchema for X`, if this is one.
fn json_schema(item: &syn::Item, module: &str) -> Result<Option<Schema>> {
    let syn::Item::Impl(item) = item else { return Ok(None) };
    let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
    if of.is_none_or(|segment| segment.ident != "JsonSchema") {
        return Ok(None);
    }
    let syn::Type::Path(own) = &*item.self_ty else { return Ok(None) };
    let ident = &own.path.segments.last().context("a type has a name")?.ident;
    let mut found = Finder::default();
    found.visit_item_impl(item);
    let Some(tokens) = found.schema else { bail!("{module}::{ident} has no json_schema!") };
    let name = found.name.with_context(|| format!("{module}::{ident} has no name"))?;
    Ok(Some(Schema { path: format!("{module}::{ident}"), name, tree: tokens::parse(tokens)? }))
}

/// Finds the first text of `schema_name` and the first `json_schema!` of `json_schema`.
#[derive(Default)]
struct Finder {
    name: Option<String>,
    schema: Option<proc_macro2::TokenStream>,
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.name.get_or_insert_with(|| text.value());
    }

    fn visit_macro(&mut self, of: &'ast syn::Macro) {
        if of.path.segments.last().is_some_and(|segment| segment.ident == "json_schema") {
            self.schema.get_or_insert_with(|| of.tokens.clone());
        }
    }
}

fn definition(schema: &Schema, names: &BTreeMap<String, String>) -> Result<Definition> {
    let mut properties = Vec::new();
    if let Some(Tree::Object(entries)) = schema.tree.get("properties") {
        for (json, tree) in entries {
            let (shape, of) = shape(tree, names).with_context(|| format!("{}.{json}", schema.name))?;
            properties.push(Property { json: json.clone(), shape, of });
        }
    }
    let required = match schema.tree.get("required") {
        Some(Tree::Array(items)) => items.iter().filter_map(Tree::text).map(str::to_owned).collect(),
        _ => BTreeSet::new(),
    };
    Ok(Definition { name: schema.name.clone(), properties, required })
}

fn shape(tree: &Tree, names: &BTreeMap<String, String>) -> Result<(&'static str, JsonType)> {
    if let Some(items) = tree.get("items") {
        return Ok(("List", json_type(items, names)?));
    }
    if let Some(values) = tree.get("additionalProperties") {
        return Ok(("Map", json_type(values, names)?));
    }
    Ok(("One", json_type(tree, names)?))
}

fn json_type(tree: &Tree, names: &BTreeMap<String, String>) -> Result<JsonType> {
    if let Tree::Reference(path) = tree {
        let name = names.get(path).with_context(|| format!("{path} is not defined"))?;
        return Ok(special(name).map_or_else(|| JsonType::Message(name.clone()), JsonType::Plain));
    }
    let text = |key| tree.get(key).and_then(Tree::text);
    let variant = match (text("type"), text("format")) {
        (Some("string"), Some("byte")) => "Bytes",
        (Some("string"), _) => "String",
        (Some("boolean"), _) => "Bool",
        (Some("integer"), Some("int32")) => "Int32",
        (Some("integer"), _) => "Int64",
        (Some("number"), _) => "Double",
        (Some("array"), _) => match json_type(tree.get("items").context("an array of what?")?, names)? {
            JsonType::Plain("String") => "Strings",
            other => bail!("lists of {other:?} are not known inside maps and lists"),
        },
        (Some("object"), _) => "RawExtension",
        other => bail!("unknown type {other:?}"),
    };
    Ok(JsonType::Plain(variant))
}

fn special(name: &str) -> Option<&'static str> {
    SPECIAL.iter().find(|(known, _)| *known == name).map(|(_, variant)| *variant)
}

//! What k8s-pb says: messages with their tags, wire types and the markers in their comments.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Lit, Meta, Token};

use super::{module_of, normalized, sources};

#[derive(Debug)]
pub struct PbMessage {
    pub markers: Markers,
    pub fields: Vec<PbField>,
}

#[derive(Debug)]
pub struct PbField {
    pub name: String,
    pub tag: u32,
    pub wire: Wire,
    /// The normalized name of the message this field holds, if it holds one.
    pub message: Option<String>,
    pub markers: Markers,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire {
    Varint,
    Double,
    Bytes,
    Message,
}

/// `+key=value` lines of a comment, in their order; the value of a bare `+key` is empty.
#[derive(Debug, Default)]
pub struct Markers(Vec<(String, String)>);

impl Markers {
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// All messages by their normalized full name.
pub fn read(folder: &Path) -> Result<BTreeMap<String, PbMessage>> {
    let mut messages = BTreeMap::new();
    for (file, text) in sources(folder)? {
        let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        let module = module_of(&file);
        for item in &parsed.items {
            if let syn::Item::Struct(item) = item {
                let fields = item.fields.iter().filter_map(|field| pb_field(field, &module)).collect();
                let name = normalized(&format!("{module}::{}", item.ident));
                messages.insert(name, PbMessage { markers: markers(&item.attrs), fields });
            }
        }
    }
    Ok(messages)
}

fn pb_field(field: &syn::Field, module: &str) -> Option<PbField> {
    let attribute = field.attrs.iter().find(|attribute| attribute.path().is_ident("prost"))?;
    let options = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let tag = options.iter().find_map(|option| text_of(option, "tag"))?.parse().ok()?;
    let name = field.ident.as_ref()?.to_string();
    Some(PbField {
        name: name.trim_start_matches("r#").to_owned(),
        tag,
        wire: options.iter().find_map(wire)?,
        message: innermost(&field.ty).map(|path| full_name(&path, module)),
        markers: markers(&field.attrs),
    })
}

fn wire(option: &Meta) -> Option<Wire> {
    if let Some(map) = text_of(option, "btree_map") {
        return scalar(map.split(',').nth(1)?.trim());
    }
    scalar(&option.path().get_ident()?.to_string())
}

fn scalar(name: &str) -> Option<Wire> {
    match name {
        "bool" | "int32" | "int64" => Some(Wire::Varint),
        "double" => Some(Wire::Double),
        "string" | "bytes" => Some(Wire::Bytes),
        "message" => Some(Wire::Message),
        _ => None,
    }
}

fn text_of(option: &Meta, key: &str) -> Option<String> {
    let Meta::NameValue(pair) = option else { return None };
    let Expr::Lit(literal) = &pair.value else { return None };
    let Lit::Str(text) = &literal.lit else { return None };
    pair.path.is_ident(key).then(|| text.value())
}

/// The last generic argument, as deep as it goes: `Option<Vec<X>>` and `BTreeMap<String, X>` give `X`.
fn innermost(of: &syn::Type) -> Option<syn::Path> {
    let syn::Type::Path(of) = of else { return None };
    match &of.path.segments.last()?.arguments {
        syn::PathArguments::AngleBracketed(arguments) => match arguments.args.last()? {
            syn::GenericArgument::Type(inner) => innermost(inner),
            _ => None,
        },
        _ => Some(of.path.clone()),
    }
}

/// Follows `super::` from the module the path is written in.
fn full_name(path: &syn::Path, module: &str) -> String {
    let mut place: Vec<String> = module.split("::").map(str::to_owned).collect();
    for segment in &path.segments {
        match segment.ident.to_string().as_str() {
            "super" => drop(place.pop()),
            "crate" => place.clear(),
            name => place.push(name.to_owned()),
        }
    }
    normalized(&place.concat())
}

fn markers(attributes: &[Attribute]) -> Markers {
    let docs = attributes.iter().filter_map(|attribute| text_of(&attribute.meta, "doc"));
    Markers(docs.filter_map(|line| marker(line.trim())).collect())
}

fn marker(line: &str) -> Option<(String, String)> {
    let marker = line.strip_prefix('+')?;
    let (key, value) = marker.split_once('=').unwrap_or((marker, ""));
    Some((key.trim().to_owned(), value.trim().to_owned()))
}

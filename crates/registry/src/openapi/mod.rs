//! OpenAPI documents, made from the kind table and the schema table when they are asked for.
//!
//! Nothing is kept here: a document takes milliseconds and several megabytes to make, so that callers keep
//! it compressed for as long as the kinds stay the same.

mod custom;
mod definitions;
mod dialect;
mod operations;
mod parameters;
mod paths;
mod protobuf;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kinds::KindDef;
use machinery::GroupVersion;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

pub use protobuf::{V2_PROTOBUF_ACCEPTED, V2_PROTOBUF_SENT, v2_protobuf};

use definitions::Definitions;
use dialect::Dialect;

type Kinds<'a> = &'a [&'static KindDef];

/// `/openapi/v3`: where the document of each group and version lies.
///
/// The hash in an address changes when the document may have changed, so that clients may keep it for ever.
pub fn v3_index(kinds: Kinds<'_>) -> Value {
    let versions: BTreeSet<GroupVersion> = kinds.iter().map(|kind| kind.group_version()).collect();
    let entry = |version: &GroupVersion| {
        let path = paths::base(&version.group, &version.version);
        let hash = hash(&of_version(kinds, &version.group, &version.version));
        (path[1..].to_owned(), json!({"serverRelativeURL": format!("/openapi/v3{path}?hash={hash}")}))
    };
    json!({"paths": versions.iter().map(entry).collect::<Map<String, Value>>()})
}

/// The hash that [`v3_index`] has for a group and version; nothing if none of the kinds is in it.
pub fn v3_hash(group: &str, version: &str, kinds: Kinds<'_>) -> Option<String> {
    let kinds = of_version(kinds, group, version);
    (!kinds.is_empty()).then(|| hash(&kinds))
}

/// `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`; nothing if none of the kinds is in it.
pub fn v3(group: &str, version: &str, kinds: Kinds<'_>) -> Option<Value> {
    let served = of_version(kinds, group, version);
    if served.is_empty() {
        return None;
    }
    let mut definitions = Definitions::new(Dialect::V3, kinds);
    let paths = paths::document(&served, Dialect::V3, &mut definitions);
    Some(json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {
            "schemas": definitions.into_value(),
            "securitySchemes": {"BearerToken": bearer_token()},
        },
    }))
}

/// `/openapi/v2`: everything in one document.
pub fn v2(kinds: Kinds<'_>) -> Value {
    let mut definitions = Definitions::new(Dialect::V2, kinds);
    let paths = paths::document(kinds, Dialect::V2, &mut definitions);
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": definitions.into_value(),
        "securityDefinitions": {"BearerToken": bearer_token()},
        "security": [{"BearerToken": []}],
    })
}

fn of_version(kinds: Kinds<'_>, group: &str, version: &str) -> Vec<&'static KindDef> {
    kinds.iter().copied().filter(|kind| (kind.group, kind.version) == (group, version)).collect()
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "v1.35.0"})
}

fn bearer_token() -> Value {
    json!({"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"})
}

/// A hash of all that a document is made from: the release and the kinds.
fn hash(kinds: Kinds<'_>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    for kind in kinds {
        let facts = (kind.gvk(), kind.resource, kind.scope, kind.schema, kind.verbs, kind.subresources);
        hasher.update(format!("{facts:?}"));
        if let Some(custom) = kind.custom {
            hasher.update(custom.content().text());
        }
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02X}").expect("a String takes every write");
        text
    })
}

#[cfg(test)]
mod tests;

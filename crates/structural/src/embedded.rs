//! Objects within objects: their type and metadata (upstream: schema/objectmeta).

use machinery::Object;
use machinery::decode::{Typed, typed};
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1035_label, path_segment_name, validate_object_meta};
use serde_json::{Map, Value};

use crate::schema::Schema;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Makes the metadata of an object what the type of metadata knows, and answers with the unknown fields. Malformed
/// fields go where `drops` says so, or are an error in upstream's words.
pub fn coerce_metadata(
    object: &mut Map<String, Value>,
    at: &str,
    drops: bool,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let Some(metadata) = object.get("metadata") else { return Ok(()) };
    let at = if at.is_empty() { "metadata".to_owned() } else { format!("{at}.metadata") };
    let Typed { value, problems, mismatch } = typed(metadata, OBJECT_META, &at);
    let made = match (mismatch, metadata) {
        (None, _) => value,
        (Some(why), _) if !drops => return Err(why),
        (Some(_), Value::Object(fields)) => well_formed(fields),
        // Of metadata that is no object nothing can be kept.
        (Some(_), _) => Value::Object(Map::new()),
    };
    unknown.extend(problems);
    object.insert("metadata".to_owned(), made);
    Ok(())
}

/// What is left of metadata without its malformed fields.
fn well_formed(fields: &Map<String, Value>) -> Value {
    let mut kept = Map::new();
    for (name, value) in fields {
        let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
        if let Typed { value: Value::Object(field), mismatch: None, .. } = typed(&alone, OBJECT_META, "") {
            kept.extend(field);
        }
    }
    Value::Object(kept)
}

impl Schema {
    /// Does that for every object within a resource.
    pub fn coerce(&self, object: &mut Map<String, Value>, drops: bool, unknown: &mut Vec<String>) -> Result<(), Error> {
        self.coerce_fields(&Path::root(), object, false, drops, unknown)
    }

    pub(crate) fn coerce_fields(
        &self,
        path: &Path,
        object: &mut Map<String, Value>,
        embedded: bool,
        drops: bool,
        unknown: &mut Vec<String>,
    ) -> Result<(), Error> {
        if embedded {
            for field in ["apiVersion", "kind"] {
                match object.get(field) {
                    Some(value) if !value.is_string() && !drops => {
                        return Err(Error::invalid(&path.child(field), value.clone(), "must be a string"));
                    }
                    Some(value) if !value.is_string() => drop(object.remove(field)),
                    _ => {}
                }
            }
            let before = object.get("metadata").cloned();
            let at = if *path == Path::root() { String::new() } else { path.to_string() };
            coerce_metadata(object, &at, drops, unknown)
                .map_err(|why| Error::invalid(&path.child("metadata"), before.unwrap_or_default(), why))?;
        }
        for (name, value) in object.iter_mut() {
            let (of, below) = match (self.properties.get(name.as_str()), self.additional()) {
                (Some(of), _) => (of, path.child(name)),
                (None, Some(of)) => (of, path.key(name)),
                (None, None) => continue,
            };
            of.coerce_value(&below, value, drops, unknown)?;
        }
        Ok(())
    }

    fn coerce_value(
        &self,
        path: &Path,
        value: &mut Value,
        drops: bool,
        unknown: &mut Vec<String>,
    ) -> Result<(), Error> {
        match value {
            Value::Object(object) => self.coerce_fields(path, object, self.embedded, drops, unknown),
            Value::Array(items) => match &self.items {
                Some(of) => (0..)
                    .zip(items)
                    .try_for_each(|(index, item)| of.coerce_value(&path.index(index), item, drops, unknown)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What is wrong with types and metadata of the objects within a resource.
    pub fn check_embedded(&self, path: &Path, object: &Map<String, Value>) -> ErrorList {
        let mut errors = ErrorList::new();
        self.embedded_in_fields(path, object, false, &mut errors);
        errors
    }

    pub(crate) fn embedded_in_fields(
        &self,
        path: &Path,
        object: &Map<String, Value>,
        embedded: bool,
        errors: &mut ErrorList,
    ) {
        if embedded {
            check_embedded(path, object, errors);
        }
        for (name, value) in object {
            match (self.properties.get(name.as_str()), self.additional()) {
                (Some(of), _) => of.embedded_in(&path.child(name), value, errors),
                (None, Some(of)) => of.embedded_in(&path.key(name), value, errors),
                (None, None) => {}
            }
        }
    }

    fn embedded_in(&self, path: &Path, value: &Value, errors: &mut ErrorList) {
        match (value, &self.items) {
            (Value::Object(object), _) => self.embedded_in_fields(path, object, self.embedded, errors),
            (Value::Array(items), Some(of)) => {
                (0..).zip(items).for_each(|(index, item)| of.embedded_in(&path.index(index), item, errors));
            }
            _ => {}
        }
    }
}

fn check_embedded(path: &Path, object: &Map<String, Value>, errors: &mut ErrorList) {
    for field in ["apiVersion", "kind"] {
        let at = path.child(field);
        match object.get(field) {
            None => errors.push(Error::required(&at, "")),
            Some(Value::String(text)) if text.is_empty() => errors.push(Error::invalid(&at, "", "must not be empty")),
            Some(Value::String(text)) => {
                errors.extend(type_fault(field, text).map(|why| Error::invalid(&at, text.as_str(), why)))
            }
            Some(other) => errors.push(Error::invalid(&at, other.clone(), "must be a string")),
        }
    }
    let Some(metadata) = object.get("metadata") else { return };
    let at = path.child("metadata");
    let Typed { value, mismatch, .. } = typed(metadata, OBJECT_META, "");
    if let Some(why) = mismatch {
        return errors.push(Error::invalid(&at, metadata.clone(), why));
    }
    let mut held = Object::default();
    held.0.insert("metadata".to_owned(), value);
    if held.name().is_empty() {
        // Something must be there, as names are asked for.
        held.set(&["metadata", "name"], "fakename");
    }
    let namespaced = !held.namespace().is_empty();
    errors.extend(validate_object_meta(&held, namespaced, path_segment_name, &at));
}

fn type_fault(field: &str, text: &str) -> Option<String> {
    if field == "apiVersion" {
        let parts = text.matches('/').count();
        return (parts > 1).then(|| format!("unexpected GroupVersion string: {text}"));
    }
    let messages = dns1035_label(&text.to_lowercase());
    (!messages.is_empty()).then(|| format!("may have mixed case, but should otherwise match: {}", messages.join(",")))
}

//! What makes objects of custom kinds valid (upstream: apiextensions-apiserver pkg/registry/customresource).

use machinery::field::{Error, ErrorList, Path};
use machinery::validation::qualified_name;
use machinery::{ApiError, Object};
use serde_json::Value;
use structural::{Budget, Correlated, NOT_CHECKED, Schema, blocks_rules};

use super::Custom;
use crate::def::KindDef;
use machinery::patch::go_type;

/// What is validated: the whole object, or its status.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Status,
}

impl KindDef {
    /// Fills in what upstream's defaulting fills in. Doing it twice changes nothing.
    pub fn default(&self, object: &mut Object) {
        (self.strategy.default)(object);
        if let Some(custom) = self.custom {
            custom.content().schema().fill_in(&mut object.0);
        }
    }

    /// What is wrong with an object that is made, besides its metadata.
    pub fn validate_create(&self, object: &Object) -> ErrorList {
        let mut errors = (self.strategy.validate)(object);
        errors.extend((self.strategy.validate_create)(object));
        if let Some(custom) = self.custom {
            errors.extend(custom.validate(object, None, Part::Whole, &mut Vec::new()));
        }
        errors
    }

    /// What is wrong with an update. Faults that it did not bring may be warnings.
    pub fn validate_update(&self, new: &Object, old: &Object, warnings: &mut Vec<String>) -> ErrorList {
        let mut errors = (self.strategy.validate)(new);
        errors.extend((self.strategy.validate_update)(new, old));
        if let Some(custom) = self.custom {
            errors.extend(custom.validate(new, Some(old), Part::Whole, warnings));
        }
        errors
    }

    pub fn validate_status_update(&self, new: &Object, old: &Object, warnings: &mut Vec<String>) -> ErrorList {
        let mut errors = (self.strategy.validate_status_update)(new, old);
        if let Some(custom) = self.custom {
            errors.extend(custom.validate(new, Some(old), Part::Status, warnings));
        }
        errors
    }

    /// Warnings for the client about an accepted object.
    pub fn warnings(&self, new: &Object, old: Option<&Object>) -> Vec<String> {
        let mut warnings = (self.strategy.warnings)(new);
        if self.custom.is_some() {
            let added =
                new.finalizers().filter(|name| old.is_none_or(|old| old.finalizers().all(|known| known != *name)));
            warnings.extend(added.flat_map(finalizer_warnings));
        }
        warnings
    }

    /// Whether writes that change nothing but the status count as changes of what is asked for.
    pub fn status_counts(&self) -> bool {
        self.custom.is_some() && self.subresource("status").is_none()
    }

    /// Why nothing like this can be made, while its definition goes.
    pub fn terminating(&self, name: &str) -> ApiError {
        let why = "create not allowed while custom resource definition is terminating";
        ApiError::forbidden(&self.group_resource(), name, why)
    }
}

fn finalizer_warnings(name: &str) -> Vec<String> {
    const STANDARD: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];
    let tell = |text: &str| format!("metadata.finalizers: {name:?}: {text}");
    let mut warnings: Vec<String> = qualified_name(name).iter().map(|text| tell(text)).collect();
    if !name.contains('/') && !STANDARD.contains(&name) {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        let text = format!(
            "prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        );
        warnings.push(tell(&text));
    }
    warnings
}

impl Custom {
    fn validate(&self, new: &Object, old: Option<&Object>, part: Part, warnings: &mut Vec<String>) -> ErrorList {
        let content = self.content();
        let schema = content.schema();
        let value = Value::Object(new.0.clone());
        let before = old.map(|old| Value::Object(old.0.clone()));
        let correlated = before.as_ref().map(|before| Correlated::new(&value, before, schema));
        let mut errors = self.values(schema, &value, part, correlated.as_ref());
        if part == Part::Whole {
            errors.extend(schema.check_embedded(&Path::root(), &new.0));
        }
        // Lists that were wrong before may stay so.
        if old.is_none_or(|old| schema.check_lists(&old.0).is_empty()) {
            errors.extend(schema.check_lists(&new.0));
        }
        if !schema.has_rules() {
            return errors;
        }
        if blocks_rules(&errors) {
            errors.push(Error::invalid(&Path::root(), Value::Null, NOT_CHECKED));
            return errors;
        }
        let (root, mut budget) = (Path::root(), Budget::default());
        errors.extend(schema.check_rules(&root, &value, before.as_ref(), correlated.as_ref(), &mut budget, warnings));
        errors
    }

    fn values(&self, schema: &Schema, value: &Value, part: Part, correlated: Option<&Correlated<'_>>) -> ErrorList {
        let mut errors = ErrorList::new();
        match part {
            Part::Whole => {
                errors.extend(schema.check(&Path::root(), value, correlated));
                errors.extend(self.scale.iter().flat_map(|scale| replicas(value, &scale[0])));
            }
            Part::Status => {
                if let (Some(status), Some(of)) = (value.get("status"), schema.properties.get("status")) {
                    let correlated = correlated.and_then(|of| of.field("status"));
                    errors.extend(of.check(&Path::new("status"), status, correlated.as_ref()));
                }
            }
        }
        if let Some([_, status, selector]) = &self.scale {
            errors.extend(replicas(value, status));
            errors.extend(text_at(value, selector));
        }
        errors
    }
}

/// The value at a path like `.spec.replicas`; the error says that something on the way is no object.
fn at<'a>(value: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let names = path.strip_prefix('.').unwrap_or(path).split('.');
    let (mut value, mut way) = (value, String::new());
    for name in names {
        let object = match value {
            Value::Object(object) => object,
            Value::Null => return Ok(None),
            other => return Err(accessor(&way, other, "map[string]interface{}")),
        };
        way = format!("{way}.{name}");
        match object.get(name) {
            Some(below) => value = below,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn accessor(path: &str, value: &Value, expected: &str) -> String {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{path} accessor error: {shown} is of the type {}, expected {expected}", go_type(value))
}

fn replicas(value: &Value, path: &str) -> Option<Error> {
    let field = Path::new(path);
    let number = match at(value, path) {
        Ok(None) => return None,
        Ok(Some(Value::Number(number))) if number.is_i64() => number.as_i64().unwrap_or(0),
        Ok(Some(other)) => return Some(Error::invalid(&field, 0, accessor(path, other, "int64"))),
        Err(why) => return Some(Error::invalid(&field, 0, why)),
    };
    let max = i64::from(i32::MAX);
    match number {
        ..0 => Some(Error::invalid(&field, number, "should be a non-negative integer")),
        _ if number > max => Some(Error::invalid(&field, number, format!("should be less than or equal to {max}"))),
        _ => None,
    }
}

fn text_at(value: &Value, path: &str) -> Option<Error> {
    if path.is_empty() {
        return None;
    }
    match at(value, path) {
        Ok(None | Some(Value::String(_))) => None,
        Ok(Some(other)) => Some(Error::invalid(&Path::new(path), "", accessor(path, other, "string"))),
        Err(why) => Some(Error::invalid(&Path::new(path), "", why)),
    }
}

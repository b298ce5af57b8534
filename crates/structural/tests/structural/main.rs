//! Schemas at work, as tables of values and what is said of them.

mod defaults;
mod invariants;
mod properties;
mod pruning;
mod rules;
mod values;

use machinery::field::{ErrorList, Path};
use serde_json::{Value, json};
use structural::{Correlated, Schema};

/// The schema of an object with these properties.
pub fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

pub fn texts(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What is wrong with a value that is made.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    texts(&Schema::root(schema).check(&Path::root(), value, None))
}

/// What an update brings that is wrong.
pub fn new_faults(schema: &Value, new: &Value, old: &Value) -> Vec<String> {
    let schema = Schema::root(schema);
    let correlated = Correlated::new(new, old, &schema);
    texts(&schema.check(&Path::root(), new, Some(&correlated)))
}

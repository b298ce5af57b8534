//! Defaults, and nulls that mean nothing (upstream: schema/defaulting).

use serde_json::{Map, Value};

use crate::schema::Schema;

impl Schema {
    /// Fills in defaults where there is nothing, or a null that may not be. Doing it twice changes nothing.
    pub fn fill_in(&self, object: &mut Map<String, Value>) {
        for (name, of) in &self.properties {
            let Some(default) = &of.default else { continue };
            match object.get_mut(&**name) {
                None => drop(object.insert(name.to_string(), (**default).clone())),
                Some(value) if value.is_null() && !of.nullable => *value = (**default).clone(),
                Some(_) => {}
            }
        }
        for (name, value) in object.iter_mut() {
            if let Some(of) = self.field(name) {
                of.fill_entry(value);
            }
        }
    }

    fn fill_value(&self, value: &mut Value) {
        match value {
            Value::Object(object) => self.fill_in(object),
            Value::Array(items) => {
                if let Some(of) = &self.items {
                    items.iter_mut().for_each(|item| of.fill_entry(item));
                }
            }
            _ => {}
        }
    }

    fn fill_entry(&self, value: &mut Value) {
        if value.is_null() && !self.nullable {
            *value = self.default.as_deref().cloned().unwrap_or(Value::Null);
        }
        self.fill_value(value);
    }

    /// Removes nulls of fields that may not be null and have no default.
    pub fn drop_nulls(&self, object: &mut Map<String, Value>) {
        drop_nulls(object, Some(self));
    }
}

fn drop_nulls(object: &mut Map<String, Value>, schema: Option<&Schema>) {
    object.retain(|name, value| {
        let of = schema.and_then(|of| of.field(name));
        let means_nothing = value.is_null() && of.is_some_and(|of| !of.nullable && of.default.is_none());
        if !means_nothing {
            drop_nulls_within(value, of);
        }
        !means_nothing
    });
}

fn drop_nulls_within(value: &mut Value, schema: Option<&Schema>) {
    match value {
        Value::Object(object) => drop_nulls(object, schema),
        Value::Array(items) => {
            let of = schema.and_then(|of| of.items.as_deref());
            items.iter_mut().for_each(|item| drop_nulls_within(item, of));
        }
        _ => {}
    }
}

//! How bodies, patched objects and stored objects of a kind are read.

use machinery::apply::Layout;
use machinery::decode::{self, FieldPolicy};
use machinery::patch::go_type;
use machinery::{ApiError, Object};
use serde_json::{Map, Value};
use structural::UnknownFields;

use super::Custom;
use crate::def::KindDef;

impl KindDef {
    /// Reads JSON as this kind; see [`decode::decode_json`].
    pub fn read_json(&self, bytes: &[u8], policy: FieldPolicy) -> Result<(Object, Vec<String>), ApiError> {
        match self.custom {
            None => decode::decode_json(bytes, self.schema, policy),
            Some(custom) => custom.finish(self, decode::object_of_json(bytes, self.kind)?, policy),
        }
    }

    pub fn read_yaml(&self, bytes: &[u8], policy: FieldPolicy) -> Result<(Object, Vec<String>), ApiError> {
        match self.custom {
            None => decode::decode_yaml(bytes, self.schema, policy),
            Some(custom) => custom.finish(self, decode::object_of_yaml(bytes, self.kind)?, policy),
        }
    }

    /// Reads a patched object; what does not fit is an invalid patch.
    pub fn read_patched(&self, value: Value, policy: FieldPolicy) -> Result<(Object, Vec<String>), ApiError> {
        let Some(custom) = self.custom else { return decode::decode_patched(value, self.schema, policy) };
        let mut object = Object::from_value(value.clone()).unwrap_or_default();
        let coerced = custom.coerce(&mut object.0, false);
        match coerced.and_then(|problems| decode::judged(policy, problems)) {
            Ok(problems) => Ok((object, problems)),
            Err(reason) => Err(decode::invalid_patch(&value.to_string(), reason)),
        }
    }

    /// What the store holds of a custom kind as it is read today: pruned, repaired, with today's defaults.
    pub fn read_stored(&self, object: &mut Object) {
        let Some(custom) = self.custom else { return };
        // What is malformed goes, so that nothing is left to complain about.
        if let Err(why) = custom.coerce(&mut object.0, true) {
            tracing::warn!(kind = %self.gvk(), why, "a stored object is not what its schema says");
        }
        if object.generation() == 0 {
            object.set(&["metadata", "generation"], 1);
        }
        custom.content().schema().fill_in(&mut object.0);
    }

    /// Fits an object that was converted into this kind to its schema.
    pub fn read_converted(&self, object: &mut Object) -> Result<(), String> {
        self.custom.map_or(Ok(()), |custom| custom.coerce(&mut object.0, false).map(|_| ()))
    }

    /// How objects of the kind merge when they are applied.
    pub fn layout(&self) -> Layout {
        match self.custom {
            Some(custom) => custom.content().layout(custom.preserves),
            None => Layout::Message(schema::message(self.schema).expect("every kind's schema is in the table")),
        }
    }
}

impl Custom {
    fn finish(
        &self,
        kind: &KindDef,
        (fields, mut problems): (Map<String, Value>, Vec<String>),
        policy: FieldPolicy,
    ) -> Result<(Object, Vec<String>), ApiError> {
        let mut object = Object(fields);
        let coerced = self.coerce(&mut object.0, false);
        let all = coerced.map(|unknown| {
            problems.extend(unknown);
            problems
        });
        match all.and_then(|problems| decode::judged(policy, problems)) {
            Ok(problems) => Ok((object, problems)),
            Err(reason) => Err(decode::mishandled(&object, kind.kind, &reason)),
        }
    }

    /// Makes an object what the schema knows, and answers with a text for each unknown field.
    fn coerce(&self, object: &mut Map<String, Value>, drops: bool) -> Result<Vec<String>, String> {
        for field in ["apiVersion", "kind"] {
            if let Some(value) = object.get(field).filter(|value| !value.is_string()) {
                return Err(format!(
                    ".{field} accessor error: {value} is of the type {}, expected string",
                    go_type(value)
                ));
            }
        }
        let mut problems = Vec::new();
        structural::coerce_metadata(object, "", drops, &mut problems)?;
        let content = self.content();
        let schema = content.schema();
        if !self.preserves {
            let mut unknown = UnknownFields::default();
            schema.prune(object, &mut unknown);
            problems.extend(unknown.found.iter().map(|path| format!("unknown field {path:?}")));
            schema.drop_nulls(object);
        }
        schema.coerce(object, drops, &mut problems).map_err(|error| error.to_string())?;
        Ok(problems)
    }
}

//! Patches of an object's JSON, with upstream's limits and error texts.

mod json;
mod merge;
mod order;
mod strategic;

pub use json::{json_patch, json_patch_if, unknown_of_json_patch};
pub use merge::merge_patch;
pub use strategic::go_type;
pub use strategic::strategic_merge_patch;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    /// Small objects over few names, so that documents and patches meet.
    pub fn documents() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            "[xy]{0,2}".prop_map(Value::from),
        ];
        let value = scalar.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        let fields = proptest::collection::btree_map("[a-c]", value, 0..4);
        fields.prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    pub fn has_list(value: &Value) -> bool {
        value.is_array() || value.as_object().is_some_and(|fields| fields.values().any(has_list))
    }

    pub fn has_null(value: &Value) -> bool {
        value.is_null()
            || value.as_object().is_some_and(|fields| fields.values().any(has_null))
            || value.as_array().is_some_and(|items| items.iter().any(has_null))
    }
}

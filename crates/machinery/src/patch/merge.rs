//! RFC 7386.

use serde_json::Value;

use crate::decode::no_map;
use crate::error::ApiError;

/// Merges objects field by field; null removes, anything else replaces.
pub fn merge_patch(document: Value, patch: &Value) -> Result<Value, ApiError> {
    match patch {
        Value::Object(_) => {}
        Value::Null => return Err(ApiError::bad_request("Invalid JSON Patch")),
        other => return Err(ApiError::bad_request(format!("error decoding patch: {}", no_map(other)))),
    }
    let mut document = document;
    ::json_patch::merge(&mut document, patch);
    Ok(document)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::{documents, has_null};
    use super::*;

    proptest! {
        #[test]
        fn a_patch_applied_twice_changes_nothing_more(document in documents(), patch in documents()) {
            let once = merge_patch(document, &patch).expect("it is an object");
            prop_assert_eq!(merge_patch(once.clone(), &patch), Ok(once));
        }

        #[test]
        fn of_a_patch_without_nulls_everything_is_there(document in documents(), patch in documents()) {
            prop_assume!(!has_null(&patch) && !has_null(&document));
            let merged = merge_patch(document, &patch).expect("it is an object");
            prop_assert_eq!(merge_patch(merged.clone(), &merged), Ok(merged.clone()));
            prop_assert_eq!(merge_patch(merged.clone(), &patch), Ok(merged));
        }
    }

    #[test]
    fn fields_merge_and_lists_are_replaced() {
        let patched =
            merge_patch(json!({"a": {"b": 1, "c": 2}, "l": [1]}), &json!({"a": {"b": null, "d": 3}, "l": [2]}));
        assert_eq!(patched, Ok(json!({"a": {"c": 2, "d": 3}, "l": [2]})));
        let refused = |patch| merge_patch(json!({}), &patch).unwrap_err().message;
        let why = "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}";
        assert_eq!((refused(json!([])).as_str(), refused(json!(null)).as_str()), (why, "Invalid JSON Patch"));
    }
}

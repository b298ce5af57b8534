//! RFC 7386.

use serde_json::Value;

use crate::error::ApiError;

/// Merges objects field by field; null removes, anything else replaces.
pub fn merge_patch(document: Value, patch: &Value) -> Result<Value, ApiError> {
    if !patch.is_object() {
        return Err(ApiError::bad_request("Invalid JSON Patch"));
    }
    let mut document = document;
    ::json_patch::merge(&mut document, patch);
    Ok(document)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_merge_and_lists_are_replaced() {
        let patched =
            merge_patch(json!({"a": {"b": 1, "c": 2}, "l": [1]}), &json!({"a": {"b": null, "d": 3}, "l": [2]}));
        assert_eq!(patched, Ok(json!({"a": {"c": 2, "d": 3}, "l": [2]})));
        assert!(merge_patch(json!({}), &json!([])).is_err());
    }
}

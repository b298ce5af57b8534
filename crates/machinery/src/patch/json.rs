//! RFC 6902.

use ::json_patch::Patch;
use serde_json::Value;

use crate::error::{ApiError, Reason};

/// Operations that one patch may have.
const OPERATIONS_MAX: usize = 10_000;

/// Applies the operations in turn; all of them or none.
pub fn json_patch(document: Value, patch: &Value) -> Result<Value, ApiError> {
    let operations = patch.as_array().map_or(0, Vec::len);
    if operations > OPERATIONS_MAX {
        let message = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {operations}");
        return Err(ApiError::new(Reason::RequestEntityTooLarge, message));
    }
    let patch: Patch =
        serde_json::from_value(patch.clone()).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let mut document = document;
    ::json_patch::patch(&mut document, &patch).map_err(|_| rejected())?;
    Ok(document)
}

/// Upstream does not say which operation failed.
fn rejected() -> ApiError {
    ApiError::new(Reason::Invalid, "the server rejected our request due to an error in our request")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(patch: Value, expected: Value) {
        let document = json!({"a": {"b": 1}, "list": [1, 2]});
        let answer = json_patch(document, &patch).unwrap_or_else(|error| error.message.into());
        assert_eq!(answer, expected, "{patch}");
    }

    #[test]
    fn operations_apply_in_turn() {
        check(
            json!([{"op": "test", "path": "/a/b", "value": 1}, {"op": "replace", "path": "/a/b", "value": 2},
                {"op": "add", "path": "/list/-", "value": 3}, {"op": "remove", "path": "/list/0"}]),
            json!({"a": {"b": 2}, "list": [2, 3]}),
        );
    }

    #[test]
    fn what_does_not_apply_is_rejected() {
        let rejected = json!("the server rejected our request due to an error in our request");
        check(json!([{"op": "test", "path": "/a/b", "value": 2}]), rejected.clone());
        check(json!([{"op": "remove", "path": "/x"}]), rejected);
    }

    #[test]
    fn the_number_of_operations_is_bounded() {
        let patch = Value::Array(vec![json!({"op": "remove", "path": "/x"}); OPERATIONS_MAX + 1]);
        let error = json_patch(json!({}), &patch).expect_err("too many");
        assert_eq!(error.code(), 413);
    }
}

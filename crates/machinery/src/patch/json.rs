//! RFC 6902.

use ::json_patch::jsonptr::Pointer;
use ::json_patch::{Patch, PatchErrorKind, PatchOperation};
use serde_json::Value;

use crate::error::{ApiError, Reason};
use crate::object::DEPTH_MAX;

/// Operations that one patch may have.
const OPERATIONS_MAX: usize = 10_000;
/// Bytes that the copies of one patch may add (upstream: `JSONPatchMaxCopyBytes`).
const COPIED_BYTES_MAX: usize = 3 << 20;
/// Values that the operations of one patch may touch or move aside, all together.
const WORK_MAX: usize = 100_000_000;

/// Applies the operations in turn; all of them or none.
pub fn json_patch(document: Value, patch: &Value) -> Result<Value, ApiError> {
    json_patch_if(document, patch)?.ok_or_else(rejected)
}

/// The same; nothing where an operation that tests does not find what it wants.
pub fn json_patch_if(document: Value, patch: &Value) -> Result<Option<Value>, ApiError> {
    let operations = patch.as_array().map_or(0, Vec::len);
    if operations > OPERATIONS_MAX {
        return Err(ApiError::new(
            Reason::RequestEntityTooLarge,
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got \
                 {operations}"
            ),
        ));
    }
    let patch: Patch =
        serde_json::from_value(patch.clone()).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let (mut document, mut spent) = (document, Spent::default());
    for operation in &patch.0 {
        if !spent.allows(&document, operation) {
            return Err(rejected());
        }
        if is_absent_as_wanted(&document, operation) {
            continue;
        }
        match ::json_patch::patch_unsafe(&mut document, std::slice::from_ref(operation)) {
            Ok(()) => {}
            Err(error) if matches!(error.kind, PatchErrorKind::TestFailed) => return Ok(None),
            Err(_) => return Err(rejected()),
        }
    }
    Ok(Some(document))
}

/// Go's library finds null where a field is not, and clients test so that it is not.
fn is_absent_as_wanted(document: &Value, operation: &PatchOperation) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    let parent = test.path.parent().and_then(|parent| document.pointer(parent.as_str()));
    test.value.is_null() && parent.is_some_and(Value::is_object) && document.pointer(test.path.as_str()).is_none()
}

/// What a patch has cost besides its own size.
#[derive(Default)]
struct Spent {
    copied: usize,
    work: usize,
}

impl Spent {
    /// Whether an operation may still be applied to the document as the ones before left it.
    fn allows(&mut self, document: &Value, operation: &PatchOperation) -> bool {
        let (from, value) = match operation {
            PatchOperation::Add(add) => (None, Some(&add.value)),
            PatchOperation::Replace(replace) => (None, Some(&replace.value)),
            PatchOperation::Copy(copy) => (None, document.pointer(copy.from.as_str())),
            PatchOperation::Move(of) => (Some(&of.from), document.pointer(of.from.as_str())),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => (None, None),
        };
        if let (PatchOperation::Copy(_), Some(value)) = (operation, value) {
            self.copied += value.to_string().len();
        }
        let (values, depth) = value.map_or((0, 0), extent);
        let aside = from.map_or(0, |from| moved_aside(document, from)) + moved_aside(document, operation.path());
        self.work += values + aside;
        let fits = operation.path().count() + depth <= DEPTH_MAX;
        fits && self.copied <= COPIED_BYTES_MAX && self.work <= WORK_MAX
    }
}

/// How many values lie in a value, and how deep.
fn extent(value: &Value) -> (usize, usize) {
    let join = |(values, depth): (usize, usize), (more, deep): (usize, usize)| (values + more, depth.max(deep));
    let (values, depth) = match value {
        Value::Array(items) => items.iter().map(extent).fold((0, 0), join),
        Value::Object(fields) => fields.values().map(extent).fold((0, 0), join),
        _ => return (1, 0),
    };
    (values + 1, depth + 1)
}

/// How many items of a list move when one is put or taken here.
fn moved_aside(document: &Value, path: &Pointer) -> usize {
    let list = path.parent().and_then(|parent| document.pointer(parent.as_str())?.as_array());
    list.filter(|_| !path.as_str().ends_with("/-")).map_or(0, Vec::len)
}

/// Upstream does not say which operation failed.
fn rejected() -> ApiError {
    ApiError::new(Reason::Invalid, "the server rejected our request due to an error in our request")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::documents;
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
        check(json!([{"op": "remove", "path": "/x"}]), rejected.clone());
        for path in ["/a/b", "/x/y", "/list/2"] {
            check(json!([{"op": "test", "path": path, "value": null}]), rejected.clone());
        }
    }

    #[test]
    fn a_test_for_null_holds_where_no_field_is() {
        check(
            json!([{"op": "test", "path": "/a/c", "value": null}, {"op": "add", "path": "/a", "value": null},
                {"op": "test", "path": "/a", "value": null}, {"op": "remove", "path": "/list"}]),
            json!({"a": null}),
        );
    }

    proptest! {
        #[test]
        fn the_difference_of_two_documents_makes_one_the_other(old in documents(), new in documents()) {
            let difference = serde_json::to_value(::json_patch::diff(&old, &new)).expect("patches print");
            prop_assert_eq!(json_patch(old, &difference), Ok(new));
        }

        /// Whatever the operations, the answer is an error or a document.
        #[test]
        fn any_operations_end(document in documents(), words in proptest::collection::vec(("[a-z]{3,7}", "(/[a-c0-2~-]){0,4}"), 0..20)) {
            let kinds = ["add", "remove", "replace", "move", "copy", "test"];
            let operation = |(word, path): &(String, String)| {
                json!({"op": kinds[word.len() % kinds.len()], "path": path, "from": "/a", "value": word})
            };
            let patch: Value = words.iter().map(operation).collect();
            if let Err(error) = json_patch(document, &patch) {
                prop_assert!([400, 422].contains(&error.code()), "{}", error);
            }
        }
    }

    fn patched(document: Value, operations: Vec<Value>) -> Result<Value, ApiError> {
        json_patch(document, &Value::Array(operations))
    }

    #[test]
    fn copies_are_bounded() {
        let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        let once = patched(json!({"a": ["x"]}), vec![double.clone()]);
        assert_eq!(once, Ok(json!({"a": ["x", ["x"]]})));
        assert_eq!(patched(json!({"a": ["x"]}), vec![double; 64]), Err(rejected()), "each doubles what is there");
        let wide = json!({"op": "copy", "from": "/a", "path": "/b"});
        let text = "x".repeat(COPIED_BYTES_MAX / 2);
        assert!(patched(json!({"a": text}), vec![wide.clone()]).is_ok());
        assert_eq!(patched(json!({"a": text}), vec![wide.clone(), wide]), Err(rejected()));
    }

    #[test]
    fn documents_do_not_grow_deeper_than_what_can_be_read() {
        let wrap = [
            json!({"op": "add", "path": "/b", "value": {}}),
            json!({"op": "move", "from": "/a", "path": "/b/x"}),
            json!({"op": "move", "from": "/b", "path": "/a"}),
        ];
        let times = |times: usize| patched(json!({"a": {}}), wrap.iter().cycle().take(3 * times).cloned().collect());
        assert!(times(DEPTH_MAX / 2).is_ok());
        assert_eq!(times(DEPTH_MAX), Err(rejected()));
    }

    #[test]
    fn long_lists_are_not_moved_without_end() {
        let insert = json!({"op": "add", "path": "/list/0", "value": 0});
        let list = vec![json!(0); 2 * WORK_MAX / OPERATIONS_MAX];
        assert_eq!(patched(json!({"list": list}), vec![insert; OPERATIONS_MAX]), Err(rejected()));
        let append = json!({"op": "add", "path": "/list/-", "value": 0});
        assert!(patched(json!({"list": list}), vec![append; OPERATIONS_MAX]).is_ok());
    }

    #[test]
    fn the_number_of_operations_is_bounded() {
        let patch = Value::Array(vec![json!({"op": "remove", "path": "/x"}); OPERATIONS_MAX + 1]);
        let error = json_patch(json!({}), &patch).expect_err("too many");
        assert_eq!(error.code(), 413);
    }
}

//! RFC 6902, as far and as freely as upstream's library (evanphx/json-patch) reads it: what is before the first slash of
//! a path counts for nothing, indices may count from the end, a field that is not there is null, and is made by being
//! replaced.

use std::borrow::Cow;

use serde_json::Value;

use crate::decode::misread;
use crate::error::{ApiError, Reason};
use crate::object::DEPTH_MAX;

/// Operations that one patch may have.
const OPERATIONS_MAX: usize = 10_000;
/// Bytes that the copies of one patch may add (upstream: `JSONPatchMaxCopyBytes`).
const COPIED_BYTES_MAX: usize = 3 << 20;
/// Values that the operations of one patch may touch or move aside, all together.
const WORK_MAX: usize = 100_000_000;

const NULL: &Value = &Value::Null;

/// Applies the operations in turn; all of them or none.
pub fn json_patch(document: Value, patch: &Value) -> Result<Value, ApiError> {
    json_patch_if(document, patch)?.ok_or_else(rejected)
}

/// The same; nothing where an operation that tests does not find what it wants.
pub fn json_patch_if(document: Value, patch: &Value) -> Result<Option<Value>, ApiError> {
    let operations = read(patch)?;
    if operations.len() > OPERATIONS_MAX {
        return Err(ApiError::new(
            Reason::RequestEntityTooLarge,
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
                operations.len()
            ),
        ));
    }
    let (mut document, mut spent) = (document, Spent::default());
    for operation in &operations {
        if !spent.allows(&document, operation) {
            return Err(rejected());
        }
        match operation.apply(&mut document) {
            Some(true) => {}
            Some(false) => return Ok(None),
            None => return Err(rejected()),
        }
    }
    Ok(Some(document))
}

/// The fields of the operations that no operation has.
pub fn unknown_of_json_patch(patch: &Value) -> Vec<String> {
    let known = |field: &&String| !["op", "path", "from", "value"].contains(&field.as_str());
    let items = patch.as_array().into_iter().flatten().enumerate();
    let unknown = items.flat_map(|(at, item)| {
        let fields = item.as_object().into_iter().flat_map(|fields| fields.keys()).filter(known);
        fields.map(move |field| format!("json patch unknown field \"[{at}].{field}\""))
    });
    unknown.collect()
}

/// What is missing is looked for when it is needed.
struct Operation<'a> {
    op: &'a str,
    path: Option<&'a str>,
    from: Option<&'a str>,
    value: &'a Value,
}

fn read(patch: &Value) -> Result<Vec<Operation<'_>>, ApiError> {
    match patch {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.iter().map(read_operation).collect(),
        other => Err(undecodable(other, "value of type []handlers.jsonPatchOp")),
    }
}

fn read_operation(item: &Value) -> Result<Operation<'_>, ApiError> {
    if !item.is_object() && !item.is_null() {
        return Err(undecodable(item, "value of type handlers.jsonPatchOp"));
    }
    let text = |field: &str| match item.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(undecodable(other, &format!("struct field jsonPatchOp.{field} of type string"))),
    };
    let (op, path, from) = (text("op")?.unwrap_or_default(), text("path")?, text("from")?);
    Ok(Operation { op, path, from, value: item.get("value").unwrap_or(NULL) })
}

fn undecodable(found: &Value, wanted: &str) -> ApiError {
    ApiError::bad_request(format!("error decoding patch: {}", misread(found, wanted)))
}

impl Operation<'_> {
    /// Whether what was tested holds; nothing where the operation does not fit the document.
    fn apply(&self, document: &mut Value) -> Option<bool> {
        match (self.op, self.path?) {
            ("add", path) => add(document, path, self.value.clone())?,
            ("remove", path) => drop(take(document, path)?),
            ("replace", "") if self.value.is_object() || self.value.is_array() => *document = self.value.clone(),
            ("replace", path) => replace(document, path, self.value.clone())?,
            ("move", path) => {
                let value = take(document, self.from?)?;
                add(document, path, value)?;
            }
            ("copy", path) => {
                let value = find(document, self.from?)?.clone();
                add(document, path, value)?;
            }
            ("test", "") => return Some(document == self.value),
            ("test", path) => return Some(find(document, path)? == self.value),
            _ => return None,
        }
        Some(true)
    }
}

/// The parts of a path but for the last, and that.
fn parts(path: &str) -> Option<(Vec<Cow<'_, str>>, Cow<'_, str>)> {
    let mut parts: Vec<Cow<'_, str>> = path.split('/').skip(1).map(unescaped).collect();
    let last = parts.pop()?;
    Some((parts, last))
}

fn unescaped(part: &str) -> Cow<'_, str> {
    if part.contains('~') { part.replace("~1", "/").replace("~0", "~").into() } else { part.into() }
}

/// An index into a list of this length, where one below zero counts from the end.
fn index(part: &str, length: usize) -> Option<usize> {
    let at: i64 = part.parse().ok()?;
    let at = if at < 0 { at.checked_add(i64::try_from(length).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// A field of an object, which is null where it is not there, or an item of a list.
fn child<'a>(parent: &'a Value, part: &str) -> Option<&'a Value> {
    match parent {
        Value::Object(fields) => Some(fields.get(part).unwrap_or(NULL)),
        Value::Array(items) => items.get(index(part, items.len())?),
        _ => None,
    }
}

fn child_mut<'a>(parent: &'a mut Value, part: &str) -> Option<&'a mut Value> {
    match parent {
        Value::Object(fields) => fields.get_mut(part),
        Value::Array(items) => index(part, items.len()).and_then(|at| items.get_mut(at)),
        _ => None,
    }
}

fn holder<'a>(document: &'a Value, parts: &[Cow<'_, str>]) -> Option<&'a Value> {
    parts.iter().try_fold(document, |parent, part| child(parent, part))
}

fn holder_mut<'a>(document: &'a mut Value, parts: &[Cow<'_, str>]) -> Option<&'a mut Value> {
    parts.iter().try_fold(document, |parent, part| child_mut(parent, part))
}

fn find<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let (parts, last) = parts(path)?;
    child(holder(document, &parts)?, &last)
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    let (parts, last) = parts(path)?;
    match holder_mut(document, &parts)? {
        Value::Object(fields) => drop(fields.insert(last.into_owned(), value)),
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => items.insert(index(&last, items.len() + 1)?, value),
        _ => return None,
    }
    Some(())
}

fn replace(document: &mut Value, path: &str, value: Value) -> Option<()> {
    let (parts, last) = parts(path)?;
    match holder_mut(document, &parts)? {
        Value::Object(fields) => drop(fields.insert(last.into_owned(), value)),
        list => *child_mut(list, &last)? = value,
    }
    Some(())
}

fn take(document: &mut Value, path: &str) -> Option<Value> {
    let (parts, last) = parts(path)?;
    match holder_mut(document, &parts)? {
        Value::Object(fields) => fields.remove(&*last),
        Value::Array(items) => index(&last, items.len()).map(|at| items.remove(at)),
        _ => None,
    }
}

/// What a patch has cost besides its own size.
#[derive(Default)]
struct Spent {
    copied: usize,
    work: usize,
}

impl Spent {
    /// Whether an operation may still be applied to the document as the ones before left it.
    fn allows(&mut self, document: &Value, operation: &Operation<'_>) -> bool {
        let (path, from) = (operation.path.unwrap_or_default(), operation.from.unwrap_or_default());
        let value = match operation.op {
            "add" | "replace" => Some(operation.value),
            "copy" | "move" => find(document, from),
            _ => None,
        };
        if let ("copy", Some(value)) = (operation.op, value) {
            self.copied += value.to_string().len();
        }
        let (values, depth) = value.map_or((0, 0), extent);
        let aside = if operation.op == "move" { moved_aside(document, from) } else { 0 };
        self.work += values + aside + moved_aside(document, path);
        let fits = path.matches('/').count() + depth <= DEPTH_MAX;
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
fn moved_aside(document: &Value, path: &str) -> usize {
    let list = parts(path).filter(|(_, last)| last != "-").and_then(|(parts, _)| holder(document, &parts)?.as_array());
    list.map_or(0, Vec::len)
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
        for operation in [
            json!(null),
            json!({}),
            json!({"op": "bad", "path": "/a"}),
            json!({"op": "add"}),
            json!({"op": "add", "path": "", "value": {}}),
            json!({"op": "replace", "path": "", "value": 1}),
            json!({"op": "replace", "path": "/x/y", "value": 1}),
            json!({"op": "replace", "path": "/list/2", "value": 1}),
            json!({"op": "copy", "path": "/a/c"}),
            json!({"op": "move", "from": "/a/c", "path": "/a/d"}),
            json!({"op": "add", "path": "/list/4", "value": 1}),
            json!({"op": "add", "path": "/list/-4", "value": 1}),
        ] {
            check(json!([operation]), rejected.clone());
        }
    }

    #[test]
    fn paths_are_read_as_freely_as_by_upstream() {
        let rows = [
            (json!({"op": "add", "path": "/a/c"}), json!({"a": {"b": 1, "c": null}, "list": [1, 2]})),
            (json!({"op": "add", "path": "a/c", "value": 2}), json!({"a": {"b": 1}, "c": 2, "list": [1, 2]})),
            (json!({"op": "replace", "path": "/a/c", "value": 2}), json!({"a": {"b": 1, "c": 2}, "list": [1, 2]})),
            (json!({"op": "copy", "from": "/x", "path": "/a/b"}), json!({"a": {"b": null}, "list": [1, 2]})),
            (json!({"op": "remove", "path": "/list/-1"}), json!({"a": {"b": 1}, "list": [1]})),
            (json!({"op": "add", "path": "/list/-1", "value": 3}), json!({"a": {"b": 1}, "list": [1, 2, 3]})),
            (json!({"op": "add", "path": "/a/~2~1~0", "value": 2}), json!({"a": {"b": 1, "~2/~": 2}, "list": [1, 2]})),
            (json!({"op": "replace", "path": "", "value": {"c": 1}}), json!({"c": 1})),
        ];
        for (operation, expected) in rows {
            check(json!([operation]), expected);
        }
        check(json!(null), json!({"a": {"b": 1}, "list": [1, 2]}));
    }

    #[test]
    fn what_is_no_patch_is_told_as_gos_decoder_tells_it() {
        let rows = [
            (json!({}), "object into Go value of type []handlers.jsonPatchOp"),
            (json!([1]), "number into Go value of type handlers.jsonPatchOp"),
            (json!([{"op": 1, "path": "/a"}]), "number into Go struct field jsonPatchOp.op of type string"),
            (json!([{"op": "add", "path": {}}]), "object into Go struct field jsonPatchOp.path of type string"),
        ];
        for (patch, expected) in rows {
            let expected = format!("error decoding patch: json: cannot unmarshal {expected}");
            let error = json_patch(json!({}), &patch).expect_err("it is no patch");
            assert_eq!((error.code(), error.message), (400, expected));
        }
        let extra = json!([{"op": "add", "path": "/a", "x": 1}]);
        assert_eq!(unknown_of_json_patch(&extra), [r#"json patch unknown field "[0].x""#]);
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

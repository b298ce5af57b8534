//! Strategic merge patch: merges lists by key, as the schema says, with directives for the rest.
//!
//! upstream: staging/src/k8s.io/apimachinery/pkg/util/strategicpatch

use std::collections::HashSet;

use schema::{Field, Message};
use serde_json::{Map, Value};

use super::order::{Positions, identity, ordered};
use crate::decode::no_map;
use crate::error::{ApiError, Reason};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

const BAD_RETAIN_KEYS: &str = "invalid patch format of retainKeys";
const BAD_ORDER: &str = "invalid patch format of setElementOrder list";
const BAD_DELETION: &str = "invalid patch format of primitive list";

type Fields = Map<String, Value>;

/// Applies a patch to an object whose schema is the message of this name.
pub fn strategic_merge_patch(document: Value, patch: &Value, message: &str) -> Result<Value, ApiError> {
    match (document, patch) {
        (document, Value::Null) => Ok(document),
        (Value::Object(document), Value::Object(patch)) => {
            merge_fields(document, patch.clone(), schema::message(message)).map(Value::Object)
        }
        (_, patch) => Err(ApiError::bad_request(no_map(patch))),
    }
}

/// A directive of the wrong form.
fn malformed(why: &str) -> ApiError {
    ApiError::bad_request(why)
}

/// A patch that does not fit the object: upstream answers with code 500 and no reason.
fn misfit(why: impl Into<String>) -> ApiError {
    ApiError::new(Reason::Unknown, why)
}

/// What the schema says of one field; all empty where it knows none.
#[derive(Clone, Copy, Default)]
struct Strategy {
    merges: bool,
    replaces: bool,
    key: &'static str,
    message: Option<&'static Message>,
}

impl Strategy {
    fn of(message: Option<&'static Message>, name: &str) -> Self {
        message.and_then(|message| message.field(name)).map(Self::from_field).unwrap_or_default()
    }

    fn from_field(field: &'static Field) -> Self {
        Self {
            merges: field.has_strategy("merge"),
            replaces: field.has_strategy("replace"),
            key: field.merge_key,
            message: field.message(),
        }
    }
}

fn merge_fields(original: Fields, patch: Fields, message: Option<&'static Message>) -> Result<Fields, ApiError> {
    let (mut original, mut patch) = (original, patch);
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Fields::new()),
            _ => Err(misfit(format!("unknown patch type: {} in map: {}", bare(&directive), Value::Object(patch)))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    set_orders(&mut original, &mut patch, message)?;
    for (name, value) in patch {
        match directive_target(&name, DELETE_FROM, BAD_DELETION)? {
            Some(target) => delete_items(&mut original, target, &value)?,
            None => merge_field(&mut original, name, value, message)?,
        }
    }
    Ok(original)
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The field that a directive such as `$setElementOrder/containers` speaks of.
fn directive_target<'a>(name: &'a str, directive: &str, mistake: &str) -> Result<Option<&'a str>, ApiError> {
    match name.strip_prefix(directive) {
        None => Ok(None),
        Some(rest) => rest.strip_prefix('/').map(Some).ok_or_else(|| malformed(mistake)),
    }
}

/// `$retainKeys`: drops what it does not name; all else in the patch must be named.
fn retain_keys(original: &mut Fields, patch: &mut Fields) -> Result<(), ApiError> {
    let Some(kept) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let kept = kept.as_array().ok_or_else(|| malformed(BAD_RETAIN_KEYS))?;
    let kept: HashSet<&str> = kept.iter().filter_map(Value::as_str).collect();
    let is_kept = |name: &String| kept.contains(name.as_str());
    let is_unnamed = |(name, value): (&String, &Value)| !value.is_null() && !is_directive(name) && !is_kept(name);
    if patch.iter().any(is_unnamed) {
        return Err(malformed(BAD_RETAIN_KEYS));
    }
    original.retain(|name, _| is_kept(name));
    Ok(())
}

/// `$setElementOrder/FIELD`: merges the list of that field, then orders it so.
fn set_orders(original: &mut Fields, patch: &mut Fields, message: Option<&'static Message>) -> Result<(), ApiError> {
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for name in directives {
        let order = patch.remove(&name);
        let Some(target) = directive_target(&name, SET_ORDER, BAD_ORDER)? else { continue };
        let Some(Value::Array(order)) = order else { return Err(malformed(BAD_ORDER)) };
        let strategy = Strategy::of(message, target);
        let live = list(original.get(target))?;
        let patched = list(patch.remove(target).as_ref())?;
        check_order(patched.as_deref().unwrap_or_default(), &order, strategy.key)?;
        let merged = match (&live, patched) {
            (None, None) => continue,
            (Some(live), None) => live.clone(),
            (None, Some(patched)) => patched.into_iter().filter(|item| !is_deletion(item)).map(settled).collect(),
            (Some(live), Some(patched)) => merge_list(live.clone(), patched, strategy)?,
        };
        let live = live.unwrap_or_default();
        original.insert(target.to_owned(), ordered(merged, &order, &live, strategy.key).into());
    }
    Ok(())
}

fn list(value: Option<&Value>) -> Result<Option<Vec<Value>>, ApiError> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => Err(misfit(format!("expected a []interface {{}}, but received a {}", go_type(other)))),
    }
}

/// The items of the patch must stand in the order that the directive gives, and all be named there.
fn check_order(patched: &[Value], order: &[Value], key: &str) -> Result<(), ApiError> {
    let mut rest = order.iter().map(|of| identity(of, key));
    let named = |item: &&Value| key.is_empty() || item.get(DIRECTIVE).is_none();
    let is_next = |item: &Value| {
        let item = identity(item, key);
        rest.any(|of| of == item)
    };
    if order.is_empty() || patched.iter().filter(named).all(is_next) {
        return Ok(());
    }
    let (patched, order) = (Value::from(patched.to_vec()), Value::from(order.to_vec()));
    Err(misfit(format!("The order in patch list:\n{patched}\n doesn't match {SET_ORDER} list:\n{order}\n")))
}

/// `$deleteFromPrimitiveList/FIELD`: takes values out of a list of scalars.
fn delete_items(original: &mut Fields, target: &str, gone: &Value) -> Result<(), ApiError> {
    let gone = gone.as_array().ok_or_else(|| malformed(BAD_DELETION))?;
    let gone: HashSet<String> = gone.iter().map(Value::to_string).collect();
    if let Some(Value::Array(items)) = original.get_mut(target) {
        items.retain(|item| !gone.contains(&item.to_string()));
    }
    Ok(())
}

fn merge_field(
    original: &mut Fields,
    name: String,
    value: Value,
    message: Option<&'static Message>,
) -> Result<(), ApiError> {
    let strategy = Strategy::of(message, &name);
    let merged = match (original.remove(&name), value) {
        (_, Value::Null) => return Ok(()),
        (Some(Value::Object(live)), Value::Object(patch)) if !strategy.replaces => {
            Value::Object(merge_fields(live, patch, strategy.message)?)
        }
        (Some(Value::Array(live)), Value::Array(patch)) if strategy.merges => merge_list(live, patch, strategy)?.into(),
        (_, value) => settled(value),
    };
    original.insert(name, merged);
    Ok(())
}

/// A value that there was nothing to merge with: what is left when its directives and nulls are obeyed.
fn settled(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, value)| !value.is_null() && !is_directive(name));
            Value::Object(kept.map(|(name, value)| (name, settled(value))).collect())
        }
        Value::Array(items) => items.into_iter().filter(|item| !is_deletion(item)).map(settled).collect(),
        scalar => scalar,
    }
}

/// An item that deletes another, or is nothing but a directive.
fn is_deletion(item: &Value) -> bool {
    let fields = item.as_object();
    fields.and_then(|fields| fields.get(DIRECTIVE).map(|of| of == "delete" || fields.len() == 1)).unwrap_or(false)
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE || name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER)
}

fn merge_list(live: Vec<Value>, patch: Vec<Value>, strategy: Strategy) -> Result<Vec<Value>, ApiError> {
    if !strategy.merges {
        return Ok(patch);
    }
    if live.is_empty() && patch.is_empty() {
        return Ok(live);
    }
    if !live.iter().chain(&patch).any(Value::is_object) {
        return merge_scalars(live, patch);
    }
    if strategy.key.is_empty() {
        return Err(misfit("cannot merge lists without merge key for type map"));
    }
    let (live, patch) = item_directives(live, patch, strategy.key)?;
    let before = live.clone();
    let order = patch.clone();
    let merged = merge_items(live, patch, strategy)?;
    Ok(ordered(merged, &order, &before, strategy.key))
}

fn merge_scalars(live: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, ApiError> {
    if live.iter().chain(&patch).any(Value::is_array) {
        let message = "the server rejected our request due to an error in our request";
        return Err(ApiError::new(Reason::Invalid, message));
    }
    let mut seen = HashSet::new();
    let all = live.iter().chain(&patch).filter(|item| seen.insert(item.to_string()));
    Ok(ordered(all.cloned().collect(), &patch, &live, ""))
}

/// Obeys `$patch` in items; answers with what is left of both lists.
fn item_directives(live: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>), ApiError> {
    let mut live = live;
    let (mut plain, mut gone) = (Vec::new(), HashSet::new());
    let mut replaces = false;
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") if item.get(key).is_some() => drop(gone.insert(identity(&item, key))),
            Some("delete") => return Err(no_merge_key(&item, key)),
            Some("replace") => replaces = true,
            Some("merge") => return Err(misfit("merging lists cannot yet be specified in the patch")),
            _ => return Err(misfit(format!("unknown patch type: {} in map: {item}", bare(directive)))),
        }
    }
    if replaces {
        return Ok((plain, Vec::new()));
    }
    if !gone.is_empty() {
        live.retain(|of| !gone.contains(&identity(of, key)));
    }
    Ok((live, plain))
}

fn merge_items(live: Vec<Value>, patch: Vec<Value>, strategy: Strategy) -> Result<Vec<Value>, ApiError> {
    let mut positions = Positions::of(&live, strategy.key);
    let mut merged = live;
    for item in patch {
        if item.get(strategy.key).is_none() {
            return Err(no_merge_key(&item, strategy.key));
        }
        let found = positions.get(&item);
        positions.add(&item, merged.len());
        let found = found.and_then(|at| merged.get_mut(at));
        match (found, item) {
            (Some(Value::Object(live)), Value::Object(patch)) => {
                *live = merge_fields(std::mem::take(live), patch, strategy.message)?;
            }
            (Some(live), item) => *live = item,
            (None, item) => merged.push(settled(item)),
        }
    }
    Ok(merged)
}

fn no_merge_key(item: &Value, key: &str) -> ApiError {
    match item {
        Value::Object(_) => misfit(format!("map: {item} does not contain declared merge key: {key}")),
        other => misfit(format!("expected a map[string]interface {{}}, but received a {}", go_type(other))),
    }
}

/// The type as which Go's decoder holds a value.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if !number.is_i64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::{documents, has_list};
    use super::*;

    const POD: &str = "io.k8s.api.core.v1.Pod";
    const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

    fn check(message: &str, document: Value, patch: Value, expected: Value) {
        let answer = strategic_merge_patch(document, &patch, message).unwrap_or_else(|error| error.message.into());
        assert_eq!(answer, expected, "{patch}");
    }

    /// Containers as `name=image` words.
    fn containers(text: &str) -> Value {
        let container = |word: &str| match word.split_once('=') {
            Some((name, image)) => json!({"name": name, "image": image}),
            None => json!({"name": word}),
        };
        text.split_whitespace().map(container).collect()
    }

    fn check_containers(live: &str, patch: Value, expected: &str) {
        let document = json!({"spec": {"containers": containers(live)}});
        check(POD, document, json!({"spec": patch}), json!({"spec": {"containers": containers(expected)}}));
    }

    #[test]
    fn containers_merge_by_name() {
        check_containers("a=1 b=1", json!({"containers": [{"name": "b", "image": "2"}]}), "a=1 b=2");
        check_containers("a=1", json!({"containers": [{"name": "b", "image": "2"}]}), "b=2 a=1");
        check_containers("a=1 b=1", json!({"containers": [{"name": "a", "$patch": "delete"}]}), "b=1");
        check_containers("a=1", json!({"containers": [{"name": "c", "image": "3"}, {"$patch": "replace"}]}), "c=3");
        check_containers("a=1", json!({"containers": [{"name": "a", "image": null}]}), "a");
    }

    #[test]
    fn the_order_can_be_set() {
        let order = |names: &str| containers(names);
        check_containers("a=1 b=1", json!({"$setElementOrder/containers": order("b a")}), "b=1 a=1");
        check_containers(
            "a=1 b=1",
            json!({"$setElementOrder/containers": order("c a b"), "containers": containers("c=3")}),
            "c=3 a=1 b=1",
        );
    }

    #[test]
    fn mistakes_are_explained() {
        check(
            POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": [{"image": "x"}]}}),
            json!(r#"map: {"image":"x"} does not contain declared merge key: name"#),
        );
        check(
            POD,
            json!({"spec": {}}),
            json!({"spec": {"$patch": "burn"}}),
            json!("unknown patch type: burn in map: {}"),
        );
        let patch = json!({"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}});
        check(DEPLOYMENT, json!({"strategy": {}}), patch, json!(BAD_RETAIN_KEYS));
    }

    #[test]
    fn nothing_of_a_directive_is_left_where_there_is_nothing_to_merge_with() {
        let patch = json!({"nodeSelector": {"a": null, "b": "1"}, "containers":
            [{"name": "a", "image": null}, {"name": "b", "$patch": "delete"}], "$setElementOrder/containers": [{"name": "a"}]});
        let expected = json!({"nodeSelector": {"b": "1"}, "containers": [{"name": "a"}]});
        check(POD, json!({}), json!({"spec": patch}), json!({"spec": expected}));
        check(POD, json!({"spec": {}}), json!({"spec": patch}), json!({"spec": expected}));
    }

    #[test]
    fn keys_are_retained() {
        check(
            DEPLOYMENT,
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        );
    }

    #[test]
    fn lists_of_texts_merge_and_shrink() {
        check(
            POD,
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"finalizers": ["b", "c"]}}),
            json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
        );
        check(
            POD,
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
            json!({"metadata": {"finalizers": ["b"]}}),
        );
    }

    #[test]
    fn unmergeable_lists_and_maps_follow_the_schema() {
        check(
            POD,
            json!({"spec": {"containers": [{"name": "a", "args": ["1"]}], "nodeSelector": {"a": "1", "b": "2"}}}),
            json!({"spec": {"containers": [{"name": "a", "args": ["2"]}], "nodeSelector": {"a": null, "c": "3"}}}),
            json!({"spec": {"containers": [{"name": "a", "args": ["2"]}], "nodeSelector": {"b": "2", "c": "3"}}}),
        );
    }

    proptest! {
        /// Without lists and directives, and where the schema knows nothing.
        #[test]
        fn it_is_a_merge_patch_where_the_schema_says_nothing(document in documents(), patch in documents()) {
            let (document, patch) = (json!({"unknown": document}), json!({"unknown": patch}));
            let merged = super::super::merge_patch(document.clone(), &patch);
            prop_assume!(!has_list(&patch));
            prop_assert_eq!(strategic_merge_patch(document, &patch, POD), merged);
        }

        /// Items of the patch stand in its order, the others in theirs, and none is lost.
        #[test]
        fn merged_lists_keep_both_orders(live in "[a-j]{0,12}", patch in "[a-j]{0,12}") {
            let unique = |text: &str| {
                let mut seen = std::collections::BTreeSet::new();
                text.chars().filter(|c| seen.insert(*c)).collect::<String>()
            };
            let (live, patch) = (unique(&live), unique(&patch));
            let finalizers = |text: &str| json!({"metadata": {"finalizers": text.chars().map(String::from).collect::<Vec<_>>()}});
            let merged = strategic_merge_patch(finalizers(&live), &finalizers(&patch), POD).expect("a fitting patch");
            let merged: String =
                merged["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let kept = |from: &str, keep: &dyn Fn(char) -> bool| from.chars().filter(|c| keep(*c)).collect::<String>();
            prop_assert_eq!(kept(&merged, &|c| patch.contains(c)), patch.clone());
            let others = kept(&live, &|c| !patch.contains(c));
            prop_assert_eq!(kept(&merged, &|c| !patch.contains(c)), others);
        }

        #[test]
        fn a_patch_applied_twice_changes_nothing_more(live in "([a-e]=[0-9] ){0,4}", patch in "([a-e]=[0-9] ){0,4}") {
            let unique = |text: &str| {
                let mut seen = std::collections::BTreeSet::new();
                let words = text.split_whitespace().filter(|word| seen.insert(word.chars().next()));
                containers(&words.collect::<Vec<_>>().join(" "))
            };
            let document = json!({"spec": {"containers": unique(&live)}});
            let patch = json!({"spec": {"containers": unique(&patch)}});
            let once = strategic_merge_patch(document, &patch, POD).expect("a fitting patch");
            let twice = strategic_merge_patch(once.clone(), &patch, POD).expect("a fitting patch");
            prop_assert_eq!(once, twice);
        }
    }
}

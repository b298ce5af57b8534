//! What writes of a status do to conditions.

use machinery::Object;
use serde_json::Value;

use crate::columns::non_empty;
use crate::tree::{default_text, each, str_of, text};

pub fn of_type<'a>(request: &'a Object, of_type: &str) -> Vec<&'a Value> {
    let conditions = request.list(&["status", "conditions"]).iter();
    conditions.filter(|condition| str_of(condition, "type") == of_type).collect()
}

/// Conditions of a type as they were; where there are more or fewer of them, validation has something to say.
pub fn keep_conditions(new: &mut Object, old: &Object, name: &str) {
    let kept: Vec<Value> = of_type(old, name).into_iter().cloned().collect();
    if of_type(new, name).len() != kept.len() {
        return;
    }
    let conditions = new.map_mut(&["status"]).get_mut("conditions").and_then(Value::as_array_mut);
    let own = conditions.into_iter().flatten().filter(|condition| str_of(condition, "type") == name);
    own.zip(kept).for_each(|(condition, was)| *condition = was);
}

/// A condition that stays as it was has turned so when it did before; one that is new or has changed turned now, unless
/// it says when.
pub fn date_conditions(new: &mut Object, old: &Object) {
    let now = clock::format_time(clock::now());
    each(new.map_mut(&["status"]), "conditions", |condition| {
        let same = |was: &&Value| ["type", "status"].iter().all(|field| str_of(was, field) == text(condition, field));
        let was = old.list(&["status", "conditions"]).iter().find(same);
        let turned = was.map_or("", |was| str_of(was, "lastTransitionTime")).to_owned();
        default_text(condition, "lastTransitionTime", non_empty(&turned, &now));
    });
}

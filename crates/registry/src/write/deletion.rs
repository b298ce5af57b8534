//! What deletion means for an object: gone at once, or marked and waiting.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use kinds::{KindDef, Propagation};
use machinery::Object;
use serde_json::json;

use crate::request::DeleteOptions;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// It is being deleted already, and this request changes nothing.
    Waits,
    /// Write this and wait for its finalizers or its grace period.
    Mark(Box<Object>),
    Remove,
}

/// upstream: staging/src/k8s.io/apiserver/pkg/registry/rest/delete.go and generic/registry/store.go
pub fn plan(kind: &KindDef, old: &Object, options: &DeleteOptions, now: Timestamp) -> Plan {
    let mut new = old.clone();
    let grace = match grace(kind, old, options) {
        Grace::Pending => return Plan::Waits,
        Grace::Shorten { from, to } => {
            shorten(&mut new, from, to);
            Some(to)
        }
        Grace::Begin(seconds) => {
            mark(kind, &mut new, now, seconds);
            Some(seconds)
        }
        Grace::None => None,
    };
    set_finalizers(&mut new, &finalizers(kind, old, options));
    let blocked = new.finalizers().next().is_some() || (kind.strategy.deletion_blocked)(&new);
    if blocked && !new.is_deleting() {
        mark(kind, &mut new, now, 0);
    }
    if !blocked && grace.unwrap_or(0) == 0 {
        return Plan::Remove;
    }
    if new == *old { Plan::Waits } else { Plan::Mark(Box::new(new)) }
}

/// Whether an update from `old` to `new` takes away the last thing that a deletion waits for.
pub fn ends_with(kind: &KindDef, new: &Object, old: &Object) -> bool {
    let grace_is_over = grace_seconds(old).unwrap_or(0) == 0;
    let blocked = new.finalizers().next().is_some() || (kind.strategy.deletion_blocked)(new);
    old.is_deleting() && grace_is_over && !blocked
}

/// What the grace period asks for.
enum Grace {
    /// The kind knows none, or it has been cut off.
    None,
    Begin(i64),
    Shorten {
        from: i64,
        to: i64,
    },
    /// It runs, and this request does not shorten it.
    Pending,
}

fn grace_seconds(object: &Object) -> Option<i64> {
    object.int(&["metadata", "deletionGracePeriodSeconds"])
}

fn grace(kind: &KindDef, old: &Object, options: &DeleteOptions) -> Grace {
    let Some(seconds) = (kind.strategy.grace)(old, options.grace_seconds) else { return Grace::None };
    if !old.is_deleting() {
        return Grace::Begin(seconds);
    }
    match (grace_seconds(old), options.grace_seconds) {
        (None, _) => Grace::None,
        (Some(running), Some(asked)) if asked < running => Grace::Shorten { from: running, to: asked.max(0) },
        (Some(_), _) => Grace::Pending,
    }
}

fn mark(kind: &KindDef, object: &mut Object, now: Timestamp, seconds: i64) {
    set_deadline(object, now + SignedDuration::from_secs(seconds), seconds);
    if object.generation() > 0 {
        let next = object.generation() + 1;
        object.set(&["metadata", "generation"], next);
    }
    (kind.strategy.prepare_delete)(object);
}

fn shorten(object: &mut Object, from: i64, to: i64) {
    let deadline = object.str(&["metadata", "deletionTimestamp"]).parse::<Timestamp>();
    if let Ok(deadline) = deadline {
        set_deadline(object, deadline - SignedDuration::from_secs(from - to), to);
    }
}

fn set_deadline(object: &mut Object, deadline: Timestamp, seconds: i64) {
    object.set(&["metadata", "deletionTimestamp"], clock::format_time(deadline));
    object.set(&["metadata", "deletionGracePeriodSeconds"], seconds);
}

/// The finalizers that tell the garbage collector what becomes of dependents, and all others as they are.
fn finalizers(kind: &KindDef, old: &Object, options: &DeleteOptions) -> Vec<String> {
    let known: HashSet<&str> = old.finalizers().collect();
    let has = |name: &str| known.contains(name);
    let (orphan, foreground) = match options.propagation {
        Some(policy) => (policy == Propagation::Orphan, policy == Propagation::Foreground),
        None if has(ORPHAN) || has(FOREGROUND) => (has(ORPHAN), has(FOREGROUND)),
        None => (kind.strategy.default_propagation == Propagation::Orphan, false),
    };
    let mut kept: Vec<String> =
        old.finalizers().filter(|name| ![ORPHAN, FOREGROUND].contains(name)).map(str::to_owned).collect();
    let cleanup = kind.strategy.cleanup_finalizer.filter(|name| !old.is_deleting() && !has(name));
    kept.extend(cleanup.map(str::to_owned));
    kept.extend(orphan.then(|| ORPHAN.to_owned()));
    kept.extend(foreground.then(|| FOREGROUND.to_owned()));
    let same = kept.len() == old.finalizers().count() && kept.iter().all(|name| has(name));
    if same { old.finalizers().map(str::to_owned).collect() } else { kept }
}

fn set_finalizers(object: &mut Object, finalizers: &[String]) {
    if finalizers.is_empty() {
        object.remove(&["metadata", "finalizers"]);
    } else {
        object.set(&["metadata", "finalizers"], json!(finalizers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: KindDef = KindDef::PLAIN;
    const GRACEFUL: KindDef = KindDef {
        strategy: kinds::Strategy { grace: |_, asked| Some(asked.unwrap_or(30)), ..kinds::Strategy::PLAIN },
        ..KindDef::PLAIN
    };

    fn object(finalizers: &[&str]) -> Object {
        let mut object = Object::default();
        object.set(&["metadata", "name"], "a");
        object.set(&["metadata", "generation"], 3);
        if !finalizers.is_empty() {
            object.set(&["metadata", "finalizers"], json!(finalizers));
        }
        object
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// The deadline in seconds from now, the grace, the generation and the finalizers of what is marked.
    fn marked(plan: Plan) -> (i64, Option<i64>, i64, String) {
        let Plan::Mark(object) = plan else { panic!("{plan:?}") };
        let deadline: Timestamp = object.str(&["metadata", "deletionTimestamp"]).parse().unwrap();
        let finalizers: Vec<&str> = object.finalizers().collect();
        (deadline.as_second() - now().as_second(), grace_seconds(&object), object.generation(), finalizers.join(","))
    }

    fn grace_of(seconds: i64) -> DeleteOptions {
        DeleteOptions { grace_seconds: Some(seconds), ..DeleteOptions::default() }
    }

    #[test]
    fn a_plain_object_goes_at_once_and_a_finalizer_holds_it() {
        let options = DeleteOptions::default();
        assert_eq!(plan(&PLAIN, &object(&[]), &options, now()), Plan::Remove);
        let Plan::Mark(held) = plan(&PLAIN, &object(&["x/y"]), &options, now()) else { panic!("it is held") };
        assert_eq!(marked(Plan::Mark(held.clone())), (0, Some(0), 4, "x/y".to_owned()));
        assert_eq!(plan(&PLAIN, &held, &options, now()), Plan::Waits);
        let mut free = (*held).clone();
        free.remove(&["metadata", "finalizers"]);
        assert!(ends_with(&PLAIN, &free, &held) && !ends_with(&PLAIN, &held, &held));
    }

    #[test]
    fn grace_can_be_shortened_but_not_stretched() {
        let Plan::Mark(dying) = plan(&GRACEFUL, &object(&[]), &DeleteOptions::default(), now()) else { panic!() };
        assert_eq!(marked(Plan::Mark(dying.clone())), (30, Some(30), 4, String::new()));
        assert_eq!(plan(&GRACEFUL, &dying, &grace_of(60), now()), Plan::Waits);
        assert_eq!(plan(&GRACEFUL, &dying, &DeleteOptions::default(), now()), Plan::Waits);
        assert_eq!(marked(plan(&GRACEFUL, &dying, &grace_of(5), now())), (5, Some(5), 4, String::new()));
        assert_eq!(plan(&GRACEFUL, &dying, &grace_of(0), now()), Plan::Remove);
        assert_eq!(plan(&GRACEFUL, &object(&[]), &grace_of(0), now()), Plan::Remove);
        assert!(!ends_with(&GRACEFUL, &dying, &dying), "its grace still runs");
    }

    #[test]
    fn propagation_is_kept_as_a_finalizer() {
        let of = |propagation| DeleteOptions { propagation, ..DeleteOptions::default() };
        let finalizers = |from: &[&str], propagation| marked(plan(&PLAIN, &object(from), &of(propagation), now())).3;
        assert_eq!(finalizers(&[], Some(Propagation::Orphan)), "orphan");
        assert_eq!(finalizers(&["x/y"], Some(Propagation::Foreground)), "x/y,foregroundDeletion");
        assert_eq!(finalizers(&["orphan", "x/y"], Some(Propagation::Background)), "x/y");
        assert_eq!(finalizers(&["orphan"], None), "orphan");
        assert_eq!(plan(&PLAIN, &object(&["orphan"]), &of(Some(Propagation::Background)), now()), Plan::Remove);
    }
}

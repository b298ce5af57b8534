//! Which names a definition is given, and what is said of it.
//! (upstream: apiextensions-apiserver pkg/controller/{status,establish,apiapproval,nonstructuralschema,finalizer})

use std::collections::BTreeSet;

use super::definition::{Condition, Definition, Names, Status};

pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const APPROVED: &str = "api-approved.kubernetes.io";

/// Everything that `decide` may look at.
pub struct View<'a> {
    pub definition: &'a Definition,
    /// Names that other definitions of the group were given.
    pub taken: Taken,
    /// How many objects there are; nothing when that was not asked.
    pub objects: Option<usize>,
    /// As conditions write the time.
    pub now: &'a str,
}

#[derive(Debug, Default)]
pub struct Taken {
    pub resources: BTreeSet<String>,
    pub kinds: BTreeSet<String>,
}

impl Taken {
    pub fn by<'a>(definitions: impl Iterator<Item = &'a Definition>) -> Self {
        let mut taken = Self::default();
        for Names { plural, singular, short_names, kind, list_kind, .. } in
            definitions.map(|other| &other.status.accepted_names)
        {
            taken.resources.extend([plural, singular].into_iter().chain(short_names).cloned());
            taken.kinds.extend([kind, list_kind].map(Clone::clone));
        }
        // Those that were given nothing yet take nothing.
        taken.resources.remove("");
        taken.kinds.remove("");
        taken
    }
}

#[derive(Debug, PartialEq)]
pub enum Step {
    Nothing,
    /// Write this status.
    Say(Status),
    /// How many objects are there?
    Count,
    /// Delete all objects, and look again.
    DeleteObjects,
    /// Let the definition go.
    Release,
}

pub fn decide(view: &View<'_>) -> Step {
    let status = &view.definition.status;
    let wanted = if is_leaving(view.definition) { terminating(view) } else { named(view) };
    if wanted != *status {
        return Step::Say(wanted);
    }
    if !is_leaving(view.definition) {
        return Step::Nothing;
    }
    match (status.is_true("Terminating"), view.objects) {
        (false, _) => Step::Release,
        (true, None) => Step::Count,
        (true, Some(_)) => Step::DeleteObjects,
    }
}

/// Whether the definition waits for its objects to go.
fn is_leaving(definition: &Definition) -> bool {
    let finalizers = definition.metadata.finalizers.iter().flatten();
    definition.metadata.deletion_timestamp.is_some() && finalizers.into_iter().any(|finalizer| finalizer == FINALIZER)
}

fn condition(view: &View<'_>, type_: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        last_transition_time: view.now.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

fn terminating(view: &View<'_>) -> Status {
    let mut status = view.definition.status.clone();
    let done = status.condition("Terminating").is_some_and(|known| known.status == "False");
    if done {
        return status;
    }
    let (is, reason, message) = match (status.is_true("Established"), view.objects) {
        (false, _) => ("False", "NeverEstablished", "resource was never established"),
        (true, Some(0)) => ("False", "InstanceDeletionCompleted", "removed all instances"),
        (true, _) => ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"),
    };
    status.set(condition(view, "Terminating", is, reason, message));
    status
}

fn named(view: &View<'_>) -> Status {
    let mut status = view.definition.status.clone();
    let (names, conflict) = accept(&view.definition.spec.names, &status.accepted_names, &view.taken);
    status.accepted_names = names;
    let accepted = conflict.is_none();
    status.set(match conflict {
        None => condition(view, "NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => condition(view, "NamesAccepted", "False", reason, &message),
    });
    let established = match (status.is_true("Established"), accepted) {
        // What is served stays so.
        (true, _) => None,
        (false, true) => Some(("True", "InitialNamesAccepted", "the initial names have been accepted")),
        (false, false) => Some(("False", "NotAccepted", "not all names are accepted")),
    };
    if let Some((is, reason, message)) = established {
        status.set(condition(view, "Established", is, reason, message));
    }
    if view.definition.spec.preserve_unknown_fields {
        let message = "spec.preserveUnknownFields: Invalid value: true: must be false";
        status.set(condition(view, "NonStructuralSchema", "True", "Violations", message));
    } else {
        status.conditions.retain(|known| known.type_ != "NonStructuralSchema");
    }
    if let Some((is, reason, message)) = approval(view.definition) {
        status.set(condition(view, "KubernetesAPIApprovalPolicyConformant", is, reason, &message));
    }
    status
}

/// The names that are given, and what is in the way of the others.
fn accept(wanted: &Names, given: &Names, taken: &Taken) -> (Names, Option<(&'static str, String)>) {
    let mut names = Names { categories: wanted.categories.clone(), ..given.clone() };
    let mut conflict = None;
    let in_use = |name: &str| format!("{name:?} is already in use");
    let is_free = |wanted: &str, given: &str, taken: &BTreeSet<String>| wanted == given || !taken.contains(wanted);
    let mut take = |wanted: &str, given: &mut String, taken: &BTreeSet<String>, reason: &'static str| {
        if is_free(wanted, given, taken) {
            *given = wanted.to_owned();
        } else {
            conflict = Some((reason, in_use(wanted)));
        }
    };
    take(&wanted.plural, &mut names.plural, &taken.resources, "PluralConflict");
    take(&wanted.singular, &mut names.singular, &taken.resources, "SingularConflict");
    let fresh = wanted.short_names.iter().filter(|name| !given.short_names.contains(name));
    let problems: Vec<String> = fresh.filter(|name| taken.resources.contains(*name)).map(|name| in_use(name)).collect();
    let short = match problems.as_slice() {
        [] => {
            names.short_names.clone_from(&wanted.short_names);
            None
        }
        [one] => Some(("ShortNamesConflict", one.clone())),
        many => Some(("ShortNamesConflict", format!("[{}]", many.join(", ")))),
    };
    let mut conflict_of_kinds = None;
    let mut take_kind = |wanted: &str, given: &mut String, reason: &'static str| {
        if is_free(wanted, given, &taken.kinds) {
            *given = wanted.to_owned();
        } else {
            conflict_of_kinds = Some((reason, in_use(wanted)));
        }
    };
    take_kind(&wanted.kind, &mut names.kind, "KindConflict");
    take_kind(&wanted.list_kind, &mut names.list_kind, "ListKindConflict");
    (names, conflict_of_kinds.or(short).or(conflict))
}

/// What is said of definitions in groups that belong to the community. Nothing of others.
fn approval(definition: &Definition) -> Option<(&'static str, &'static str, String)> {
    let group = definition.spec.group.as_str();
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    if !protected {
        return None;
    }
    let annotations = definition.metadata.annotations.as_ref();
    let said = annotations.and_then(|of| of.get(APPROVED)).map(String::as_str).unwrap_or_default();
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    Some(match said {
        "" => {
            let text = format!("protected groups must have approval annotation {APPROVED:?}, {SEE}");
            ("False", "MissingAnnotation", text)
        }
        _ if said.starts_with("unapproved") => ("False", "UnapprovedAnnotation", format!("not approved: {said:?}")),
        _ if said.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) => {
            ("True", "ApprovedAnnotation", format!("approved in {said}"))
        }
        _ => {
            let text = format!(
                "protected groups must have approval annotation {APPROVED:?} with either a URL or a reason starting with \
                 \"unapproved\", {SEE}"
            );
            ("False", "InvalidAnnotation", text)
        }
    })
}

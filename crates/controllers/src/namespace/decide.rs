//! What a namespace on its way out says about itself. (upstream: pkg/controller/namespace/deletion)

use std::collections::BTreeMap;

/// What one pass over the namespace's content found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Group version and error.
    pub discovery_failures: Vec<(String, String)>,
    pub deletion_failures: Vec<String>,
    /// Objects left, by `deployments.apps`.
    pub remaining: BTreeMap<String, usize>,
    /// Objects that wait for each finalizer.
    pub finalizers: BTreeMap<String, usize>,
}

impl Outcome {
    /// Nothing is left, and nothing may have been overlooked.
    pub fn is_empty(&self) -> bool {
        self.discovery_failures.is_empty() && self.deletion_failures.is_empty() && self.remaining.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub type_: &'static str,
    pub status: bool,
    pub reason: &'static str,
    pub message: String,
}

fn told(type_: &'static str, problem: Option<(&'static str, String)>, well: (&'static str, &str)) -> Condition {
    match problem {
        Some((reason, message)) => Condition { type_, status: true, reason, message },
        None => Condition { type_, status: false, reason: well.0, message: well.1.to_owned() },
    }
}

pub fn conditions(outcome: &Outcome) -> Vec<Condition> {
    let discovery = (!outcome.discovery_failures.is_empty()).then(|| {
        let listed: Vec<_> =
            outcome.discovery_failures.iter().map(|(group, error)| format!("{group}: {error}")).collect();
        let message = format!("Discovery failed for some groups, {} failing: {}", listed.len(), listed.join(", "));
        ("DiscoveryFailed", message)
    });
    let deletion = (!outcome.deletion_failures.is_empty()).then(|| {
        let (count, listed) = (outcome.deletion_failures.len(), outcome.deletion_failures.join(", "));
        ("ContentDeletionFailed", format!("Failed to delete all resource types, {count} remaining: {listed}"))
    });
    let remaining = (!outcome.remaining.is_empty()).then(|| {
        let listed = counts(&outcome.remaining, |kind, count| format!("{kind} has {count} resource instances"));
        ("SomeResourcesRemain", format!("Some resources are remaining: {listed}"))
    });
    let finalizers = (!outcome.finalizers.is_empty()).then(|| {
        let listed = counts(&outcome.finalizers, |name, count| format!("{name} in {count} resource instances"));
        ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {listed}"))
    });
    vec![
        told(
            "NamespaceDeletionDiscoveryFailure",
            discovery,
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        told(
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        told(
            "NamespaceDeletionContentFailure",
            deletion,
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        told("NamespaceContentRemaining", remaining, ("ContentRemoved", "All content successfully removed")),
        told(
            "NamespaceFinalizersRemaining",
            finalizers,
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ]
}

fn counts(of: &BTreeMap<String, usize>, say: impl Fn(&str, usize) -> String) -> String {
    of.iter().map(|(name, count)| say(name, *count)).collect::<Vec<_>>().join(", ")
}

//! What an apply that is not forced would take from others.

use serde_json::Value;

use super::managed::{Identity, Operation};
use super::path::{self, Element};
use super::set::Set;
use crate::error::{ApiError, Cause, Details, Reason};

/// A field that the applied configuration changes and that another manager owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    pub identity: Identity,
    pub path: Vec<Element>,
}

/// Fields that a write took from a manager.
pub type Taken = (Identity, Set);

/// All that was taken, manager by manager.
pub fn list(mut taken: Vec<Taken>) -> Vec<Conflict> {
    taken.sort_by(|(a, _), (b, _)| a.cmp(b));
    let of = |(identity, fields): Taken| {
        fields.paths().into_iter().map(move |path| Conflict { identity: identity.clone(), path })
    };
    taken.into_iter().flat_map(of).collect()
}

/// The answer to an apply that conflicts.
pub fn error(conflicts: &[Conflict]) -> ApiError {
    let cause = |conflict: &Conflict| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", show(&conflict.identity)),
        field: path::show(&conflict.path),
    };
    let mut error = ApiError::new(Reason::Conflict, message(conflicts));
    error.details = Some(Box::new(Details { causes: conflicts.iter().map(cause).collect(), ..Details::default() }));
    error
}

fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            show(&one.identity),
            path::show(&one.path)
        );
    }
    let mut lines: Vec<String> = Vec::new();
    for with in conflicts.chunk_by(|a, b| a.identity == b.identity) {
        lines.push(format!("conflicts with {}:", show(&with[0].identity)));
        lines.extend(with.iter().map(|conflict| format!("- {}", path::show(&conflict.path))));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// The manager as people know it: `"kubectl" with subresource "scale" using apps/v1`.
fn show(identity: &Identity) -> String {
    let mut shown = Value::from(identity.manager.as_str()).to_string();
    if !identity.subresource.is_empty() {
        shown += &format!(" with subresource {:?}", identity.subresource);
    }
    if identity.operation == Operation::Update {
        shown += &format!(" using {}", identity.api_version);
    }
    shown
}

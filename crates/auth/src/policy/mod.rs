//! The roles and bindings that every cluster starts with.

use machinery::Object;

/// The default roles and bindings.
pub fn bootstrap_policy() -> Vec<Object> {
    Vec::new()
}

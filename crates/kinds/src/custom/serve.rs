//! When a definition's kinds are served.

use machinery::Object;

use crate::tree::condition_is_true;

/// Once its names are accepted. Its objects may come and go while it is deleted, too.
pub fn is_served(definition: &Object) -> bool {
    let named = condition_is_true(definition, "NamesAccepted") || condition_is_true(definition, "Established");
    named && !definition.list(&["spec", "versions"]).is_empty()
}

/// No new objects are made: the definition and its objects go.
pub fn is_terminating(definition: &Object) -> bool {
    definition.is_deleting() || condition_is_true(definition, "Terminating")
}

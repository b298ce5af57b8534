//! The controllers of the cluster: one folder each, with the decision in `decide.rs` (pure), the wiring in
//! `mod.rs` and the tests beside them.

pub mod deployment;
pub mod endpoints;
mod podset;
pub mod replicaset;

/// The server's own words about a failed request.
fn reason_text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

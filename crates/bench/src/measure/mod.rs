//! The measurements, a file each: `run` makes what it needs, measures, and answers lines of the table.

pub mod admission;
pub mod cache;
pub mod definitions;
pub mod idle;
pub mod pods;
pub mod requests;
pub mod schedule;
pub mod start;
pub mod watchers;

/// How many connections send requests.
const CONNECTIONS: usize = 16;

fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

fn object_name(index: u64) -> String {
    format!("object-{index:06}")
}

//! The container runtime boundary: one trait with CRI v1's verbs, and the runtime that is built in.

pub mod api;

pub use api::*;

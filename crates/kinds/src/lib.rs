//! The kind table: what each served kind is, as data and small pure hooks.
//!
//! Routes, discovery, OpenAPI paths, RBAC names, columns and selectors all derive from a [`KindDef`].
//! Hooks live beside their kind, in the folder of its API group.

pub mod def;

pub use def::*;

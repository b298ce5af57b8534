//! The kind table: what each served kind is, as data and small pure hooks.
//!
//! Routes, discovery, OpenAPI paths, RBAC names, columns and selectors all derive from a [`KindDef`].
//! Hooks live beside their kind, in the folder of its API group.

pub mod def;

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
mod check;
mod columns;
pub mod coordination;
pub mod core;
pub mod custom;
pub mod discovery;
pub mod duration;
pub mod events;
pub mod flowcontrol;
pub mod networking;
pub mod policy;
pub mod quota;
pub mod rbac;
pub mod resource;
pub mod runtime;
mod runtime_config;
pub mod scheduling;
pub mod storage;
pub mod storagemigration;
mod table;
mod tree;

pub use def::*;
pub use runtime_config::{Selection, select};
pub use table::{all, by_gvk, find, known, no_conversion};

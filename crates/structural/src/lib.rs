//! Structural schemas: what custom resources look like.
//!
//! A [`Schema`] is compiled once from the JSON of a definition. It prunes and defaults objects ([`Schema::prune`],
//! [`Schema::fill_in`]), checks their values in the words of upstream's OpenAPI validation ([`Schema::check`]), the
//! lists that are sets or maps ([`Schema::check_lists`]), the metadata of objects within them
//! ([`Schema::check_embedded`]) and the rules written in CEL ([`Schema::check_rules`]). Errors that an update did not
//! cause are forgiven along [`Correlated`] values.
//!
//! upstream: apiextensions-apiserver pkg/apiserver/schema, kube-openapi pkg/validation.

mod correlated;
mod defaults;
mod embedded;
mod fill;
mod formats;
mod invariants;
mod lists;
mod number;
mod path;
mod prune;
mod rules;
mod run;
mod schema;
mod values;

pub use correlated::Correlated;
pub use defaults::check_defaults;
pub use embedded::coerce_metadata;
pub use formats::{Format, is_known as is_known_format};
pub use invariants::check as check_invariants;
pub use path::{FieldPath, resolve as resolve_path};
pub use prune::UnknownFields;
pub use rules::{Compiled, compile};
pub use run::{Budget, NOT_CHECKED, blocks_rules};
pub use schema::{Additional, Checks, List, Pattern, Schema, Type};

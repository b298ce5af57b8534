//! Who wrote which field, and server-side apply, which merges what a manager says into what others said.
//!
//! upstream: sigs.k8s.io/structured-merge-diff and apimachinery's `util/managedfields`. Everything here walks
//! objects along a [`Form`], which comes from a message of the schema, be it built in or compiled.

mod check;
mod compare;
mod conflict;
mod empty;
mod field_set;
mod fields;
mod filter;
mod form;
mod last_applied;
mod managed;
mod merge;
mod node;
mod overlay;
mod path;
mod prune;
mod remove;
mod scale;
mod set;
mod writer;

#[cfg(test)]
mod tests;

pub use filter::Filter;
pub use form::{Form, Told};
pub use managed::same_but_times;
pub use node::{Layout, Node};
pub use overlay::overlay;
pub use scale::{from_scale, to_scale};
pub use set::Set;
pub use writer::{Versions, Writer};

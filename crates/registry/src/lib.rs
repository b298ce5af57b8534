//! The verb pipeline for any kind, the watch cache behind it, discovery and OpenAPI. No HTTP.

pub mod admission;
pub mod answer;
pub mod discovery;
pub mod entry;
pub mod keys;
pub mod kind_table;
pub mod openapi;
pub mod registry;
pub mod request;
pub mod table;
pub mod transform;
pub mod watch;

pub use admission::Admission;
pub use answer::{Deleted, List, WatchEvent, Written};
pub use entry::Entry;
pub use kind_table::KindTable;
pub use registry::{Config, Hooks, Lister, Registry};
pub use request::*;
pub use transform::{Identity, TransformError, Transformer};
pub use watch::Watch;

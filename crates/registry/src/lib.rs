//! The verb pipeline for any kind, the watch cache behind it, discovery and OpenAPI. No HTTP.

pub mod admission;
mod allocate;
pub mod answer;
mod background;
mod cache;
mod continuation;
mod conversion;
mod convert;
mod descriptions;
pub mod discovery;
pub mod entry;
mod errors;
pub mod keys;
pub mod kind_table;
mod list;
pub mod openapi;
pub mod registry;
pub mod request;
mod scale;
mod selection;
pub mod service;
pub mod table;
mod time;
pub mod transform;
pub mod watch;
mod write;

pub use admission::Admission;
pub use answer::{Changed, Deleted, List, WatchEvent, Written};
pub use background::store_outdated_anew;
pub use conversion::{Conversions, Converter, read_review};
pub use entry::Entry;
pub use kind_table::KindTable;
pub use registry::{Config, Hooks, Lister, Registry};
pub use request::*;
pub use transform::{Identity, TransformError, Transformer};
pub use watch::Watch;

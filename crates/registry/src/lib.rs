//! The verb pipeline for any kind, the watch cache behind it, discovery and OpenAPI. No HTTP.

pub mod request;

pub use request::*;

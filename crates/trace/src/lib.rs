//! Traces of requests, as spans that are sent to an OpenTelemetry collector by OTLP.
//!
//! A [`Tracer`] decides which requests are traced, and hands what their spans say to a queue that a task of its own
//! sends in batches: nobody waits for the collector. Inside a request the span is that of the task: [`step`] makes a
//! child of it, [`event`] notes something. Where nothing is traced both look at a flag and go on.
//! (upstream: component-base/tracing)

mod config;
mod context;
mod export;
pub mod otlp;
mod span;
mod tracer;

pub use config::{Config, ConfigError};
pub use context::Parent;
pub use otlp::KeyValue;
pub use span::{Span, attribute, child, event, step, within};
pub use tracer::{Root, Tracer};

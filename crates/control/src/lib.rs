//! What every loop of the product stands on: informers, a work queue, the one controller shell,
//! expectations, events and leader election, all on a [`kube::Client`].
//!
//! A controller is a pure `decide(view) -> plan` and a thin [`Controller`] that builds the view from
//! [`Informer`]s and applies the plan. [`Shell::run`] does the rest: it waits for the caches, queues keys,
//! bounds the workers, retries with back-off, and keeps one reconcile's panic from ending the others.
//!
//! Nothing here polls: an idle cluster does no work.

mod backoff;
pub mod error;
pub mod events;
mod expectations;
pub mod hash;
mod informer;
mod int_or_percent;
mod key;
pub mod lease;
pub mod meta;
mod metrics;
pub mod pods;
mod queue;
mod shell;
#[cfg(test)]
mod testing;
pub mod write;

pub use backoff::WatchBackoff;
pub use error::{Class, Error};
pub use events::{EventType, Recorder};
pub use expectations::Expectations;
pub use informer::{Change, Informer, Informers, Watched};
pub use int_or_percent::{Round, scaled_value};
pub use key::ObjectKey;
pub use metrics::Metrics;
pub use queue::WorkQueue;
pub use shell::{Controller, Requeue, Shell, Watches};
pub use tokio_util::sync::CancellationToken;

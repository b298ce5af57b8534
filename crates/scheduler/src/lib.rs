//! The scheduler: picks a node for each pod that has none.
//!
//! - [`schedule`] is pure: a pod and a [`Snapshot`] of the nodes give a node, or why none of them fits.
//! - [`plugins`] are its filters and scores, with upstream's names and texts.
//! - [`queue`] orders the pods that wait: active, backing off, unschedulable until something changes.
//! - [`run`] feeds both from informers and binds pods through the API.

mod bind;
mod cache;
pub mod nodes;
pub mod plugins;
pub mod pods;
pub mod queue;
pub mod resources;
mod run;
pub mod schedule;

pub use cache::Cache;
pub use nodes::{NodeInfo, Snapshot};
pub use pods::PodInfo;
pub use run::{Metrics, SCHEDULER_NAME, run};
pub use schedule::{FitError, schedule};

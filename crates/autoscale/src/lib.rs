//! Autoscaling: what nodes and pods use, and how many pods there should be.
//!
//! - [`Sampler`] reads `/stats/summary` of the nodes when somebody asks, and makes rates of two readings.
//! - [`service`] serves them as `metrics.k8s.io/v1beta1`, for `kubectl top` and anyone else.
//! - [`run`] is the HorizontalPodAutoscaler controller, which asks the sampler directly.
//!
//! Nobody asking and no autoscaler there means that nothing is read.

mod api;
mod hpa;
mod sampler;
#[cfg(test)]
mod testing;

pub use api::{GROUP, SCHEMA, Service, VERSION, resources, service};
pub use hpa::run;
pub use sampler::{ContainerReading, NodeReading, PodReading, Readings, ResourceMetrics, Sampler, Usage};

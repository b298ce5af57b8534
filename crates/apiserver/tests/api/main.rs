//! The server as its clients see it: over loopback, over TLS, in process, and with kubectl.

mod access;
mod aggregation;
mod apply;
mod apply_laws;
mod audit;
mod bad_input;
#[path = "../collector/mod.rs"]
mod collector;
mod content;
mod discovery;
mod fairness;
mod in_process;
mod kubectl;
mod limits;
mod lists;
mod memory;
mod metrics;
#[path = "../../../kinds/tests/minimal/mod.rs"]
mod minimal;
mod network;
mod node;
mod objects;
mod operations;
mod strangers;
mod subresources;
mod support;
mod tracing;
mod versions;
mod watches;

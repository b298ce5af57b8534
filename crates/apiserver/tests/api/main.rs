//! The server as its clients see it: over loopback, over TLS, in process, and with kubectl.

mod access;
mod apply;
mod audit;
mod bad_input;
mod content;
mod discovery;
mod fairness;
mod in_process;
mod kubectl;
mod limits;
mod lists;
mod memory;
mod metrics;
mod network;
mod node;
mod objects;
mod subresources;
mod support;
mod tracing;
mod versions;
mod watches;

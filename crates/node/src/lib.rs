//! The node agent: what the kubelet is upstream.
//!
//! It registers its machine as a Node, keeps that Node's lease and status, and runs the pods that are
//! bound to it: each pod is a state machine ([`pod::step`]) whose effects a thin worker carries out
//! against [`containers::Runtime`] and the API. Its own HTTPS API gives logs, exec and statistics.
//!
//! It sees the cluster through a `kube::Client` alone, and containers outlive it: an agent that starts
//! adopts what runs.

pub mod agent;
pub mod config;
pub mod container;
pub mod context;
pub mod eviction;
pub mod fd;
pub mod handlers;
pub mod images;
pub mod logs;
pub mod machine;
pub mod paths;
pub mod pod;
pub mod pods;
pub mod probes;
pub mod references;
pub mod registration;
pub mod resources;
pub mod server;
pub mod simulated;
pub mod volumes;

pub use agent::Agent;
pub use config::{AgentConfig, Error};

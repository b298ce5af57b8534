//! The container runtime boundary: one trait with CRI v1's verbs, and the runtime that is built in.
//!
//! The built-in runtime has two sides. [`embedded::Embedded`] lives in the agent: it keeps images and decides what a container is.
//! The supervisor is a small single-threaded process of its own, parent of every container on the node: it makes containers,
//! writes their logs and remembers their ends, and it outlives the agent. They talk over a Unix socket ([`wire`]).
//!
//! `unsafe` is found where the kernel is asked directly: `init`, `supervisor`, `wire`, `cgroup::devices`, `image::layer`, and once
//! in `api` for the size of a terminal.

pub mod api;
mod cgroup;
pub mod embedded;
mod image;
mod init;
mod plan;
mod record;
mod seccomp;
mod supervisor;
mod wire;

pub use api::*;
pub use image::Registries;
pub use init::init_main;
pub use supervisor::supervisor_main;

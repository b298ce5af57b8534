//! Volumes of pods on this node.

pub mod atomic;
pub mod payload;

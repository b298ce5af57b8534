//! A pod on this node: its state machine, its status, and the worker that carries effects out.

pub mod spec;
pub mod state;
pub mod status;
pub mod step;

#[cfg(test)]
mod step_tests;

pub use state::{Ended, Member, Observation, Phase, Run, Sandbox, State};
pub use step::{Effect, Event, StartError, step};

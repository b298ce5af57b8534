//! A pod on this node: its state machine, its status, and the worker that carries effects out.

pub mod admission;
pub mod context;
pub mod halt;
pub mod launch;
pub mod observe;
pub mod spec;
pub mod state;
pub mod status;
pub mod step;
pub mod worker;
pub mod writer;

#[cfg(test)]
mod step_tests;

pub use state::{Ended, Member, Observation, Phase, Run, Sandbox, State};
pub use step::{Effect, Event, StartError, step};

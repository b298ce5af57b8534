//! What tests of several crates share.
//!
//! - [`sim`]: a whole cluster on paused time, from one seed.
//! - [`api`]: an API server over a store in memory.
//! - [`real`]: what tests with real containers clean up.
//!
//! `unsafe` stands in `sim::entropy` alone, which stands in for a function of the C library.

pub mod api;
pub mod real;
pub mod sim;

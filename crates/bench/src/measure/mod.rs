//! The measurements, a file each: `run` makes what it needs, measures, and answers lines of the table.

pub mod api;
pub mod idle;
pub mod pods;
pub mod schedule;
pub mod start;

/// How many connections send requests.
const CONNECTIONS: usize = 16;

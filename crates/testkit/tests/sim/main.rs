//! Whole clusters on paused time: `testkit::sim`.

mod crashes;
mod deletion;
mod faults;
mod jobs;
mod nodes;
mod support;
mod workloads;

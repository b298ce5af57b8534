//! Container logs in CRI's format: read, followed, rotated.

pub mod parse;
pub mod read;
pub mod rotate;

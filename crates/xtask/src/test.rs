//! `cargo xtask test`: every test of the repository, with what the tests start built before.

use std::process::Command;

use crate::build::{binary, run};
use crate::image;

/// Arguments go to nextest, after `cargo nextest run`.
pub fn test(arguments: &[String]) -> anyhow::Result<()> {
    binary("keelson", false)?;
    image::pack(false)?;
    run(Command::new(env!("CARGO")).args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(arguments))?;
    run(Command::new(env!("CARGO")).args(["test", "--workspace", "--doc", "--quiet"]))
}

//! `cargo xtask test`: every test of the repository, with the image that some of them run packed before.

use std::process::Command;

use crate::build::run;
use crate::image;

/// Arguments go to nextest, after `cargo nextest run`.
pub fn test(arguments: &[String]) -> anyhow::Result<()> {
    image::pack(false)?;
    run(Command::new(env!("CARGO")).args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(arguments))?;
    run(Command::new(env!("CARGO")).args(["test", "--workspace", "--doc", "--quiet"]))
}

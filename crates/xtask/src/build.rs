//! Building the repository's programs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

/// Builds a program and answers where it is.
pub fn binary(package: &str, release: bool) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--package", package]).args(release.then_some("--release"));
    run(&mut command)?;
    // Beside this program, in the folder of the profile.
    let own = std::env::current_exe()?;
    let target =
        own.parent().and_then(|profile| profile.parent()).context("this program is not where cargo puts it")?;
    Ok(target.join(if release { "release" } else { "debug" }).join(package))
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed: {status}", command.get_program());
    Ok(())
}

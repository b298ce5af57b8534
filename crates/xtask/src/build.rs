//! Building the repository's programs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

/// Builds a program and answers where it is.
pub fn binary(package: &str, release: bool) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--package", package]).args(release.then_some("--release"));
    // What cargo says of this program: build scripts that look at it would run again at every other build.
    for (name, _) in std::env::vars().filter(|(name, _)| is_of_package(name)) {
        command.env_remove(name);
    }
    run(&mut command)?;
    // Beside this program, in the folder of the profile.
    let own = std::env::current_exe()?;
    let target =
        own.parent().and_then(|profile| profile.parent()).context("this program is not where cargo puts it")?;
    Ok(target.join(if release { "release" } else { "debug" }).join(package))
}

fn is_of_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed: {status}", command.get_program());
    Ok(())
}

//! `cargo xtask bench`: builds what is measured and what measures, and runs it.

use std::process::Command;

use crate::build::{binary, run};
use crate::image;

/// Arguments are those of crate `bench`; a cluster that is given needs nothing of ours.
pub fn bench(debug: bool, arguments: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new(binary("bench", !debug)?);
    if !arguments.iter().any(|argument| argument.starts_with("--kubeconfig")) {
        command.arg("--keelson").arg(binary("keelson", !debug)?);
        command.arg("--image").arg(image::pack(!debug)?);
    }
    run(command.args(arguments))
}

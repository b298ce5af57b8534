//! `kubectl ARGS...`: the kubectl on the path, told which cluster.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::connection::{Cluster, Source};
use crate::{Error, Result};

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    #[command(flatten)]
    pub cluster: Cluster,
    /// All that is handed to kubectl
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

/// Becomes kubectl; comes back only when that fails.
pub fn run(args: &Args) -> Result<()> {
    let kubeconfig = match args.cluster.source()? {
        Source::File(path) => path.into_os_string(),
        Source::Environment(value) => value,
    };
    let failure = Command::new("kubectl").args(&args.args).env("KUBECONFIG", kubeconfig).exec();
    Err(match failure.kind() {
        ErrorKind::NotFound => Error::plain(
            "there is no kubectl on the path; get, apply, describe, logs, delete, rollout and scale work without it",
        ),
        _ => Error::plain(format!("kubectl: {failure}")),
    })
}

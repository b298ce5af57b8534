//! Commands that talk to a running API server, so that a cluster can be used without other tools.
//!
//! Flags, texts and exit codes are kubectl's wherever a command has kubectl's name.
//! A file per command; what needs no server (tables, patches, manifests) is pure and lies beside them.

pub mod ages;
pub mod align;
pub mod apply;
pub mod connection;
pub mod delete;
pub mod describe;
pub mod discovery;
pub mod error;
pub mod get;
pub mod image;
pub mod kubectl;
pub mod logs;
pub mod manifest;
pub mod output;
pub mod past;
pub mod patch;
pub mod rollout;
pub mod scale;
pub mod table;
pub mod targets;
pub mod undelete;
pub mod watch;

use std::process::ExitCode;

pub use error::Error;

pub type Result<T> = std::result::Result<T, Error>;

/// What a client of the cluster can ask for; flatten it into the program's own commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create or change objects to be as files describe them
    Apply(apply::Args),
    /// Show objects
    Get(get::Args),
    /// Show objects in detail, with their events
    Describe(describe::Args),
    /// Print what containers have written
    Logs(logs::Args),
    /// Delete objects
    Delete(delete::Args),
    /// Make objects again as they were at a revision
    Undelete(undelete::Args),
    /// Follow, undo, restart or pause roll-outs
    Rollout(rollout::Args),
    /// Set the number of replicas
    Scale(scale::Args),
    /// Run the kubectl on the path against this cluster
    Kubectl(kubectl::Args),
    /// Bring container images to a node, list or remove them
    Image(image::Args),
}

/// Runs one command to its end. Answers go to the standard output, errors to the standard error.
pub async fn run(command: Command) -> ExitCode {
    match dispatch(command).await {
        Ok(()) | Err(Error::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Apply(args) => apply::run(&args).await,
        Command::Get(args) => get::run(&args).await,
        Command::Describe(args) => describe::run(&args).await,
        Command::Logs(args) => logs::run(&args).await,
        Command::Delete(args) => delete::run(&args).await,
        Command::Undelete(args) => undelete::run(&args).await,
        Command::Rollout(args) => rollout::run(&args).await,
        Command::Scale(args) => scale::run(&args).await,
        Command::Kubectl(args) => kubectl::run(&args),
        Command::Image(args) => image::run(&args).await,
    }
}

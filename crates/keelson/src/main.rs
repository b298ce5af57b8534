//! Keelson: a whole Kubernetes cluster in one binary.
//!
//! `keelson server` runs the control plane and, unless told otherwise, the node of this machine;
//! `keelson agent` joins another machine. The rest of the command line talks to a running server.

mod agent;
mod certs;
mod cluster;
mod datastore;
mod flags;
mod migrate;
mod paths;
mod reset;
mod rotation;
mod secrets;
mod server;
mod shared;
mod signals;
mod snapshots;
mod token;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use flags::{Command, Flags};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's settings: give memory back soon. The thread that does so is started by [`run`] alone: the small
/// processes around containers clone themselves, and whoever clones must be the only thread, or the C library
/// of the copy waits for threads that are not there.
#[allow(non_upper_case_globals)]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static malloc_conf: &[u8] = b"dirty_decay_ms:500,muzzy_decay_ms:0,narenas:4\0";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|argument| argument.to_str()) {
        // The small processes around containers: before anything else, as they must stay small.
        Some("supervisor") => containers::supervisor_main(arguments),
        Some("container-init") => containers::init_main(arguments),
        _ => {}
    }
    let flags = Flags::parse();
    match run(flags.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("keelson: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    tikv_jemalloc_ctl::background_thread::write(true)
        .map_err(|error| anyhow::anyhow!("cannot start the allocator's thread: {error}"))?;
    rustls::crypto::CryptoProvider::install_default(auth::tls::crypto_provider().as_ref().clone())
        .map_err(|_| anyhow::anyhow!("TLS is set up already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(dispatch(command));
    // Blocking work that has no end of its own must not hold the process.
    runtime.shutdown_background();
    done
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Client(command) => return Ok(cli::run(command).await),
        Command::Server(flags) => server::run(*flags).await?,
        Command::Agent(flags) => agent::run(flags).await?,
        Command::Token(flags) => token::run(flags).await?,
        Command::Secrets(flags) => secrets::run(flags).await?,
        Command::Certs(flags) => return certs::run(flags),
        Command::Datastore(flags) => migrate::run(flags).await?,
        Command::Snapshot(flags) => snapshots::run(flags).await?,
        Command::Reset(flags) => reset::run(flags).await?,
        Command::Version => {
            println!("keelson {} (Kubernetes API {})", env!("CARGO_PKG_VERSION"), apiserver::GIT_VERSION);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How this program starts itself again.
fn own_command(subcommand: &str) -> anyhow::Result<Vec<OsString>> {
    Ok(vec![std::env::current_exe()?.into_os_string(), subcommand.into()])
}

//! A server of our own: started on an empty directory, removed with all that it made.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::isolation::ADDRESS;
use crate::load::{Connection, Target};
use crate::processes;

pub const NODE: &str = "bench";
const PORT: u16 = 6443;
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Between two attempts to connect to a server that starts.
const PAUSE: Duration = Duration::from_millis(2);
/// How much of the log a failure shows.
const LOG_LINES: usize = 20;

pub struct Server {
    program: PathBuf,
    flags: Vec<String>,
    directory: tempfile::TempDir,
    child: Child,
    pub started: Instant,
}

impl Server {
    /// Starts `keelson server`; does not wait for it.
    pub fn start(program: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("keelson-bench-").tempdir()?;
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let started = clock::monotonic();
        let child = spawn(program, directory.path(), &flags)?;
        Ok(Self { program: program.to_owned(), flags, directory, child, started })
    }

    /// Kills the server and starts it again on what it left.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        self.started = clock::monotonic();
        self.child = spawn(&self.program, self.directory.path(), &self.flags)?;
        Ok(())
    }

    /// Waits until the API answers that it is ready; says how long that was from the start.
    pub async fn until_ready(&mut self) -> anyhow::Result<Duration> {
        let mut config = kube::Config::new(format!("https://{ADDRESS}:{PORT}").parse()?);
        // The authority is made while we wait.
        config.accept_invalid_certs = true;
        let target = Arc::new(Target::new(&config)?);
        while self.started.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended ({status}):\n{}", self.log_end());
            }
            if is_ready(&target).await.is_ok() {
                return Ok(self.started.elapsed());
            }
            sleep(PAUSE).await;
        }
        bail!("no answer from the server after {START_LIMIT:?}:\n{}", self.log_end())
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data().join("kubeconfig")
    }

    /// Runs one of the program's other commands against this server.
    pub async fn command(&self, arguments: &[&std::ffi::OsStr]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("KEELSON_DATA_DIR", self.data()).env("KUBECONFIG", self.kubeconfig());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
        let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
        anyhow::ensure!(output.status.success(), "keelson {arguments:?} failed: {}", said());
        Ok(())
    }

    /// What server and supervisor use.
    pub fn usage(&self) -> anyhow::Result<processes::Usage> {
        Ok(processes::usage(&processes::running(&self.program)?))
    }

    /// Stops the server and removes everything that it made.
    pub async fn remove(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            processes::signal(pid.try_into()?, Signal::SIGTERM)?;
        }
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            eprintln!("the server does not stop within {STOP_LIMIT:?}");
            self.child.kill().await?;
        }
        let reset = self.command(&["reset".as_ref()]).await;
        for left in processes::running(&self.program)? {
            processes::signal(left.pid, Signal::SIGKILL)?;
        }
        reset
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

fn spawn(program: &Path, directory: &Path, flags: &[String]) -> anyhow::Result<Child> {
    let log = std::fs::File::create(directory.join("log"))?;
    let mut command = Command::new(program);
    command.arg("server").arg("--data-dir").arg(directory.join("data"));
    command.args(["--node-name", NODE, "--node-ip", &ADDRESS.to_string()]).args(flags);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

async fn is_ready(target: &Arc<Target>) -> anyhow::Result<()> {
    Connection::open(target).await?.send(target.get("/readyz")).await.map(|_| ())
}

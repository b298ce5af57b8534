//! Streams of exec and attach, and exec that only wants the output.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

use super::client::{Client, Reply};
use super::unexpected;
use crate::api::{Error, ExecConfig, ExecOutput, Result, Streams};
use crate::image::to_api;
use crate::wire::{Answer, Request, StreamKind};

/// What is kept of each stream; more is read and thrown away.
const MAX_OUTPUT: usize = 16 << 10;
const READ_SIZE: usize = 8 << 10;

/// The exec's number and its streams.
pub async fn exec(client: &Client, id: &str, config: &ExecConfig) -> Result<(u64, Streams)> {
    let request =
        Request::Exec { id: id.to_owned(), command: config.command.clone(), stdin: config.stdin, tty: config.tty };
    let reply = client.call(request).await.map_err(|error| match error {
        Error::Runtime(text) => Error::Runtime(format!("failed to exec in container: {text}")),
        other => other,
    })?;
    from_reply(reply)
}

pub fn from_reply(reply: Reply) -> Result<(u64, Streams)> {
    let Answer::Streams { exec, kinds } = reply.answer else { return Err(unexpected(&reply.answer)) };
    let exit = reply.exit.unwrap_or_else(|| oneshot::channel().1);
    let mut streams = Streams { stdin: None, stdout: None, stderr: None, tty: None, exit };
    for (kind, fd) in kinds.into_iter().zip(reply.fds) {
        let place = match kind {
            StreamKind::Stdin => &mut streams.stdin,
            StreamKind::Stdout => &mut streams.stdout,
            StreamKind::Stderr => &mut streams.stderr,
            StreamKind::Tty => &mut streams.tty,
        };
        *place = Some(fd);
    }
    Ok((exec, streams))
}

pub async fn exec_sync(client: &Client, id: &str, command: &[String], timeout: Duration) -> Result<ExecOutput> {
    let config = ExecConfig { command: command.to_vec(), ..ExecConfig::default() };
    let (exec, streams) = exec(client, id, &config).await?;
    if timeout.is_zero() {
        return collect(streams).await;
    }
    match tokio::time::timeout(timeout, collect(streams)).await {
        Ok(output) => output,
        Err(_) => {
            client.order(Request::KillExec { exec }).await?;
            Err(Error::DeadlineExceeded(format!(
                "failed to exec in container: timeout {timeout:?} exceeded: context deadline exceeded"
            )))
        }
    }
}

/// Reads until the process ends; who else holds its pipes is not waited for.
async fn collect(streams: Streams) -> Result<ExecOutput> {
    let mut output = ExecOutput::default();
    let (mut stdout, mut stderr) =
        (receiver(streams.stdout).map_err(to_api)?, receiver(streams.stderr).map_err(to_api)?);
    let mut exit = streams.exit;
    let code = loop {
        tokio::select! {
            code = &mut exit => break code,
            () = readable(&stdout) => take(&mut stdout, &mut output.stdout),
            () = readable(&stderr) => take(&mut stderr, &mut output.stderr),
        }
    };
    drain(&stdout, &mut output.stdout);
    drain(&stderr, &mut output.stderr);
    output.exit_code = code.map_err(|_| Error::Unavailable("the exit code of the process is lost".to_owned()))?;
    Ok(output)
}

fn receiver(fd: Option<OwnedFd>) -> io::Result<Option<Receiver>> {
    fd.map(Receiver::from_owned_fd).transpose()
}

/// Never, for a stream that has ended.
async fn readable(stream: &Option<Receiver>) {
    match stream {
        Some(stream) if stream.readable().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// One read's worth; the end of the stream takes it away.
fn take(stream: &mut Option<Receiver>, output: &mut Vec<u8>) {
    let mut buffer = [0; READ_SIZE];
    let Some(receiver) = stream else { return };
    match receiver.try_read(&mut buffer) {
        Ok(length) if length > 0 => keep(output, &buffer[..length]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        _ => *stream = None,
    }
}

/// What is in the pipe now, whether the reactor has heard of it or not.
fn drain(stream: &Option<Receiver>, output: &mut Vec<u8>) {
    let mut buffer = [0; READ_SIZE];
    while let Some(receiver) = stream
        && let Ok(length) = nix::unistd::read(receiver.as_fd(), &mut buffer)
        && length > 0
    {
        keep(output, &buffer[..length]);
    }
}

fn keep(output: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_OUTPUT.saturating_sub(output.len()).min(bytes.len());
    output.extend_from_slice(&bytes[..room]);
}

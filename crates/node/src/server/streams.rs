//! `/exec/...` and `/attach/...`: a process's streams on WebSocket channels.
//!
//! upstream: kubelet's pkg/cri/streaming/remotecommand

use std::io;
use std::sync::Arc;
use std::time::Duration;

use containers::{ContainerState, ExecConfig, Streams};
use futures::StreamExt;
use http::Request;
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::WebSocketStream;

use super::query::Query;
use super::websocket::{Input, Protocol, Reader, Writer, accept, upgrade};
use super::{Answer, Refusal, Server, finished};
use crate::fd::Fd;
use crate::pod::spec;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// How much is read from a process at once, and how many such pieces wait for a slow client.
const CHUNK: usize = 16 * 1024;
const BACKLOG: usize = 4;
/// How long output is still read after the process ended, when a child holds its pipes open.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a client may take to close its side, which cut off early would lose what it has not read yet.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Which streams the client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Wanted {
    /// The kubelet's names for them, and the API server's.
    fn of(query: &Query) -> Wanted {
        let either = |kubelet: &str, api: &str| query.flag(kubelet) || query.flag(api);
        let tty = query.flag("tty");
        Wanted {
            stdin: either("input", "stdin"),
            stdout: either("output", "stdout"),
            stderr: either("error", "stderr") && !tty,
            tty,
        }
    }
}

pub async fn exec(
    server: &Server,
    mut request: Request<Incoming>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
) -> Answer {
    let id = running(server, namespace, pod, container).await?;
    let wanted = Wanted::of(query);
    let config = ExecConfig { command: query.all("command"), stdin: wanted.stdin, tty: wanted.tty };
    if config.command.is_empty() {
        return Err(Refusal::bad_request("you must specify at least 1 command"));
    }
    let (answer, protocol, upgrade) = upgrade(&mut request)?;
    let runtime = server.node.runtime.clone();
    tokio::spawn(async move {
        let serving = async {
            let socket = accept(upgrade).await?;
            match runtime.exec(&id, &config).await {
                Ok(streams) => serve(socket, protocol, wanted, streams, Ending::Exit).await,
                Err(error) => refuse(socket, protocol, &error.to_string()).await,
            }
        };
        finished("an exec", serving.await);
    });
    answer
}

pub async fn attach(
    server: &Server,
    mut request: Request<Incoming>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
) -> Answer {
    let id = running(server, namespace, pod, container).await?;
    let wanted = Wanted::of(query);
    let attached = server.pod(namespace, pod)?;
    let ending = attached_until(&attached, container);
    let (answer, protocol, upgrade) = upgrade(&mut request)?;
    let runtime = server.node.runtime.clone();
    tokio::spawn(async move {
        let serving = async {
            let socket = accept(upgrade).await?;
            match runtime.attach(&id).await {
                Ok(streams) => serve(socket, protocol, wanted, streams, ending).await,
                Err(error) => refuse(socket, protocol, &error.to_string()).await,
            }
        };
        finished("an attach", serving.await);
    });
    answer
}

/// A container that reads the end of its input ends by itself; of others a client has had all when its own input ends.
/// upstream: containerd internal/cri/io/container_io.go
fn attached_until(pod: &Pod, container: &str) -> Ending {
    let found = spec::container(pod, container).map(|(_, container)| container);
    let reads_end = found.is_some_and(|of| of.stdin_once.unwrap_or(false) && !of.tty.unwrap_or(false));
    if reads_end { Ending::Output } else { Ending::Input }
}

async fn running(server: &Server, namespace: &str, pod: &str, container: &str) -> Result<String, Refusal> {
    let pod = server.pod(namespace, pod)?;
    let last = server.runs(&pod, container).await?.pop();
    let run = last.filter(|run| run.state == ContainerState::Running);
    run.map(|run| run.id).ok_or_else(|| Refusal::not_found(format!("container not found (\"{container}\")")))
}

/// What ends the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process's exit code.
    Exit,
    /// The end of the process's output.
    Output,
    /// That, or the end of the client's input.
    Input,
}

/// The process's ends, ready to be read and written.
struct Ends {
    input: Option<Arc<Fd>>,
    outputs: Vec<(u8, Arc<Fd>)>,
    terminal: Option<Arc<Fd>>,
}

impl Ends {
    fn new(streams: &mut Streams, wanted: Wanted) -> io::Result<Ends> {
        let open = |fd: Option<std::os::fd::OwnedFd>| fd.map(|fd| Fd::new(fd).map(Arc::new)).transpose();
        let terminal = open(streams.tty.take())?;
        let input = open(streams.stdin.take())?.or_else(|| terminal.clone()).filter(|_| wanted.stdin);
        let stdout = open(streams.stdout.take())?.or_else(|| terminal.clone()).filter(|_| wanted.stdout);
        let stderr = open(streams.stderr.take())?.filter(|_| wanted.stderr);
        let outputs = stdout.map(|fd| (STDOUT, fd)).into_iter().chain(stderr.map(|fd| (STDERR, fd))).collect();
        Ok(Ends { input, outputs, terminal })
    }
}

/// Carries bytes both ways until the process ended or the client left, then tells how it ended.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: WebSocketStream<S>,
    protocol: Protocol,
    wanted: Wanted,
    mut streams: Streams,
    ending: Ending,
) -> io::Result<()> {
    let ends = Ends::new(&mut streams, wanted)?;
    let (sink, stream) = socket.split();
    let mut writer = Writer(sink);
    // Tells the client that the connection stands.
    let lowest = [(wanted.stdout, STDOUT), (wanted.stderr, STDERR)].into_iter().find(|(wanted, _)| *wanted);
    writer.send(lowest.map_or(ERROR, |(_, channel)| channel), &[]).await?;
    let mut receiver = read_all(&ends.outputs);
    let input_ended = Notify::new();
    let reading = read_input(Reader(stream, protocol), ends.input, ends.terminal, &input_ended);
    tokio::pin!(reading);
    let talking = async {
        match ending {
            Ending::Exit => talk(&mut writer, &mut receiver, streams.exit).await,
            Ending::Output => show(&mut writer, &mut receiver, std::future::pending()).await,
            Ending::Input => show(&mut writer, &mut receiver, input_ended.notified()).await,
        }
    };
    let code = tokio::select! {
        code = talking => code?,
        // The client is gone; the process's streams close with this call.
        () = &mut reading => return Ok(()),
    };
    writer.send(ERROR, status(protocol, code).as_bytes()).await?;
    writer.close().await?;
    if tokio::time::timeout(CLOSE_WAIT, reading).await.is_err() {
        tracing::debug!("a client did not close its side");
    }
    Ok(())
}

type Output = (u8, Vec<u8>);

/// Reads all outputs into one channel, which ends with the last of them.
fn read_all(outputs: &[(u8, Arc<Fd>)]) -> mpsc::Receiver<Output> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    for (channel, fd) in outputs {
        let (sender, channel, fd) = (sender.clone(), *channel, fd.clone());
        tokio::spawn(async move {
            let mut buffer = vec![0; CHUNK];
            while let Ok(count @ 1..) = fd.read(&mut buffer).await {
                if sender.send((channel, buffer[..count].to_vec())).await.is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// Sends output until there is no more, or what there was when `enough` came.
async fn show<S: AsyncRead + AsyncWrite + Unpin>(
    writer: &mut Writer<S>,
    outputs: &mut mpsc::Receiver<Output>,
    enough: impl Future<Output = ()>,
) -> io::Result<Option<i32>> {
    tokio::pin!(enough);
    loop {
        tokio::select! {
            biased;
            output = outputs.recv() => match output {
                Some((channel, data)) => writer.send(channel, &data).await?,
                None => return Ok(Some(0)),
            },
            () = &mut enough => return Ok(Some(0)),
        }
    }
}

/// Sends output until the process ended, and answers its exit code.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    writer: &mut Writer<S>,
    outputs: &mut mpsc::Receiver<Output>,
    exit: tokio::sync::oneshot::Receiver<i32>,
) -> io::Result<Option<i32>> {
    tokio::pin!(exit);
    let code = loop {
        tokio::select! {
            code = &mut exit => break code.ok(),
            Some((channel, data)) = outputs.recv() => writer.send(channel, &data).await?,
        }
    };
    let drained = async {
        while let Some((channel, data)) = outputs.recv().await {
            writer.send(channel, &data).await?;
        }
        Ok(code)
    };
    tokio::time::timeout(DRAIN, drained).await.unwrap_or(Ok(code))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// Takes the client's messages until it leaves; tells when its input has ended.
async fn read_input<S: AsyncRead + AsyncWrite + Unpin>(
    mut reader: Reader<S>,
    mut input: Option<Arc<Fd>>,
    terminal: Option<Arc<Fd>>,
    ended: &Notify,
) {
    while let Some(message) = reader.next().await {
        match message {
            Input::Data(STDIN, data) => {
                let written = match &input {
                    Some(fd) => fd.write_all(&data).await,
                    None => Ok(()),
                };
                if written.is_err() {
                    input = None;
                }
            }
            Input::Data(RESIZE, data) => resize(terminal.as_deref(), &data),
            Input::Close(STDIN) => {
                // A pipe ends with its last holder.
                input = None;
                ended.notify_one();
            }
            Input::Data(..) | Input::Close(_) => {}
        }
    }
}

fn resize(terminal: Option<&Fd>, data: &[u8]) {
    let (Some(terminal), Ok(size)) = (terminal, serde_json::from_slice::<Size>(data)) else { return };
    if let Err(error) = terminal.resize(size.width, size.height) {
        tracing::debug!(%error, "cannot resize a terminal");
    }
}

/// How the process ended, as the error channel says it.
fn status(protocol: Protocol, code: Option<i32>) -> String {
    let text = match code {
        Some(0) => String::new(),
        Some(code) => format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        None => "the process was lost".to_string(),
    };
    if protocol == Protocol::V1 {
        return text;
    }
    let status = match code {
        Some(0) => json!({ "metadata": {}, "status": "Success" }),
        Some(code) => failure(&text, "NonZeroExitCode", json!([{ "reason": "ExitCode", "message": code.to_string() }])),
        None => failure(&text, "InternalError", json!([{ "message": text }])),
    };
    status.to_string()
}

fn failure(message: &str, reason: &str, causes: Value) -> Value {
    json!({ "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "details": { "causes": causes }, "code": 500 })
}

/// Tells the client why there is no process.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    protocol: Protocol,
    message: &str,
) -> io::Result<()> {
    let (sink, _stream) = socket.split();
    let mut writer = Writer(sink);
    let text = match protocol {
        Protocol::V1 => message.to_string(),
        _ => failure(message, "InternalError", json!([{ "message": message }])).to_string(),
    };
    writer.send(ERROR, text.as_bytes()).await?;
    writer.close().await
}

#[cfg(test)]
mod tests;

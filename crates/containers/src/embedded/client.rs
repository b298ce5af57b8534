//! The agent's end of the supervisor's socket: calls, events, and coming back after either side was away.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{broadcast, oneshot, watch};

use crate::api::{Error, Event, Result};
use crate::record::Layout;
use crate::wire::{Answer, Call, Failure, Inbox, Message, Request, encode};

/// How long a call waits for a supervisor that is away.
const AWAY_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// Events that a slow listener may be behind.
const EVENT_CAPACITY: usize = 4096;

/// An answer with what came beside it.
pub struct Reply {
    pub answer: Answer,
    pub fds: Vec<OwnedFd>,
    /// The exit code of an exec.
    pub exit: Option<oneshot::Receiver<i32>>,
}

type Waiting = HashMap<u64, oneshot::Sender<Result<Reply>>>;

/// One connection, while it lasts.
struct Connection {
    stream: UnixStream,
    waiting: Mutex<Waiting>,
    execs: Mutex<HashMap<u64, oneshot::Sender<i32>>>,
    /// Frames must not mix.
    writing: tokio::sync::Mutex<()>,
    /// A call found it so; that its end be read takes a moment longer.
    broken: AtomicBool,
}

pub struct Client {
    current: watch::Receiver<Option<Arc<Connection>>>,
    next_call: AtomicU64,
    events: broadcast::Sender<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Connects, starting the supervisor where there is none.
    pub async fn start(layout: Layout, command: Vec<OsString>) -> Result<Client> {
        let first = connect_or_start(&layout, &command).await.map_err(|error| Error::Unavailable(error.to_string()))?;
        let (sender, current) = watch::channel(None);
        let (events, _) = broadcast::channel(EVENT_CAPACITY);
        let task = tokio::spawn(keep_connected(first, layout, command, sender, events.clone()));
        Ok(Client { current, next_call: AtomicU64::new(1), events, task })
    }

    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// A call whose connection breaks may have been done or not.
    pub async fn call(&self, request: Request) -> Result<Reply> {
        let connection = self.connection().await?;
        let id = self.next_call.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        connection.waiting.lock().insert(id, sender);
        if let Err(error) = connection.write(&encode(&Call { id, request })).await {
            connection.waiting.lock().remove(&id);
            connection.broken.store(true, Ordering::Relaxed);
            return Err(Error::Unavailable(error.to_string()));
        }
        receiver.await.unwrap_or_else(|_| Err(Error::Unavailable("the connection broke".to_owned())))
    }

    /// A call that changes nothing: asked again when the connection broke.
    pub async fn ask(&self, request: impl Fn() -> Request) -> Result<Reply> {
        match self.call(request()).await {
            Err(Error::Unavailable(_)) => self.call(request()).await,
            other => other,
        }
    }

    /// A call that answers nothing but its success.
    pub async fn order(&self, request: Request) -> Result<()> {
        self.call(request).await.map(|_| ())
    }

    async fn connection(&self) -> Result<Arc<Connection>> {
        let mut current = self.current.clone();
        let usable = |connection: &Option<Arc<Connection>>| {
            connection.as_ref().is_some_and(|connection| !connection.broken.load(Ordering::Relaxed))
        };
        let found = tokio::time::timeout(AWAY_TIMEOUT, current.wait_for(usable)).await;
        match found {
            Ok(Ok(connection)) => Ok(connection.clone().expect("it was waited for")),
            _ => Err(Error::Unavailable("there is no connection".to_owned())),
        }
    }
}

async fn keep_connected(
    first: UnixStream,
    layout: Layout,
    command: Vec<OsString>,
    current: watch::Sender<Option<Arc<Connection>>>,
    events: broadcast::Sender<Event>,
) {
    let mut stream = first;
    loop {
        let connection = Arc::new(Connection {
            stream,
            waiting: Mutex::default(),
            execs: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            broken: AtomicBool::new(false),
        });
        current.send_replace(Some(connection.clone()));
        let error = connection.read(&events).await;
        current.send_replace(None);
        connection.fail_all();
        tracing::warn!(%error, "the supervisor is away");
        stream = reconnect(&layout, &command).await;
        tell(&events, Event::Lagged);
    }
}

async fn reconnect(layout: &Layout, command: &[OsString]) -> UnixStream {
    let mut delay = RETRY_FIRST;
    loop {
        match connect_or_start(layout, command).await {
            Ok(stream) => return stream,
            Err(error) => tracing::warn!(%error, "the supervisor does not start"),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY_MOST);
    }
}

async fn connect_or_start(layout: &Layout, command: &[OsString]) -> io::Result<UnixStream> {
    if let Ok(stream) = UnixStream::connect(layout.socket()).await {
        return Ok(stream);
    }
    let (program, args) = command.split_first().ok_or_else(|| io::Error::other("no command for the supervisor"))?;
    let mut process = tokio::process::Command::new(program);
    process.args(args).arg("--root").arg(&layout.root).arg("--run").arg(&layout.run).stdin(std::process::Stdio::null());
    let status = process.status().await?;
    if !status.success() {
        return Err(io::Error::other(format!(
            "the supervisor did not start: {status}; see {}",
            layout.root.join("supervisor.log").display()
        )));
    }
    UnixStream::connect(layout.socket()).await
}

/// Nobody listening is no error.
fn tell(events: &broadcast::Sender<Event>, event: Event) {
    if events.send(event).is_err() {
        tracing::trace!("nobody listens for container events");
    }
}

impl Connection {
    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let _turn = self.writing.lock().await;
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads until the connection ends, and answers why.
    async fn read(&self, events: &broadcast::Sender<Event>) -> io::Error {
        let mut inbox = Inbox::default();
        loop {
            if let Err(error) = self.stream.readable().await {
                return error;
            }
            match self.stream.try_io(Interest::READABLE, || inbox.fill(self.stream.as_raw_fd())) {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return error,
            }
            loop {
                match inbox.next::<Message>() {
                    Ok(Some(message)) => self.take(message, &mut inbox, events),
                    Ok(None) => break,
                    Err(error) => return error,
                }
            }
        }
    }

    fn take(&self, message: Message, inbox: &mut Inbox, events: &broadcast::Sender<Event>) {
        let count = message.fds().min(inbox.fds.len());
        let fds = inbox.fds.drain(..count).collect();
        match message {
            Message::Reply { id, result, .. } => self.answer(id, result, fds),
            Message::Started { sandbox, container } => {
                tell(events, Event::Started { sandbox_id: sandbox, container_id: container })
            }
            Message::Exited { sandbox, container } => {
                tell(events, Event::Exited { sandbox_id: sandbox, container_id: container })
            }
            Message::ExecExited { exec, code } => {
                if let (Some(sender), Some(code)) = (self.execs.lock().remove(&exec), code)
                    && sender.send(code).is_err()
                {
                    tracing::trace!(exec, "nobody waits for the exec");
                }
            }
        }
    }

    fn answer(&self, id: u64, result: std::result::Result<Answer, Failure>, fds: Vec<OwnedFd>) {
        let Some(waiting) = self.waiting.lock().remove(&id) else { return };
        let reply = result.map(|answer| Reply { exit: self.exit_of(&answer), answer, fds }).map_err(Error::from);
        if waiting.send(reply).is_err() {
            tracing::trace!(id, "nobody waits for the answer");
        }
    }

    /// Listens for the end of an exec before the caller can know of it.
    fn exit_of(&self, answer: &Answer) -> Option<oneshot::Receiver<i32>> {
        let Answer::Streams { exec: exec @ 1.., .. } = answer else { return None };
        let (sender, receiver) = oneshot::channel();
        self.execs.lock().insert(*exec, sender);
        Some(receiver)
    }

    fn fail_all(&self) {
        self.waiting.lock().clear();
        self.execs.lock().clear();
    }
}

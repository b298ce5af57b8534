//! From a container's streams to its log and to whoever is attached.
//!
//! Output runs through named pipes that the container holds open for reading too: when a supervisor dies, the container goes on
//! writing, and the next supervisor goes on reading. Terminals cannot be handed on; their containers get a hang-up.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe2, read, write};

use super::containers::Container;
use super::{Source, Supervisor, Waiter};
use crate::api::ContainerState;
use crate::wire::{Answer, Failure, StreamKind};

/// Bytes read from one stream before others get their turn.
const READ_SIZE: usize = 64 << 10;
/// What an attached client may be behind before it is cut off: the container never waits for it.
const SINK_SIZE: i32 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout = 0,
    Stderr = 1,
}

/// An attached client's pipes.
pub struct Sink {
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// Whether there may be more.
#[derive(PartialEq, Eq)]
enum Progress {
    Read,
    Nothing,
    Ended,
}

pub fn make_pipe(path: &Path) -> io::Result<()> {
    Ok(mkfifo(path, Mode::from_bits_truncate(0o600))?)
}

/// The container's end of a pipe.
pub fn open_inner(path: &Path) -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).write(true).open(path)?.into())
}

/// The supervisor's end; the other must be open, or be opened before it is read.
pub fn open_outer(path: &Path) -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?.into())
}

impl Supervisor {
    pub(super) fn copy_output(&mut self, id: &str, stream: Stream) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if container.copy(stream) == Progress::Ended
            && let Some(fd) = container.output(stream).take()
        {
            self.close(fd);
        }
    }

    /// Reads what an ended container left in its pipes, and closes them.
    pub(super) fn finish_output(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let mut closed = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            while container.copy(stream) == Progress::Read {}
            closed.extend(container.output(stream).take());
        }
        if let Some(mut log) = container.log.take()
            && let Err(error) = log.finish(clock::now())
        {
            eprintln!("the log of {id} is incomplete: {error}");
        }
        container.sinks.clear();
        container.stdin = None;
        container.terminal = None;
        for fd in closed {
            self.close(fd);
        }
    }

    pub(super) fn watch_output(&mut self, id: &str, stream: Stream, fd: OwnedFd) -> io::Result<()> {
        self.watch(fd.as_raw_fd(), Source::Output(id.to_owned(), stream))?;
        if let Some(container) = self.containers.get_mut(id) {
            *container.output(stream) = Some(fd);
        }
        Ok(())
    }

    pub(super) fn reopen_log(&mut self, id: &str) -> Result<(), Failure> {
        let container = self.container_mut(id)?;
        match &mut container.log {
            Some(log) => Ok(log.reopen()?),
            None => Err(Failure::InvalidArgument(format!("container \"{id}\" is not running"))),
        }
    }

    pub(super) fn attach(&mut self, waiter: Waiter, id: &str) -> Result<(), Failure> {
        let container = self.container_mut(id)?;
        if container.record.status.state != ContainerState::Running {
            return Err(Failure::InvalidArgument(format!("container \"{id}\" is not running")));
        }
        let streams = container.attach()?;
        let (kinds, fds) = streams.into_iter().unzip();
        self.reply(waiter, Ok(Answer::Streams { exec: 0, kinds }), fds);
        Ok(())
    }
}

impl Container {
    pub fn output(&mut self, stream: Stream) -> &mut Option<OwnedFd> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Copies one read's worth.
    fn copy(&mut self, stream: Stream) -> Progress {
        let Some(fd) = self.output(stream) else { return Progress::Nothing };
        let mut buffer = [0; READ_SIZE];
        let length = match read(&*fd, &mut buffer) {
            Ok(0) => return Progress::Ended,
            Ok(length) => length,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Progress::Nothing,
            // A terminal without a process at its other end.
            Err(_) => return Progress::Ended,
        };
        if let Some(log) = &mut self.log
            && let Err(error) = log.write(stream, &buffer[..length], clock::now())
        {
            eprintln!("output of {} is lost: {error}", self.record.status.id);
        }
        self.sinks.retain(|sink| sink.take(stream, &buffer[..length]));
        Progress::Read
    }

    /// The client's ends of new pipes behind the log, and the ends that feed the container.
    fn attach(&mut self) -> io::Result<Vec<(StreamKind, OwnedFd)>> {
        let mut streams = Vec::new();
        if let Some(terminal) = &self.terminal {
            streams.push((StreamKind::Tty, terminal.try_clone()?));
        } else if let Some(stdin) = &self.stdin {
            streams.push((StreamKind::Stdin, stdin.try_clone()?));
            if self.record.stdin_once {
                // The client's end is the last: when it closes, the container reads the end.
                self.stdin = None;
            }
        }
        let (client, ours) = sink_pipe()?;
        streams.push((StreamKind::Stdout, client));
        let mut sink = Sink { stdout: Some(ours), stderr: None };
        if self.terminal.is_none() {
            let (client, ours) = sink_pipe()?;
            streams.push((StreamKind::Stderr, client));
            sink.stderr = Some(ours);
        }
        self.sinks.push(sink);
        Ok(streams)
    }
}

fn sink_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (client, ours) = pipe2(OFlag::O_CLOEXEC)?;
    make_nonblocking(&ours);
    // SAFETY: the descriptor is open. A smaller pipe is no error.
    unsafe { libc::fcntl(ours.as_raw_fd(), libc::F_SETPIPE_SZ, SINK_SIZE) };
    Ok((client, ours))
}

pub fn make_nonblocking(fd: &OwnedFd) {
    // SAFETY: the descriptor is open.
    unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

impl Sink {
    /// False when the client is gone or too far behind.
    fn take(&self, stream: Stream, bytes: &[u8]) -> bool {
        let fd = if stream == Stream::Stdout { &self.stdout } else { &self.stderr };
        fd.as_ref().is_none_or(|fd| write(fd, bytes) == Ok(bytes.len()))
    }
}

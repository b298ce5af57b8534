//! What agent and supervisor say to each other: frames of a length (u32, big endian) and JSON, with file descriptors beside them.
//!
//! A message says how many descriptors belong to it; they arrive in order, so both sides keep them in a queue.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::{ContainerConfig, Error, Resources, SandboxConfig};
use crate::plan::ContainerPlan;
use crate::record::{ContainerRecord, SandboxRecord};

/// No message is longer; a longer one ends the connection.
pub const MAX_FRAME: usize = 32 << 20;
/// Descriptors that one message may carry.
const MAX_FDS: usize = 8;

#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    pub id: u64,
    pub request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    CreateSandbox {
        id: String,
        config: Box<SandboxConfig>,
    },
    /// The network is attached: containers may start.
    SandboxReady {
        id: String,
        ips: Vec<IpAddr>,
    },
    /// Gives its namespaces back; the record stays.
    StopSandbox {
        id: String,
    },
    RemoveSandbox {
        id: String,
    },
    ListSandboxes,
    CreateContainer {
        id: String,
        sandbox: String,
        config: Box<ContainerConfig>,
        image: String,
        plan: Box<ContainerPlan>,
    },
    StartContainer {
        id: String,
    },
    /// Sends a signal to the first process; with 0, the container's stop signal.
    SignalContainer {
        id: String,
        signal: i32,
    },
    /// Answered when the container has ended.
    WaitContainer {
        id: String,
    },
    RemoveContainer {
        id: String,
    },
    ListContainers,
    Container {
        id: String,
    },
    UpdateResources {
        id: String,
        resources: Resources,
    },
    ReopenLog {
        id: String,
    },
    Exec {
        id: String,
        command: Vec<String>,
        stdin: bool,
        tty: bool,
    },
    KillExec {
        exec: u64,
    },
    Attach {
        id: String,
    },
}

/// What travels from the supervisor to an agent.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    Reply { id: u64, fds: usize, result: Result<Answer, Failure> },
    Started { sandbox: String, container: String },
    Exited { sandbox: String, container: String },
    ExecExited { exec: u64, code: Option<i32> },
}

impl Message {
    /// Descriptors that belong to the message.
    pub fn fds(&self) -> usize {
        match self {
            Message::Reply { fds, .. } => *fds,
            _ => 0,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Sandboxes(Vec<SandboxRecord>),
    Containers(Vec<ContainerRecord>),
    /// The descriptors are these, in order. Attaching is exec number 0, which has no end.
    Streams {
        exec: u64,
        kinds: Vec<StreamKind>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamKind {
    Stdin,
    Stdout,
    Stderr,
    Tty,
}

/// An [`Error`] on its way.
#[derive(Debug, Serialize, Deserialize)]
pub enum Failure {
    NotFound(String),
    AlreadyExists(String),
    InvalidArgument(String),
    NoSpace(String),
    Runtime(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::NotFound(what) => Error::NotFound(what),
            Failure::AlreadyExists(what) => Error::AlreadyExists(what),
            Failure::InvalidArgument(what) => Error::InvalidArgument(what),
            Failure::NoSpace(what) => Error::NoSpace(what),
            Failure::Runtime(what) => Error::Runtime(what),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::NoSpace(error.to_string()),
            _ => Failure::Runtime(error.to_string()),
        }
    }
}

/// One message as a frame.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).expect("messages are plain data");
    let length = u32::try_from(frame.len() - 4).expect("messages are shorter than 4 GiB");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Bytes and descriptors that arrived and are not yet messages.
#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    pub fds: VecDeque<OwnedFd>,
}

impl Inbox {
    /// Reads once from the socket; `Ok(0)` is the end, `WouldBlock` is for later.
    pub fn fill(&mut self, socket: RawFd) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        let mut control = nix::cmsg_space!([RawFd; MAX_FDS]);
        let (length, fds) = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let received = recvmsg::<UnixAddr>(socket, &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
            (received.bytes, received_fds(received.cmsgs()?))
        };
        self.bytes.extend_from_slice(&buffer[..length]);
        self.fds.extend(fds);
        Ok(length)
    }

    /// What arrived and was not taken as a message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The next whole message, if it is here.
    pub fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(header) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"));
        }
        let Some(body) = self.bytes.get(4..4 + length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.bytes.drain(..4 + length);
        Ok(Some(message))
    }
}

fn received_fds<'a>(messages: impl Iterator<Item = ControlMessageOwned> + 'a) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    for message in messages {
        if let ControlMessageOwned::ScmRights(raw) = message {
            // SAFETY: the kernel just made these descriptors for this process and nobody else knows them.
            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    fds
}

/// Sends once, with descriptors beside the first byte; answers how many bytes went.
pub fn send(socket: RawFd, bytes: &[u8], fds: &[OwnedFd]) -> io::Result<usize> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    Ok(sendmsg::<UnixAddr>(socket, &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn messages_and_descriptors_arrive_in_order_whatever_the_cuts() {
        let (left, right) = UnixStream::pair().unwrap();
        let (_, writer) = nix::unistd::pipe().unwrap();
        let frame = encode(&Message::Reply { id: 1, fds: 1, result: Ok(Answer::Done) });
        let (head, tail) = frame.split_at(5);
        send(left.as_raw_fd(), head, &[writer]).unwrap();
        let mut inbox = Inbox::default();
        inbox.fill(right.as_raw_fd()).unwrap();
        assert!(inbox.next::<Message>().unwrap().is_none());
        send(left.as_raw_fd(), tail, &[]).unwrap();
        inbox.fill(right.as_raw_fd()).unwrap();
        let message: Message = inbox.next().unwrap().unwrap();
        assert_eq!((message.fds(), inbox.fds.len()), (1, 1));
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused() {
        let mut inbox = Inbox { bytes: u32::MAX.to_be_bytes().to_vec(), ..Inbox::default() };
        assert!(inbox.next::<Message>().is_err());
    }
}

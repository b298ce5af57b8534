//! What helper processes tell the supervisor, one packet each. The end of the stream without a failure means: the program runs.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::wire::{Inbox, send};

/// Where helper processes find their socket.
pub const SOCKET_FD: RawFd = 3;
/// Where the process that joins a container finds its plan.
pub const PLAN_FD: RawFd = 4;
/// Longer messages are cut: a packet must fit the socket's buffer.
const MAX_MESSAGE: usize = 8 << 10;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The process is there and waits to be let go (create), or goes on by itself (exec, pause).
    Made {
        pid: i32,
    },
    /// The controlling end of the terminal comes along.
    Terminal,
    Failed {
        message: String,
    },
}

/// The helper's end of the socket. It is inherited by number and stays open across forks, until an exec closes it.
#[derive(Clone, Debug)]
pub struct Socket {
    fd: RawFd,
}

impl Socket {
    pub fn inherited() -> Socket {
        // SAFETY: the flag is set on a descriptor that the supervisor opened for this process.
        unsafe { libc::fcntl(SOCKET_FD, libc::F_SETFD, libc::FD_CLOEXEC) };
        Socket { fd: SOCKET_FD }
    }

    /// Tells the supervisor; when it is not there any more, nobody is left to care.
    pub fn send(&self, report: &Report, fds: &[OwnedFd]) {
        let report = match report {
            Report::Failed { message } if message.len() > MAX_MESSAGE => {
                &Report::Failed { message: message.chars().take(MAX_MESSAGE).collect() }
            }
            other => other,
        };
        let packet = serde_json::to_vec(report).expect("reports are plain data");
        if let Err(error) = send(self.fd, &packet, fds) {
            tracing::debug!(%error, "the supervisor is gone");
        }
    }

    /// Waits until the supervisor lets the process go; false when it is gone.
    pub fn wait(&self) -> bool {
        let mut byte = [0u8; 1];
        loop {
            // SAFETY: the buffer is one byte long and lives through the call.
            let read = unsafe { libc::recv(self.fd, byte.as_mut_ptr().cast(), 1, 0) };
            if read < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return read == 1;
        }
    }
}

/// The supervisor's side: the next report, `None` at the end of the stream.
pub fn receive(socket: &OwnedFd) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
    let mut inbox = Inbox::default();
    let length = inbox.fill(socket.as_raw_fd())?;
    let fd = inbox.fds.pop_front();
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(inbox.bytes())?, fd)))
}

/// Opens descriptor `fd` of this process as an owned one; call it once for each number.
pub fn take(fd: RawFd) -> OwnedFd {
    // SAFETY: the supervisor opened this number for this process, and nothing else here uses it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

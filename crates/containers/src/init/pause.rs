//! The first process of a PID namespace that a pod's containers share: it reaps what is left to it and does nothing else.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{getpid, setsid};

use super::report::{Report, Socket};

pub fn run(socket: &Socket) -> Result<(), String> {
    setsid().map_err(|error| error.to_string())?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGTERM);
    signals.thread_block().map_err(|error| error.to_string())?;
    socket.send(&Report::Made { pid: getpid().as_raw() }, &[]);
    close_everything().map_err(|error| error.to_string())?;
    loop {
        match signals.wait() {
            Ok(Signal::SIGTERM) => return Ok(()),
            _ => {
                while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
                {
                }
            }
        }
    }
}

fn close_everything() -> io::Result<()> {
    // SAFETY: nothing of this process uses a descriptor from here on.
    if unsafe { libc::close_range(0, u32::MAX, 0) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

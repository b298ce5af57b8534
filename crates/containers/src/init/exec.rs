//! Joins a running container: its cgroups, then all its namespaces at once, then the same last steps as its first process.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::unistd::{ForkResult, fork, getpid, setsid};

use super::process::{self, Purpose};
use super::report::{PLAN_FD, Report, Socket, take};
use super::{EXIT_NOT_STARTED, credentials};
use crate::cgroup::Cgroups;
use crate::plan::{CreatePlan, ExecPlan};
use crate::record::Process;

const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// The error text of upstream's runtimes, up to the cause.
const EXEC_ERROR: &str = "OCI runtime exec failed: exec failed: unable to start container process";

pub fn run(directory: &Path, socket: &Socket) -> Result<(), String> {
    let exec: ExecPlan = serde_json::from_reader(File::from(take(PLAN_FD))).map_err(|error| error.to_string())?;
    let create: CreatePlan = crate::record::load(&directory.join("create.json")).map_err(|error| error.to_string())?;
    let target = Process { pid: exec.pid, start_time: exec.start_time };
    enter(&target, &create.cgroup).map_err(|error| format!("{EXEC_ERROR}: cannot join the container: {error}"))?;
    let mut process = create.container.process;
    process.args = exec.command;
    process.tty = exec.tty;
    if process.tty && !process.env.iter().any(|(name, _)| name == "TERM") {
        process.env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(|error| error.to_string())? {
        ForkResult::Parent { child } => socket.send(&Report::Made { pid: child.as_raw() }, &[]),
        ForkResult::Child => {
            let cause = match setsid() {
                Ok(_) => {
                    let Err(error) = process::run(&process, Purpose::Joining, socket);
                    error
                }
                Err(error) => error.to_string(),
            };
            socket.send(&Report::Failed { message: format!("{EXEC_ERROR}: {cause}: unknown") }, &[]);
            std::process::exit(EXIT_NOT_STARTED);
        }
    }
    Ok(())
}

fn enter(target: &Process, cgroup: &str) -> io::Result<()> {
    // Nothing in the container may look into this process while it still belongs to the host.
    credentials::make_undumpable()?;
    let pidfd = open_pidfd(target.pid)?;
    if !target.is_there() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    Cgroups::detect()?.join(cgroup, getpid().as_raw())?;
    // SAFETY: the descriptor is open; the call changes this single-threaded process alone.
    if unsafe { libc::setns(pidfd.as_raw_fd(), NAMESPACES) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A handle of a process that stays its own when the number is used again.
pub fn open_pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; the result is a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor, close-on-exec already.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

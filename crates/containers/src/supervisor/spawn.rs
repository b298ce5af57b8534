//! Starting the helper processes of [`crate::init`].

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::output::make_nonblocking;
use crate::init::report::{PLAN_FD, SOCKET_FD};

/// The descriptors of a new process.
pub struct Streams {
    pub stdin: Stdio,
    pub stdout: Stdio,
    pub stderr: Stdio,
    /// Comes as descriptor 4.
    pub plan: Option<OwnedFd>,
}

impl Streams {
    pub fn null() -> Streams {
        Streams { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::null(), plan: None }
    }
}

/// Starts `container-init` with these arguments; answers our end of its report socket. The process is reaped with all others.
pub fn helper<A: AsRef<OsStr>>(name: &str, args: &[A], streams: Streams) -> io::Result<(OwnedFd, i32)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let report = theirs.as_raw_fd();
    let plan = streams.plan.as_ref().map(AsRawFd::as_raw_fd);
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name).arg("container-init").args(args);
    command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr).env_clear();
    // SAFETY: the closure only copies descriptors, which is allowed between fork and exec.
    unsafe { command.pre_exec(move || place(report, plan)) };
    let child = command.spawn()?;
    make_nonblocking(&ours);
    Ok((ours, child.id() as i32))
}

/// Puts the two descriptors at their numbers, whatever they were; copies do not close at exec.
fn place(report: RawFd, plan: Option<RawFd>) -> io::Result<()> {
    let above = PLAN_FD + 1;
    // SAFETY: plain system calls on descriptors of this process, which is about to exec.
    unsafe {
        let report = libc::fcntl(report, libc::F_DUPFD_CLOEXEC, above);
        let plan = plan.map(|fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above));
        if report < 0
            || libc::dup2(report, SOCKET_FD) < 0
            || plan.is_some_and(|fd| fd < 0 || libc::dup2(fd, PLAN_FD) < 0)
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Starts the first process of a new PID namespace. `directory` is the sandbox's, by which it is known.
pub fn pause(directory: &Path) -> io::Result<(OwnedFd, i32)> {
    // Children land in the new namespace; this process itself stays where it is, and goes back to making children there.
    let own = File::open("/proc/self/ns/pid")?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    let started = helper("/pause", &[OsStr::new("pause"), directory.as_os_str()], Streams::null());
    setns(own, CloneFlags::CLONE_NEWPID)?;
    started
}

/// Helpers, and what they made that runs no program yet, whose directory is below `root`.
pub fn unfinished(root: &Path) -> io::Result<Vec<i32>> {
    find(|command| is_helper_of(command, root))
}

/// The supervisor of `root`, and its helpers.
pub fn processes_of(root: &Path) -> io::Result<Vec<i32>> {
    find(|command| is_helper_of(command, root) || is_supervisor_of(command, root))
}

fn find(wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ends meanwhile is none.
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if wanted(&command) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// `NAME container-init VERB DIRECTORY`, each ended by a zero byte.
fn is_helper_of(command: &[u8], root: &Path) -> bool {
    let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    words.get(1) == Some(&&b"container-init"[..])
        && words.get(3).is_some_and(|directory| Path::new(OsStr::from_bytes(directory)).starts_with(root))
}

/// `PROGRAM... supervisor --root ROOT ...`
fn is_supervisor_of(command: &[u8], root: &Path) -> bool {
    let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    words.windows(2).any(|pair| pair == [b"--root", root.as_os_str().as_bytes()]) && words.contains(&&b"supervisor"[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_known_by_their_directory() {
        let root = Path::new("/var/lib/keelson");
        assert!(is_helper_of(b"x\0container-init\0create\0/var/lib/keelson/containers/1\0", root));
        assert!(!is_helper_of(b"x\0container-init\0create\0/var/lib/keelson-2/containers/1\0", root));
        assert!(!is_helper_of(b"keelson\0supervisor\0--root\0/var/lib/keelson\0", root));
        assert!(!is_helper_of(b"", root));
        assert!(is_supervisor_of(b"keelson\0supervisor\0--root\0/var/lib/keelson\0--run\0/run/k\0", root));
        assert!(!is_supervisor_of(b"keelson\0supervisor\0--root\0/var/lib/keelson-2\0", root));
    }
}

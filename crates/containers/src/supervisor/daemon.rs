//! Leaving the process that started it: own session, no inherited descriptors, own cgroup, children of children come to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::exit;

use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::mount::{MsFlags, mount};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{ForkResult, fork, getpid, pipe2, setsid};

use crate::cgroup::Cgroups;
use crate::init::report::{PLAN_FD, SOCKET_FD};
use crate::record::Layout;

/// Helpers find descriptors at these numbers, so nothing of the supervisor may live there.
const RESERVED: [RawFd; 2] = [SOCKET_FD, PLAN_FD];
/// Where the pipe to the starting process is kept while everything else is closed.
const READY_FD: RawFd = PLAN_FD + 1;
const OOM_SCORE_ADJ: &str = "-999";

/// Tells the starting process that the socket answers.
pub struct Ready(File);

impl Ready {
    pub fn tell(mut self) {
        if let Err(error) = self.0.write_all(b"1") {
            eprintln!("the process that started the supervisor is gone: {error}");
        }
    }
}

pub fn run(layout: Layout, serve: fn(Layout, Ready) -> io::Result<()>) -> ! {
    if let Err(error) = prepare(&layout) {
        eprintln!("the supervisor cannot start: {error}");
        exit(1);
    }
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap_or_else(|error| fail(&error.into()));
    // SAFETY: this process has one thread, here and at the second fork.
    match unsafe { fork() }.unwrap_or_else(|error| fail(&error.into())) {
        ForkResult::Parent { .. } => {
            drop(writer);
            let mut answer = [0; 1];
            exit(if matches!(File::from(reader).read(&mut answer), Ok(1)) { 0 } else { 1 });
        }
        ForkResult::Child => detach(&layout, writer)
            .and_then(|ready| lock_and_serve(layout, ready, serve))
            .unwrap_or_else(|error| fail(&error)),
    }
    exit(0)
}

fn fail(error: &io::Error) -> ! {
    eprintln!("the supervisor ends: {error}");
    exit(1)
}

/// Records hold the environments of containers, and layers may hold setuid programs: none of it is for the host's other users.
fn prepare(layout: &Layout) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    for directory in ["sandboxes", "containers", "trash"] {
        builder.create(layout.root.join(directory))?;
    }
    builder.create(layout.run.join("sandboxes"))
}

fn detach(layout: &Layout, writer: OwnedFd) -> io::Result<Ready> {
    setsid()?;
    // SAFETY: see above.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        exit(0);
    }
    let log = OpenOptions::new().create(true).append(true).open(layout.root.join("supervisor.log"))?;
    let null = File::open("/dev/null")?;
    let writer = writer.into_raw_fd();
    // SAFETY: numbers are replaced and closed that nothing of this process refers to any more: only the standard streams and the
    // pipe are used from here on.
    unsafe {
        libc::dup2(null.as_raw_fd(), 0);
        libc::dup2(log.as_raw_fd(), 1);
        libc::dup2(log.as_raw_fd(), 2);
        // By way of a high number: the pipe may stand where something else belongs.
        let pipe = libc::fcntl(writer, libc::F_DUPFD_CLOEXEC, READY_FD + 1);
        let zero = libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, READY_FD + 1);
        libc::dup2(pipe, READY_FD);
        for number in RESERVED {
            libc::dup3(zero, number, libc::O_CLOEXEC);
        }
        libc::fcntl(READY_FD, libc::F_SETFD, libc::FD_CLOEXEC);
        std::mem::forget((log, null));
        libc::close_range((READY_FD + 1) as u32, u32::MAX, 0);
        libc::umask(0o022);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_NAME, c"supervisor".as_ptr(), 0, 0, 0);
    }
    std::env::set_current_dir("/")?;
    // SAFETY: the number was just made and nothing else owns it.
    Ok(Ready(unsafe { File::from_raw_fd(READY_FD) }))
}

fn lock_and_serve(layout: Layout, ready: Ready, serve: fn(Layout, Ready) -> io::Result<()>) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(layout.run.join("supervisor.lock"))?;
    let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
        ready.tell();
        return Ok(());
    };
    keep_mounts_private(&layout.run)?;
    settle(&layout);
    serve(layout, ready)
}

/// Mounts below the run directory are this host's alone: nothing in a container's propagation sees them.
fn keep_mounts_private(run: &Path) -> io::Result<()> {
    let mounted = fs::read_to_string("/proc/self/mountinfo")?;
    let name = run.to_string_lossy();
    if !mounted.lines().any(|line| line.split(' ').nth(4) == Some(&name)) {
        mount(Some(run), run, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    }
    Ok(mount(None::<&str>, run, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?)
}

/// What helps a process that should outlive its starter, and is no reason to fail.
fn settle(layout: &Layout) {
    let group = format!("{}/supervisor", layout.cgroup());
    let joined = Cgroups::detect().and_then(|cgroups| {
        cgroups.create(&group, &crate::api::Resources::default())?;
        cgroups.join(&group, getpid().as_raw())
    });
    if let Err(error) = joined {
        eprintln!("no cgroup of its own: {error}");
    }
    if let Err(error) = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ) {
        eprintln!("the kernel's memory killer may choose the supervisor: {error}");
    }
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        eprintln!("cannot raise the limit of open files: {error}");
    }
}

pub fn listen(layout: &Layout) -> io::Result<UnixListener> {
    let path = layout.socket();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

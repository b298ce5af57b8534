//! What a new supervisor does with the state of the last one: takes over what runs, settles what ended, removes what is no one's.
//!
//! Lost with a supervisor: the exit code of a container that ended meanwhile on a kernel that cannot tell it (before 6.15), the
//! beginning of a line that had no end yet, output still in the pipe of a container that ended meanwhile, and terminals.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::containers::Container;
use super::logs::Log;
use super::output::{self, Stream};
use super::sandboxes::pause_group;
use super::{Source, Supervisor, namespaces, spawn};
use crate::api::{ContainerState, SandboxState};
use crate::init::open_pidfd;
use crate::record::{self, ContainerRecord, SandboxRecord};

/// How long the parent of an ended process may take to reap it, so that its exit code can be read.
const REAP_TIMEOUT: Duration = Duration::from_secs(10);
/// Killed processes may have forked just before; those are found in the next round.
const UNFINISHED_ROUNDS: usize = 100;
/// How often it is looked whether that time is over.
const OVERDUE_INTERVAL_MS: u16 = 500;
/// `PIDFD_GET_INFO` with its first layout, and the bit that asks for the exit code.
const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

impl Supervisor {
    pub(super) fn recover(&mut self) -> io::Result<()> {
        self.recover_sandboxes()?;
        self.end_unfinished()?;
        self.recover_containers()?;
        self.release_strays()?;
        let root = self.layout.cgroup();
        self.remove_stray_groups(&root);
        Ok(())
    }

    fn recover_sandboxes(&mut self) -> io::Result<()> {
        for (id, record) in record::load_all::<SandboxRecord>(&self.layout.root.join("sandboxes"))? {
            let Ok(mut record) = record else {
                fs::remove_dir_all(self.layout.sandbox(&id))?;
                continue;
            };
            if record.boot_id != self.boot_id {
                record.status.state = SandboxState::NotReady;
                record.boot_id.clone_from(&self.boot_id);
                record.pause = None;
            }
            self.sandboxes.insert(id.clone(), record);
            self.save_sandbox(&id)?;
        }
        Ok(())
    }

    /// Kills what the last supervisor had begun: it would go on making groups and mounts that nobody waits for.
    fn end_unfinished(&self) -> io::Result<()> {
        let kept: Vec<i32> = self.sandboxes.values().filter_map(|record| Some(record.pause?.pid)).collect();
        for _ in 0..UNFINISHED_ROUNDS {
            let mut found = spawn::unfinished(&self.layout.root)?;
            found.retain(|pid| !kept.contains(pid));
            if found.is_empty() {
                break;
            }
            for pid in found {
                if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
                    eprintln!("an unfinished process is gone already: {error}");
                }
            }
        }
        Ok(())
    }

    fn recover_containers(&mut self) -> io::Result<()> {
        for (id, record) in record::load_all::<ContainerRecord>(&self.layout.root.join("containers"))? {
            let Ok(record) = record else {
                fs::rename(self.layout.container(&id), self.layout.root.join("trash").join(&id))?;
                continue;
            };
            let state = record.status.state;
            self.containers.insert(id.clone(), Container::new(record));
            match state {
                ContainerState::Exited => {}
                // Its process has gone with the supervisor that it waited for; whoever asked was told of an error.
                ContainerState::Created => self.discard_container(&id),
                ContainerState::Running => self.take_over(&id)?,
            }
        }
        Ok(())
    }

    fn take_over(&mut self, id: &str) -> io::Result<()> {
        let Some(container) = self.containers.get_mut(id) else { return Ok(()) };
        let process =
            container.record.process.filter(|process| container.record.boot_id == self.boot_id && process.is_there());
        let pidfd = process.and_then(|process| open_pidfd(process.pid).ok().filter(|_| process.is_there()));
        container.log = Some(Log::open(&container.record.status.log_path)?);
        let tty = container.record.tty;
        let Some(pidfd) = pidfd else {
            self.container_ended(id, None);
            return Ok(());
        };
        self.watch_for(pidfd.as_raw_fd(), Source::Adopted(id.to_owned()), EpollFlags::EPOLLIN)?;
        if let Some(container) = self.containers.get_mut(id) {
            container.pidfd = Some(pidfd);
        }
        if !tty {
            for (stream, name) in [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")] {
                let fd = output::open_outer(&self.layout.container(id).join(name))?;
                self.watch_output(id, stream, fd)?;
            }
        }
        Ok(())
    }

    /// A process ended that is not our child. Its exit code is known when its parent has reaped it.
    pub(super) fn adopted_ended(&mut self, id: &str, flags: EpollFlags) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(pidfd) = &container.pidfd else { return };
        match exit_code(pidfd) {
            ExitCode::NotYet if !flags.contains(EpollFlags::EPOLLHUP) => {
                // From now on, only the hang-up is told, which comes with the reaping.
                let fd = pidfd.as_raw_fd() as u64;
                if let Err(error) = self.epoll.modify(pidfd.as_fd(), &mut EpollEvent::new(EpollFlags::empty(), fd)) {
                    eprintln!("the exit code of {id} is lost: {error}");
                }
                container.reaped_until = Some(clock::monotonic() + REAP_TIMEOUT);
            }
            ExitCode::Known(code) => self.container_ended(id, Some(code)),
            ExitCode::NotYet | ExitCode::Unknown => self.container_ended(id, None),
        }
    }

    /// Ends the waiting for parents that do not reap.
    pub(super) fn end_overdue(&mut self) {
        let now = clock::monotonic();
        let overdue = |container: &&Container| container.reaped_until.is_some_and(|until| until <= now);
        let ids: Vec<String> =
            self.containers.values().filter(overdue).map(|container| container.record.status.id.clone()).collect();
        for id in ids {
            self.container_ended(&id, None);
        }
    }

    /// How long the loop may sleep.
    pub(super) fn patience(&self) -> EpollTimeout {
        let waiting = self.containers.values().any(|container| container.reaped_until.is_some());
        if waiting { EpollTimeout::from(OVERDUE_INTERVAL_MS) } else { EpollTimeout::NONE }
    }

    /// Mounts of sandboxes that no record knows, or that are not to come back.
    fn release_strays(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.layout.run.join("sandboxes"))? {
            let entry = entry?;
            let id = entry.file_name().to_string_lossy().into_owned();
            let unknown = !self.sandboxes.contains_key(&id);
            if unknown
                || !self.layout.network_namespace(&id).exists()
                    && self.sandboxes[&id].status.state == SandboxState::NotReady
            {
                namespaces::release(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Kills and removes groups below `group` that belong to nothing known.
    fn remove_stray_groups(&self, group: &str) {
        for child in self.cgroups.children(group) {
            let path = format!("{group}/{child}");
            let inside = format!("{path}/");
            let own = path == format!("{}/supervisor", self.layout.cgroup());
            // What a container has below its own group is its business.
            if own || self.containers.values().any(|container| container.record.cgroup == path) {
                continue;
            }
            let is_pause = |record: &SandboxRecord| record.pause.is_some() && pause_group(&record.cgroup) == path;
            if self.sandboxes.values().any(is_pause) {
                continue;
            }
            let mut known = self
                .sandboxes
                .values()
                .map(|record| &record.cgroup)
                .chain(self.containers.values().map(|container| &container.record.cgroup));
            if known.any(|known| *known == path || known.starts_with(&inside)) {
                self.remove_stray_groups(&path);
                continue;
            }
            self.cgroups.kill(&path);
            if let Err(error) = self.cgroups.remove(&path) {
                eprintln!("a cgroup that belongs to nothing stays: {error}");
            }
        }
    }
}

#[repr(C)]
#[derive(Default)]
struct ProcessInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

enum ExitCode {
    Known(i32),
    /// The parent has not reaped it.
    NotYet,
    /// The kernel does not keep it.
    Unknown,
}

/// The exit code of a process that somebody else reaps.
fn exit_code(pidfd: &OwnedFd) -> ExitCode {
    let mut info = ProcessInfo { mask: PIDFD_INFO_EXIT, ..ProcessInfo::default() };
    // SAFETY: the structure has the layout and size that the request number names, and lives through the call.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    let status = info.exit_code;
    match (result, info.mask & PIDFD_INFO_EXIT) {
        (..0, _) => ExitCode::Unknown,
        (_, 0) => ExitCode::NotYet,
        _ if libc::WIFSIGNALED(status) => ExitCode::Known(128 + libc::WTERMSIG(status)),
        _ => ExitCode::Known(libc::WEXITSTATUS(status)),
    }
}

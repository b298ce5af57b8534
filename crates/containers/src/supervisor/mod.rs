//! The supervisor: parent of every container of the node, one thread, one loop.
//!
//! It makes containers and joins processes to them (through the helpers in [`crate::init`]), copies their output into their logs,
//! reaps them and remembers how they ended, and answers agents over a socket. It takes no decision that the agent can take.
//! It knows nothing that it cannot find again: killed at any moment, its successor rebuilds the state from records, cgroups and
//! processes ([`recover`]).
//!
//! `unsafe`: forks of a process that has one thread, and a few system calls that the wrappers lack.

mod clients;
mod containers;
mod daemon;
mod execs;
mod logs;
mod namespaces;
mod output;
mod recover;
mod sandboxes;
mod spawn;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::cgroup::Cgroups;
use crate::record::{Layout, SandboxRecord};
use crate::wire::{Answer, Call, Failure, Message, Request};
use clients::Client;
use containers::Container;
use execs::Exec;
use output::Stream;
pub(crate) use spawn::processes_of;

/// Events taken from the kernel at once.
const BATCH: usize = 64;

/// Which call waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiter {
    client: RawFd,
    generation: u64,
    call: u64,
}

/// What a descriptor in the poll set belongs to.
#[derive(Clone, Debug)]
enum Source {
    Listener,
    Signals,
    Client,
    /// A container's output.
    Output(String, Stream),
    /// A helper process making or starting a container.
    ContainerReport(String),
    /// A helper process joining a container.
    ExecReport(u64),
    /// The first process of a container that an earlier supervisor started.
    Adopted(String),
}

struct Supervisor {
    layout: Layout,
    cgroups: Cgroups,
    boot_id: String,
    epoll: Epoll,
    sources: HashMap<RawFd, Source>,
    listener: UnixListener,
    signals: SignalFd,
    clients: HashMap<RawFd, Client>,
    sandboxes: BTreeMap<String, SandboxRecord>,
    containers: BTreeMap<String, Container>,
    execs: BTreeMap<u64, Exec>,
    next_exec: u64,
    next_generation: u64,
}

/// Runs the supervisor of the node whose state is under `--root` and whose sockets are under `--run`, as a daemon.
///
/// The calling process ends when the daemon answers on its socket (or another one does already), with a status of 0.
pub fn supervisor_main(args: impl IntoIterator<Item = OsString>) -> ! {
    let args: Vec<OsString> = args.into_iter().collect();
    let value =
        |name: &str| args.iter().position(|arg| arg == name).and_then(|index| args.get(index + 1)).map(PathBuf::from);
    let (Some(root), Some(run)) = (value("--root"), value("--run")) else {
        eprintln!("usage: supervisor --root DIR --run DIR");
        std::process::exit(2);
    };
    daemon::run(Layout { root, run }, serve)
}

/// The daemon's life; `ready` tells the starting process.
fn serve(layout: Layout, ready: daemon::Ready) -> io::Result<()> {
    let mut supervisor = Supervisor::new(layout)?;
    supervisor.recover()?;
    ready.tell();
    loop {
        supervisor.turn()?;
    }
}

impl Supervisor {
    fn new(layout: Layout) -> io::Result<Supervisor> {
        let cgroups = Cgroups::detect()?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let listener = daemon::listen(&layout)?;
        let mut supervisor = Supervisor {
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            sources: HashMap::new(),
            clients: HashMap::new(),
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            next_exec: 1,
            next_generation: 1,
            layout,
            cgroups,
            listener,
            signals,
        };
        let (listener, signals) = (supervisor.listener.as_raw_fd(), supervisor.signals.as_raw_fd());
        supervisor.watch(listener, Source::Listener)?;
        supervisor.watch(signals, Source::Signals)?;
        Ok(supervisor)
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); BATCH];
        let count = match self.epoll.wait(&mut events, self.patience()) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            self.dispatch(event.data() as RawFd, event.events());
        }
        self.end_overdue();
        Ok(())
    }

    fn dispatch(&mut self, fd: RawFd, flags: EpollFlags) {
        // An earlier event of the batch may have closed it.
        let Some(source) = self.sources.get(&fd).cloned() else { return };
        match source {
            Source::Listener => self.accept(),
            Source::Signals => self.reap(),
            Source::Client => self.serve_client(fd, flags),
            Source::Output(id, stream) => self.copy_output(&id, stream),
            Source::ContainerReport(id) => self.read_container_reports(&id),
            Source::ExecReport(exec) => self.read_exec_reports(exec),
            Source::Adopted(id) => self.adopted_ended(&id, flags),
        }
    }

    fn watch(&mut self, fd: RawFd, source: Source) -> io::Result<()> {
        self.watch_for(fd, source, EpollFlags::EPOLLIN)
    }

    fn watch_for(&mut self, fd: RawFd, source: Source, flags: EpollFlags) -> io::Result<()> {
        // SAFETY: the descriptor is open: its owner is in this process and gives it here before it keeps it.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        self.epoll.add(borrowed, EpollEvent::new(flags, fd as u64))?;
        self.sources.insert(fd, source);
        Ok(())
    }

    /// Takes a descriptor out of the poll set and closes it.
    fn close(&mut self, fd: OwnedFd) {
        if self.sources.remove(&fd.as_raw_fd()).is_some()
            && let Err(error) = self.epoll.delete(fd.as_fd())
        {
            eprintln!("cannot stop watching a descriptor: {error}");
        }
    }

    /// Collects every child that has ended.
    fn reap(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid.as_raw(), 128 + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            if !self.child_ended(pid, code) {
                // The report of who it is may be on its way: it was sent before the process could end.
                self.read_all_reports();
                self.child_ended(pid, code);
            }
        }
    }

    /// False for a process that is not known (yet).
    fn child_ended(&mut self, pid: i32, code: i32) -> bool {
        if let Some(id) = self.container_of(pid) {
            self.container_ended(&id, Some(code));
            return true;
        }
        if let Some(exec) = self.exec_of(pid) {
            self.exec_ended(exec, code);
            return true;
        }
        false
    }

    fn read_all_reports(&mut self) {
        let containers: Vec<String> = self
            .containers
            .iter()
            .filter(|(_, container)| container.report.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in containers {
            self.read_container_reports(&id);
        }
        let execs: Vec<u64> = self.execs.iter().filter(|(_, exec)| exec.report.is_some()).map(|(id, _)| *id).collect();
        for exec in execs {
            self.read_exec_reports(exec);
        }
    }

    /// Answers at once, or later through the waiter.
    fn call(&mut self, waiter: Waiter, call: Call) {
        let done = |result: Result<(), Failure>| Some(result.map(|()| Answer::Done));
        let result = match call.request {
            Request::CreateSandbox { id, config } => done(self.create_sandbox(id, *config)),
            Request::SandboxReady { id, ips } => done(self.sandbox_ready(&id, ips)),
            Request::StopSandbox { id } => done(self.stop_sandbox(&id)),
            Request::RemoveSandbox { id } => done(self.remove_sandbox(&id)),
            Request::ListSandboxes => Some(Ok(Answer::Sandboxes(self.sandboxes.values().cloned().collect()))),
            Request::CreateContainer { id, sandbox, config, image, plan } => {
                self.create_container(waiter, id, &sandbox, *config, image, *plan).err().map(Err)
            }
            Request::StartContainer { id } => self.start_container(waiter, &id).err().map(Err),
            Request::SignalContainer { id, signal } => done(self.signal_container(&id, signal)),
            Request::WaitContainer { id } => self.wait_container(waiter, &id).transpose(),
            Request::RemoveContainer { id } => done(self.remove_container(&id)),
            Request::ListContainers => Some(Ok(Answer::Containers(
                self.containers.values().map(|container| container.record.clone()).collect(),
            ))),
            Request::Container { id } => {
                Some(self.container(&id).map(|container| Answer::Containers(vec![container.record.clone()])))
            }
            Request::UpdateResources { id, resources } => done(self.update_resources(&id, &resources)),
            Request::ReopenLog { id } => done(self.reopen_log(&id)),
            Request::Exec { id, command, stdin, tty } => self.exec(waiter, &id, command, stdin, tty).err().map(Err),
            Request::KillExec { exec } => done(self.kill_exec(exec)),
            Request::Attach { id } => self.attach(waiter, &id).err().map(Err),
        };
        if let Some(result) = result {
            self.reply(waiter, result, Vec::new());
        }
    }

    fn reply(&mut self, waiter: Waiter, result: Result<Answer, Failure>, fds: Vec<OwnedFd>) {
        self.send(
            waiter.client,
            Some(waiter.generation),
            &Message::Reply { id: waiter.call, fds: fds.len(), result },
            fds,
        );
    }

    fn container(&self, id: &str) -> Result<&Container, Failure> {
        self.containers.get(id).ok_or_else(|| Failure::NotFound(format!("container \"{id}\"")))
    }

    fn container_mut(&mut self, id: &str) -> Result<&mut Container, Failure> {
        self.containers.get_mut(id).ok_or_else(|| Failure::NotFound(format!("container \"{id}\"")))
    }
}

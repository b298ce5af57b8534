//! Containers, from their making to their removal.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2, write};

use super::logs::Log;
use super::output::{self, Sink, Stream};
use super::spawn::{self, Streams};
use super::{Source, Supervisor, Waiter};
use crate::api::{ContainerConfig, ContainerState, ContainerStatus, Resources, SandboxState};
use crate::init::EXIT_NOT_STARTED;
use crate::init::report::{self, Report};
use crate::plan::{ContainerPlan, CreatePlan, PidNamespace};
use crate::record::{self, ContainerRecord, Durability, Process};
use crate::wire::{Answer, Failure, Message};

/// What nobody saw end is reported with.
pub const EXIT_UNKNOWN: i32 = 255;

/// A container and what this supervisor holds of it.
pub struct Container {
    pub record: ContainerRecord,
    /// The helper's and then the first process's reports, until the program runs.
    pub report: Option<OwnedFd>,
    pub creating: Option<Waiter>,
    pub starting: Option<Waiter>,
    pub waiting: Vec<Waiter>,
    /// Why the program could not be executed.
    pub start_error: Option<String>,
    pub stdin: Option<OwnedFd>,
    /// The controlling end of the terminal.
    pub terminal: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub log: Option<Log>,
    pub sinks: Vec<Sink>,
    /// Of a process that is not our child.
    pub pidfd: Option<OwnedFd>,
    /// It has ended, and until then its exit code may still come.
    pub reaped_until: Option<tokio::time::Instant>,
}

impl Container {
    pub fn new(record: ContainerRecord) -> Container {
        Container {
            record,
            report: None,
            creating: None,
            starting: None,
            waiting: Vec::new(),
            start_error: None,
            stdin: None,
            terminal: None,
            stdout: None,
            stderr: None,
            log: None,
            sinks: Vec::new(),
            pidfd: None,
            reaped_until: None,
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match &self.record.process {
            Some(process) if process.is_there() => Ok(kill(Pid::from_raw(process.pid), signal)?),
            _ => Ok(()),
        }
    }
}

impl Supervisor {
    /// Answers when the container is there, waiting for its start.
    pub(super) fn create_container(
        &mut self,
        waiter: Waiter,
        id: String,
        sandbox: &str,
        config: ContainerConfig,
        image: String,
        plan: ContainerPlan,
    ) -> Result<(), Failure> {
        if self.containers.contains_key(&id) {
            return Err(Failure::AlreadyExists(format!("container \"{id}\"")));
        }
        if self.sandbox_mut(sandbox)?.status.state != SandboxState::Ready {
            return Err(Failure::InvalidArgument(format!("sandbox container \"{sandbox}\" is not running")));
        }
        let record = self.new_container_record(&id, sandbox, &config, image, &plan);
        fs::create_dir(self.layout.container(&id))?;
        let mut container = Container::new(record);
        container.creating = Some(waiter);
        self.containers.insert(id.clone(), container);
        let started = self
            .save_container(&id, Durability::Process)
            .map_err(Failure::from)
            .and_then(|()| self.spawn_container(&id, &config.resources, plan));
        if started.is_err() {
            self.discard_container(&id);
        }
        started
    }

    fn new_container_record(
        &self,
        id: &str,
        sandbox: &str,
        config: &ContainerConfig,
        image: String,
        plan: &ContainerPlan,
    ) -> ContainerRecord {
        let pod = &self.sandboxes[sandbox];
        ContainerRecord {
            status: ContainerStatus {
                id: id.to_owned(),
                sandbox_id: sandbox.to_owned(),
                name: config.name.clone(),
                attempt: config.attempt,
                state: ContainerState::Created,
                created_at: clock::now(),
                started_at: None,
                finished_at: None,
                exit_code: 0,
                reason: String::new(),
                message: String::new(),
                image,
                log_path: pod.config.log_directory.join(&config.name).join(format!("{}.log", config.attempt)),
                pid: None,
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
            },
            process: None,
            boot_id: self.boot_id.clone(),
            cgroup: format!("{}/{id}", pod.cgroup),
            tty: plan.process.tty,
            stdin: plan.stdin,
            stdin_once: plan.stdin_once,
            stop_signal: plan.stop_signal,
        }
    }

    fn spawn_container(&mut self, id: &str, resources: &Resources, plan: ContainerPlan) -> Result<(), Failure> {
        let directory = self.layout.container(id);
        let (sandbox_id, cgroup) = {
            let record = &self.container(id)?.record;
            (record.status.sandbox_id.clone(), record.cgroup.clone())
        };
        for name in ["upper", "work", "rootfs"] {
            fs::create_dir(directory.join(name))?;
        }
        self.cgroups.create(&cgroup, resources)?;
        self.restrict_devices(&cgroup, &plan)?;
        let mut sandbox = self.sandbox_plan(&sandbox_id);
        if let Some(target) = &plan.target_container {
            sandbox.pid = self.pid_namespace_of(target)?;
        }
        let tty = plan.process.tty;
        let create = CreatePlan { id: id.to_owned(), container: plan, sandbox, cgroup };
        record::save(&directory.join("create.json"), &create, Durability::Process)?;
        let streams = self.container_streams(id, &directory, tty, create.container.stdin)?;
        let (report, _) = spawn::helper("container-init", &["create".as_ref(), directory.as_os_str()], streams)?;
        self.watch(report.as_raw_fd(), Source::ContainerReport(id.to_owned()))?;
        self.container_mut(id)?.report = Some(report);
        Ok(())
    }

    /// By the unified hierarchy where there is one; v1's own controller is libcontainer's to set.
    fn restrict_devices(&self, cgroup: &str, plan: &ContainerPlan) -> io::Result<()> {
        match self.cgroups.unified_dir(cgroup) {
            Some(directory) => crate::cgroup::restrict_devices(&directory, &crate::init::device_rules(plan)),
            None => Ok(()),
        }
    }

    fn pid_namespace_of(&self, target: &str) -> Result<PidNamespace, Failure> {
        let process = self.container(target)?.record.process.filter(Process::is_there);
        let process =
            process.ok_or_else(|| Failure::InvalidArgument(format!("container \"{target}\" is not running")))?;
        Ok(PidNamespace::Path(PathBuf::from(format!("/proc/{}/ns/pid", process.pid))))
    }

    /// Makes the container's pipes, keeps our ends and answers theirs. A terminal comes later, from inside.
    fn container_streams(&mut self, id: &str, directory: &Path, tty: bool, stdin: bool) -> Result<Streams, Failure> {
        let mut streams = Streams::null();
        if tty {
            return Ok(streams);
        }
        for (stream, name) in [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")] {
            let path = directory.join(name);
            output::make_pipe(&path)?;
            let inner = output::open_inner(&path)?;
            self.watch_output(id, stream, output::open_outer(&path)?)?;
            match stream {
                Stream::Stdout => streams.stdout = Stdio::from(inner),
                Stream::Stderr => streams.stderr = Stdio::from(inner),
            }
        }
        if stdin {
            let (theirs, ours) = pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from)?;
            streams.stdin = Stdio::from(theirs);
            self.container_mut(id)?.stdin = Some(ours);
        }
        Ok(streams)
    }

    /// Answers when the program runs, or could not.
    pub(super) fn start_container(&mut self, waiter: Waiter, id: &str) -> Result<(), Failure> {
        let container = self.container_mut(id)?;
        if container.record.status.state != ContainerState::Created
            || container.creating.is_some()
            || container.starting.is_some()
        {
            return Err(Failure::InvalidArgument(format!("container \"{id}\" is not in created state")));
        }
        let Some(report) = &container.report else {
            return Err(Failure::Runtime(format!("container \"{id}\" lost its process")));
        };
        container.log = Some(Log::open(&container.record.status.log_path)?);
        write(report, b"1").map_err(io::Error::from)?;
        container.starting = Some(waiter);
        Ok(())
    }

    pub(super) fn read_container_reports(&mut self, id: &str) {
        loop {
            let Some(report) = self.containers.get(id).and_then(|container| container.report.as_ref()) else { return };
            match report::receive(report) {
                Ok(Some((Report::Made { pid }, _))) => self.container_made(id, pid),
                Ok(Some((Report::Terminal, Some(terminal)))) => self.terminal_opened(id, terminal),
                Ok(Some((Report::Terminal, None))) => {}
                Ok(Some((Report::Failed { message }, _))) => self.container_failed(id, message),
                Ok(None) => return self.reports_ended(id),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    eprintln!("reports of {id} are lost: {error}");
                    return self.reports_ended(id);
                }
            }
        }
    }

    fn container_made(&mut self, id: &str, pid: i32) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.record.process = Process::of(pid);
        container.record.status.pid = u32::try_from(pid).ok();
        let waiter = container.creating.take();
        self.adjust_oom_score(id, pid);
        let saved = self.save_container(id, Durability::Process);
        if let Some(waiter) = waiter {
            self.reply(waiter, saved.map(|()| Answer::Done).map_err(Failure::from), Vec::new());
        }
    }

    /// Lowering it takes a capability that not every host gives; the container runs all the same.
    pub(super) fn adjust_oom_score(&self, id: &str, pid: i32) {
        let plan: io::Result<CreatePlan> = record::load(&self.layout.container(id).join("create.json"));
        let adjusted = plan.and_then(|plan| {
            fs::write(format!("/proc/{pid}/oom_score_adj"), plan.container.process.oom_score_adj.to_string())
        });
        if let Err(error) = adjusted {
            eprintln!("oom_score_adj of {id} stays as it is: {error}");
        }
    }

    fn terminal_opened(&mut self, id: &str, terminal: OwnedFd) {
        let copy = terminal.try_clone().and_then(|copy| {
            super::output::make_nonblocking(&copy);
            self.watch_output(id, Stream::Stdout, copy)
        });
        if let Err(error) = copy {
            eprintln!("output of {id} is lost: {error}");
        }
        if let Some(container) = self.containers.get_mut(id) {
            container.terminal = Some(terminal);
        }
    }

    fn container_failed(&mut self, id: &str, message: String) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if let Some(waiter) = container.creating.take() {
            self.discard_container(id);
            return self.reply(waiter, Err(Failure::Runtime(message)), Vec::new());
        }
        container.start_error = Some(message.clone());
        if let Some(waiter) = container.starting.take() {
            self.reply(waiter, Err(Failure::Runtime(message)), Vec::new());
        }
    }

    /// Nobody holds the other end any more: the program runs, or all is over.
    fn reports_ended(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let report = container.report.take();
        let (creating, starting) = (container.creating.take(), container.starting.take());
        if let Some(report) = report {
            self.close(report);
        }
        if let Some(waiter) = creating {
            self.discard_container(id);
            self.reply(
                waiter,
                Err(Failure::Runtime("the process that makes the container ended early".to_owned())),
                Vec::new(),
            );
        } else if let Some(waiter) = starting {
            self.container_started(id, waiter);
        }
    }

    fn container_started(&mut self, id: &str, waiter: Waiter) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.record.status.state = ContainerState::Running;
        container.record.status.started_at = Some(clock::now());
        let sandbox = container.record.status.sandbox_id.clone();
        let saved = self.save_container(id, Durability::Process);
        self.reply(waiter, saved.map(|()| Answer::Done).map_err(Failure::from), Vec::new());
        self.broadcast(&Message::Started { sandbox, container: id.to_owned() });
    }

    pub(super) fn container_of(&self, pid: i32) -> Option<String> {
        let runs = |container: &&Container| {
            container.record.status.state != ContainerState::Exited
                && container.record.process.is_some_and(|process| process.pid == pid)
        };
        self.containers.values().find(runs).map(|container| container.record.status.id.clone())
    }

    /// The first process has ended; without a code, nobody could see how.
    pub(super) fn container_ended(&mut self, id: &str, code: Option<i32>) {
        self.read_container_reports(id);
        // The report socket may be held by nobody and yet not be read to its end.
        self.reports_ended(id);
        self.finish_output(id);
        let Some(container) = self.containers.get_mut(id) else { return };
        let group = container.record.cgroup.clone();
        let oom = self.cgroups.oom_kills(&group) > 0;
        container.reaped_until = None;
        end_record(&mut container.record, code, container.start_error.take(), oom);
        let waiting = std::mem::take(&mut container.waiting);
        let sandbox = container.record.status.sandbox_id.clone();
        if let Some(pidfd) = container.pidfd.take() {
            self.close(pidfd);
        }
        // In a shared PID namespace others may be left.
        self.cgroups.kill(&group);
        if let Err(error) = self.save_container(id, Durability::Disk) {
            eprintln!("the end of {id} would not survive a restart: {error}");
        }
        for waiter in waiting {
            self.reply(waiter, Ok(Answer::Done), Vec::new());
        }
        self.broadcast(&Message::Exited { sandbox, container: id.to_owned() });
    }

    pub(super) fn signal_container(&mut self, id: &str, signal: i32) -> Result<(), Failure> {
        let container = self.container(id)?;
        let number = match (container.record.status.state, signal) {
            (ContainerState::Exited, _) => return Ok(()),
            // Nothing runs yet that could handle a signal.
            (ContainerState::Created, _) => libc::SIGKILL,
            (ContainerState::Running, 0) => container.record.stop_signal,
            (ContainerState::Running, number) => number,
        };
        let signal =
            Signal::try_from(number).map_err(|_| Failure::InvalidArgument(format!("no such signal: {number}")))?;
        Ok(container.signal(signal)?)
    }

    pub(super) fn wait_container(&mut self, waiter: Waiter, id: &str) -> Result<Option<Answer>, Failure> {
        let container = self.container_mut(id)?;
        if container.record.status.state == ContainerState::Exited {
            return Ok(Some(Answer::Done));
        }
        container.waiting.push(waiter);
        Ok(None)
    }

    pub(super) fn update_resources(&mut self, id: &str, resources: &Resources) -> Result<(), Failure> {
        let group = self.container(id)?.record.cgroup.clone();
        Ok(self.cgroups.limit(&group, resources)?)
    }

    /// The directory goes to the trash, which the agent empties: deleting may take long.
    pub(super) fn remove_container(&mut self, id: &str) -> Result<(), Failure> {
        let Ok(container) = self.container(id) else { return Ok(()) };
        if container.record.status.state != ContainerState::Exited {
            return Err(Failure::InvalidArgument(format!("container \"{id}\" is running")));
        }
        let record = &container.record;
        self.cgroups.remove(&record.cgroup)?;
        remove_logs(&record.status.log_path)?;
        self.trash(id)?;
        self.containers.remove(id);
        Ok(())
    }

    fn trash(&self, id: &str) -> io::Result<()> {
        match fs::rename(self.layout.container(id), self.layout.root.join("trash").join(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Takes back what was made of a container that could not be made. What can not be taken back yet, as a process
    /// takes long to die, goes with the sandbox like a container that has ended.
    pub(super) fn discard_container(&mut self, id: &str) {
        self.finish_output(id);
        let Some(container) = self.containers.get_mut(id) else { return };
        let (report, group) = (container.report.take(), container.record.cgroup.clone());
        if let Some(report) = report {
            self.close(report);
        }
        self.cgroups.kill(&group);
        match self.cgroups.remove(&group).and_then(|()| self.trash(id)) {
            Ok(()) => drop(self.containers.remove(id)),
            Err(error) => {
                eprintln!("what was made of {id} stays until its sandbox goes: {error}");
                self.keep_discarded(id);
            }
        }
    }

    fn keep_discarded(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        end_record(&mut container.record, None, None, false);
        if let Err(error) = self.save_container(id, Durability::Process) {
            eprintln!("that {id} was given up would not survive a restart: {error}");
        }
    }

    pub(super) fn save_container(&self, id: &str, durability: Durability) -> io::Result<()> {
        match self.containers.get(id) {
            Some(container) => {
                record::save(&self.layout.container(id).join("record.json"), &container.record, durability)
            }
            None => Ok(()),
        }
    }
}

/// How a container ended, in CRI's terms.
fn end_record(record: &mut ContainerRecord, code: Option<i32>, start_error: Option<String>, oom: bool) {
    let status = &mut record.status;
    status.state = ContainerState::Exited;
    status.finished_at = Some(clock::now());
    status.pid = None;
    record.process = None;
    if let Some(message) = start_error {
        status.exit_code = EXIT_NOT_STARTED;
        status.reason = "StartError".to_owned();
        status.message = message;
        return;
    }
    status.exit_code = code.unwrap_or(EXIT_UNKNOWN);
    status.reason = match code {
        _ if oom => "OOMKilled",
        None => "Unknown",
        Some(0) => "Completed",
        Some(_) => "Error",
    }
    .to_owned();
}

/// The log and what rotation made of it: `0.log`, `0.log.20260101-000000`.
fn remove_logs(path: &Path) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: Option<i32>, start_error: Option<&str>, oom: bool) -> (i32, String) {
        let mut record: ContainerRecord = serde_json::from_value(serde_json::json!({
            "status": { "id": "c", "sandbox_id": "s", "name": "n", "attempt": 0, "state": "Running", "created_at": "2026-01-01T00:00:00Z",
                "exit_code": 0, "reason": "", "message": "", "image": "", "log_path": "", "labels": {}, "annotations": {} },
            "boot_id": "", "cgroup": "", "tty": false, "stdin": false, "stdin_once": false, "stop_signal": 15
        }))
        .unwrap();
        end_record(&mut record, code, start_error.map(str::to_owned), oom);
        (record.status.exit_code, record.status.reason)
    }

    #[test]
    fn ends_have_cris_reasons() {
        assert_eq!(ended(Some(0), None, false), (0, "Completed".to_owned()));
        assert_eq!(ended(Some(3), None, false), (3, "Error".to_owned()));
        assert_eq!(ended(Some(137), None, true), (137, "OOMKilled".to_owned()));
        assert_eq!(ended(Some(128), Some("no such file"), false), (128, "StartError".to_owned()));
        assert_eq!(ended(None, None, false), (255, "Unknown".to_owned()));
    }
}

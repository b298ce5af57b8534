//! Processes that join a container.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};

use super::spawn::{self, Streams};
use super::{Source, Supervisor, Waiter};
use crate::api::ContainerState;
use crate::init::report::{self, Report};
use crate::plan::ExecPlan;
use crate::wire::{Answer, Failure, Message, StreamKind};

/// One joined process, until its end was told.
pub struct Exec {
    container: String,
    /// Gets the streams, and the end.
    client: RawFd,
    generation: u64,
    /// The call that is not answered yet.
    waiter: Option<Waiter>,
    pub report: Option<OwnedFd>,
    pid: Option<i32>,
    /// The client's ends of the streams.
    streams: Vec<(StreamKind, OwnedFd)>,
}

impl Supervisor {
    /// Answers with the streams when the program runs.
    pub(super) fn exec(
        &mut self,
        waiter: Waiter,
        id: &str,
        command: Vec<String>,
        stdin: bool,
        tty: bool,
    ) -> Result<(), Failure> {
        let record = &self.container(id)?.record;
        let process = match (record.status.state, record.process) {
            (ContainerState::Running, Some(process)) => process,
            _ => return Err(Failure::InvalidArgument(format!("container \"{id}\" is not running"))),
        };
        let (theirs, ours) = streams(stdin, tty)?;
        let plan = plan_file(&ExecPlan { command, tty, pid: process.pid, start_time: process.start_time })?;
        let directory = self.layout.container(id);
        let (report, _) = spawn::helper(
            "container-init",
            &["exec".as_ref(), directory.as_os_str()],
            Streams { plan: Some(plan), ..theirs },
        )?;
        let exec = self.next_exec;
        self.next_exec += 1;
        self.watch(report.as_raw_fd(), Source::ExecReport(exec))?;
        let (client, generation) = (waiter.client, waiter.generation);
        let exec_state = Exec {
            container: id.to_owned(),
            client,
            generation,
            waiter: Some(waiter),
            report: Some(report),
            pid: None,
            streams: ours,
        };
        self.execs.insert(exec, exec_state);
        Ok(())
    }

    pub(super) fn read_exec_reports(&mut self, id: u64) {
        loop {
            let Some(exec) = self.execs.get_mut(&id) else { return };
            let Some(report) = &exec.report else { return };
            match report::receive(report) {
                Ok(Some((Report::Made { pid }, _))) => {
                    exec.pid = Some(pid);
                    let container = exec.container.clone();
                    self.adjust_oom_score(&container, pid);
                }
                Ok(Some((Report::Terminal, terminal))) => {
                    exec.streams.extend(terminal.map(|terminal| (StreamKind::Tty, terminal)))
                }
                Ok(Some((Report::Failed { message }, _))) => self.exec_failed(id, message),
                Ok(None) => return self.exec_started(id),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.exec_failed(id, format!("reports of the process are lost: {error}")),
            }
        }
    }

    fn exec_failed(&mut self, id: u64, message: String) {
        let Some(exec) = self.execs.remove(&id) else { return };
        if let Some(report) = exec.report {
            self.close(report);
        }
        if let Some(waiter) = exec.waiter {
            self.reply(waiter, Err(Failure::Runtime(message)), Vec::new());
        }
    }

    fn exec_started(&mut self, id: u64) {
        let Some(exec) = self.execs.get_mut(&id) else { return };
        if exec.pid.is_none() {
            return self.exec_failed(id, "the process that joins the container ended early".to_owned());
        }
        let (report, waiter) = (exec.report.take(), exec.waiter.take());
        let (kinds, fds) = std::mem::take(&mut exec.streams).into_iter().unzip();
        if let Some(report) = report {
            self.close(report);
        }
        if let Some(waiter) = waiter {
            self.reply(waiter, Ok(Answer::Streams { exec: id, kinds }), fds);
        }
    }

    pub(super) fn exec_of(&self, pid: i32) -> Option<u64> {
        self.execs.iter().find(|(_, exec)| exec.pid == Some(pid)).map(|(id, _)| *id)
    }

    pub(super) fn exec_ended(&mut self, id: u64, code: i32) {
        self.read_exec_reports(id);
        let Some(exec) = self.execs.remove(&id) else { return };
        if let Some(report) = exec.report {
            self.close(report);
        }
        self.send(exec.client, Some(exec.generation), &Message::ExecExited { exec: id, code: Some(code) }, Vec::new());
    }

    pub(super) fn kill_exec(&mut self, id: u64) -> Result<(), Failure> {
        if let Some(pid) = self.execs.get(&id).and_then(|exec| exec.pid) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).map_err(io::Error::from)?;
        }
        Ok(())
    }
}

/// The process's ends and the client's. A terminal comes later, from inside.
fn streams(stdin: bool, tty: bool) -> io::Result<(Streams, Vec<(StreamKind, OwnedFd)>)> {
    let (mut theirs, mut ours) = (Streams::null(), Vec::new());
    if tty {
        return Ok((theirs, ours));
    }
    if stdin {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        theirs.stdin = Stdio::from(reader);
        ours.push((StreamKind::Stdin, writer));
    }
    for (kind, slot) in [(StreamKind::Stdout, &mut theirs.stdout), (StreamKind::Stderr, &mut theirs.stderr)] {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        *slot = Stdio::from(writer);
        ours.push((kind, reader));
    }
    Ok((theirs, ours))
}

fn plan_file(plan: &ExecPlan) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"exec", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(plan)?)?;
    file.rewind()?;
    Ok(file.into())
}

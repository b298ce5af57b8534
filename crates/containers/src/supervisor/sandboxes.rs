//! Sandboxes: a pod's namespaces, shared memory, files and cgroup. No process, unless the pod shares its PID namespace.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespaces::{self, Wanted};
use super::{Supervisor, spawn};
use crate::api::{ContainerState, Resources, SandboxConfig, SandboxState, SandboxStatus};
use crate::init::report::{self, Report};
use crate::plan::{PidNamespace, SandboxPlan};
use crate::record::{self, Durability, Process, SandboxRecord};
use crate::wire::Failure;

/// How long the process of a shared PID namespace may take to start.
const PAUSE_TIMEOUT_MS: u16 = 5_000;

impl Supervisor {
    pub(super) fn create_sandbox(&mut self, id: String, config: SandboxConfig) -> Result<(), Failure> {
        if self.sandboxes.contains_key(&id) {
            return Err(Failure::AlreadyExists(format!("sandbox \"{id}\"")));
        }
        let record = self.new_sandbox_record(&id, config);
        fs::create_dir(self.layout.sandbox(&id))?;
        self.sandboxes.insert(id.clone(), record);
        let made = self.save_sandbox(&id).map_err(Failure::from).and_then(|()| self.build_sandbox(&id));
        if made.is_err()
            && let Err(Failure::Runtime(error)) = self.remove_sandbox(&id)
        {
            eprintln!("what was made of sandbox {id} stays until the next start: {error}");
        }
        made
    }

    fn new_sandbox_record(&self, id: &str, config: SandboxConfig) -> SandboxRecord {
        let parent = if config.cgroup_parent.is_empty() { id } else { config.cgroup_parent.trim_matches('/') };
        SandboxRecord {
            status: SandboxStatus {
                id: id.to_owned(),
                metadata: config.metadata.clone(),
                state: SandboxState::NotReady,
                created_at: clock::now(),
                ips: Vec::new(),
                host_network: config.host_network,
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
            },
            boot_id: self.boot_id.clone(),
            pause: None,
            cgroup: format!("{}/{parent}", self.layout.cgroup()),
            config,
        }
    }

    fn build_sandbox(&mut self, id: &str) -> Result<(), Failure> {
        let record = &self.sandboxes[id];
        let (config, run) = (&record.config, self.layout.sandbox_run(id));
        self.cgroups.create(&record.cgroup, &config.resources)?;
        fs::create_dir_all(&run)?;
        // The host's name goes with the host's network, as upstream's runtimes have it.
        let uts = (!config.host_network).then_some(config.hostname.as_str());
        namespaces::make(&Wanted {
            directory: &run,
            network: !config.host_network,
            ipc: !config.host_ipc,
            uts,
            sysctls: &config.sysctls,
        })?;
        if !config.host_ipc {
            namespaces::mount_shm(&run.join("shm"))?;
        }
        write_files(&self.layout.sandbox(id), config)?;
        if config.share_process_namespace && !config.host_pid {
            let process = self.start_pause(id, &run)?;
            self.sandboxes.get_mut(id).expect("it was inserted by the caller").pause = Some(process);
            self.save_sandbox(id)?;
        }
        Ok(())
    }

    fn start_pause(&self, id: &str, run: &Path) -> Result<Process, Failure> {
        let (socket, pid) = spawn::pause(&self.layout.sandbox(id))?;
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&socket), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(PAUSE_TIMEOUT_MS)).map_err(io::Error::from)?;
        match report::receive(&socket)? {
            Some((Report::Made { .. }, _)) => {}
            other => return Err(Failure::Runtime(format!("the PID namespace has no first process: {other:?}"))),
        }
        let group = pause_group(&self.sandboxes[id].cgroup);
        self.cgroups.create(&group, &Resources::default())?;
        self.cgroups.join(&group, pid)?;
        namespaces::hold(PathBuf::from(format!("/proc/{pid}/ns/pid")), &run.join("pid"))?;
        Process::of(pid).ok_or_else(|| Failure::Runtime("the first process of the PID namespace is gone".to_owned()))
    }

    pub(super) fn sandbox_ready(&mut self, id: &str, ips: Vec<IpAddr>) -> Result<(), Failure> {
        let record = self.sandbox_mut(id)?;
        record.status.ips = ips;
        record.status.state = SandboxState::Ready;
        Ok(self.save_sandbox(id)?)
    }

    pub(super) fn stop_sandbox(&mut self, id: &str) -> Result<(), Failure> {
        let Ok(record) = self.sandbox_mut(id) else { return Ok(()) };
        record.status.state = SandboxState::NotReady;
        if let Some(process) = record.pause.take()
            && process.is_there()
            && let Err(error) = kill(Pid::from_raw(process.pid), Signal::SIGKILL)
        {
            eprintln!("cannot end the PID namespace of {id}: {error}");
        }
        self.save_sandbox(id)?;
        Ok(namespaces::release(&self.layout.sandbox_run(id))?)
    }

    pub(super) fn remove_sandbox(&mut self, id: &str) -> Result<(), Failure> {
        if !self.sandboxes.contains_key(id) {
            return Ok(());
        }
        if self.containers.values().any(|container| {
            container.record.status.sandbox_id == id && container.record.status.state != ContainerState::Exited
        }) {
            return Err(Failure::InvalidArgument(format!("sandbox \"{id}\" has running containers")));
        }
        self.stop_sandbox(id)?;
        let containers: Vec<String> = self
            .containers
            .iter()
            .filter(|(_, container)| container.record.status.sandbox_id == id)
            .map(|(id, _)| id.clone())
            .collect();
        for container in containers {
            self.remove_container(&container)?;
        }
        let group = self.sandboxes[id].cgroup.clone();
        // Two sandboxes of one pod, the old and the new, share the pod's group.
        if !self.sandboxes.iter().any(|(other, record)| other != id && record.cgroup == group) {
            self.cgroups.remove(&group)?;
        }
        fs::remove_dir_all(self.layout.sandbox(id))?;
        self.sandboxes.remove(id);
        Ok(())
    }

    pub(super) fn sandbox_mut(&mut self, id: &str) -> Result<&mut SandboxRecord, Failure> {
        self.sandboxes.get_mut(id).ok_or_else(|| Failure::NotFound(format!("sandbox \"{id}\"")))
    }

    pub(super) fn save_sandbox(&self, id: &str) -> io::Result<()> {
        record::save(&self.layout.sandbox(id).join("record.json"), &self.sandboxes[id], Durability::Process)
    }

    /// The namespaces and files of a sandbox, as its containers need them.
    pub(super) fn sandbox_plan(&self, id: &str) -> SandboxPlan {
        let config = &self.sandboxes[id].config;
        let (run, directory) = (self.layout.sandbox_run(id), self.layout.sandbox(id));
        let pid = match (config.host_pid, config.share_process_namespace) {
            (true, _) => PidNamespace::Host,
            (false, true) => PidNamespace::Path(run.join("pid")),
            (false, false) => PidNamespace::Own,
        };
        SandboxPlan {
            network: (!config.host_network).then(|| run.join("net")),
            uts: (!config.host_network).then(|| run.join("uts")),
            ipc: (!config.host_ipc).then(|| run.join("ipc")),
            pid,
            shm: if config.host_ipc { PathBuf::from("/dev/shm") } else { run.join("shm") },
            resolv_conf: Some(directory.join("resolv.conf")),
            hostname: Some(directory.join("hostname")),
        }
    }
}

/// Processes live in leaves alone, so the first process of a pod's PID namespace has a group of its own.
pub fn pause_group(pod: &str) -> String {
    format!("{pod}/pause")
}

fn write_files(directory: &Path, config: &SandboxConfig) -> io::Result<()> {
    let resolv_conf = if config.resolv_conf.is_empty() {
        fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
    } else {
        config.resolv_conf.clone()
    };
    let hostname = if config.host_network {
        fs::read_to_string("/proc/sys/kernel/hostname")?
    } else {
        format!("{}\n", config.hostname)
    };
    fs::write(directory.join("resolv.conf"), resolv_conf)?;
    fs::write(directory.join("hostname"), hostname)
}

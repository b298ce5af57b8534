//! Makes a container: its root file system, then libcontainer's namespaces, mounts and devices around it.
//!
//! The overlay is mounted in a mount namespace of this process, so it goes with the container and the host never sees it.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::process::{self, Purpose};
use super::report::{Report, Socket};
use super::{EXIT_NOT_STARTED, credentials, spec};
use crate::api::{Mount, Propagation};
use crate::cgroup::Cgroups;
use crate::plan::{ContainerPlan, CreatePlan, ProcessPlan};

/// The error text of upstream's runtimes, up to the cause.
const START_ERROR: &str = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: \
                           unable to start container process: error during container init";

pub fn run(directory: &Path, socket: &Socket) -> Result<(), String> {
    let plan: CreatePlan = crate::record::load(&directory.join("create.json")).map_err(|error| error.to_string())?;
    make_sources(&plan.container).map_err(|error| format!("failed to generate container spec: {error}"))?;
    mount_root(directory, &plan.container.layers)
        .map_err(|error| format!("failed to mount the root file system: {error}"))?;
    let host = spec::Host {
        capabilities: credentials::available_capabilities(),
        devices: spec::host_devices(&plan.container),
    };
    let document = spec::document(&plan, &directory.join("rootfs"), &host);
    fs::write(directory.join("config.json"), document.to_string()).map_err(|error| error.to_string())?;
    // libcontainer joins v1's hierarchies alone where there are any.
    Cgroups::detect()
        .and_then(|cgroups| cgroups.join_unified(&plan.cgroup, std::process::id()))
        .map_err(|error| error.to_string())?;
    let executor = Runner { process: plan.container.process, mounts: plan.container.mounts, socket: socket.clone() };
    let mut container = build(directory, &plan.id, executor).map_err(|error| explain(&*error))?;
    let pid = container.pid().ok_or("the container has no process")?.as_raw();
    container.start().map_err(|error| explain(&error))?;
    socket.send(&Report::Made { pid }, &[]);
    Ok(())
}

fn build(directory: &Path, id: &str, executor: Runner) -> Result<libcontainer::container::Container, Box<dyn Error>> {
    let state = directory.join("state");
    fs::create_dir_all(&state)?;
    Ok(ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_executor(executor)
        .with_root_path(state)?
        .as_init(directory)
        .with_systemd(false)
        .with_detach(true)
        .build()?)
}

/// The whole chain of causes: libcontainer's outermost errors say little.
fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Host paths that are not there become directories, as upstream's runtimes make them.
fn make_sources(plan: &ContainerPlan) -> std::io::Result<()> {
    plan.mounts
        .iter()
        .filter(|mount| !mount.host_path.exists())
        .try_for_each(|mount| fs::create_dir_all(&mount.host_path))
}

fn mount_root(directory: &Path, layers: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let root = directory.join("rootfs");
    // The options of one mount must fit a page, so the layers are named from their common directory.
    let base = layers.first().and_then(|layer| layer.parent()).ok_or("the image has no layers")?;
    let names: Vec<&str> = layers.iter().filter_map(|layer| layer.file_name()?.to_str()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        names.join(":"),
        directory.join("upper").display(),
        directory.join("work").display()
    );
    std::env::set_current_dir(base)?;
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    mount(None::<&str>, &root, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// libcontainer ignores what the document says of a mount's propagation: all are like the root, slaves or shared.
fn set_propagation(mounts: &[Mount]) -> nix::Result<()> {
    for own in mounts {
        let kind = match own.propagation {
            Propagation::Private => MsFlags::MS_PRIVATE,
            Propagation::HostToContainer => MsFlags::MS_SLAVE,
            Propagation::Bidirectional => continue,
        };
        mount(None::<&str>, &own.container_path, None::<&str>, kind | MsFlags::MS_REC, None::<&str>)?;
    }
    Ok(())
}

/// What libcontainer calls last, inside the container: root still, with every capability.
#[derive(Clone)]
struct Runner {
    process: ProcessPlan,
    mounts: Vec<Mount>,
    socket: Socket,
}

impl Executor for Runner {
    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        if let Err(error) = set_propagation(&self.mounts) {
            self.socket.send(
                &Report::Failed { message: format!("{START_ERROR}: cannot set the propagation of a mount: {error}") },
                &[],
            );
            std::process::exit(EXIT_NOT_STARTED);
        }
        if !self.socket.wait() {
            std::process::exit(EXIT_NOT_STARTED);
        }
        let Err(error) = process::run(&self.process, Purpose::FirstProcess, &self.socket);
        self.socket.send(&Report::Failed { message: format!("{START_ERROR}: {error}: unknown") }, &[]);
        std::process::exit(EXIT_NOT_STARTED)
    }

    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    /// The environment is given to the program alone.
    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

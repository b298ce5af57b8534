//! Control groups on hosts with the unified hierarchy, with v1 controllers, or with both (hybrid).
//!
//! A group is a path below every hierarchy's root. Each controller is driven where the kernel has it; on a hybrid host processes
//! join the unified hierarchy too, which carries device rules and `cgroup.kill`.

mod detect;
mod devices;
mod limits;
mod usage;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::api::{Resources, Usage};

pub use devices::{DeviceRule, attach as restrict_devices};

/// The controllers we set limits in or read from.
const CONTROLLERS: &[&str] = &["cpu", "cpuacct", "memory", "pids", "cpuset", "io"];
/// How often an emptied group is tried again: its last process may still be on its way out.
const REMOVE_ATTEMPTS: u32 = 50;

/// The hierarchies of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Mount points of v1 controllers by name; `name=systemd` among them.
    v1: BTreeMap<String, PathBuf>,
    unified: Option<PathBuf>,
}

impl Cgroups {
    pub fn detect() -> io::Result<Cgroups> {
        Ok(detect::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    /// Whether `controller` is driven through the unified hierarchy.
    fn is_unified(&self, controller: &str) -> bool {
        self.unified.is_some() && !self.v1.contains_key(controller)
    }

    fn v1_dir(&self, controller: &str, group: &str) -> Option<PathBuf> {
        Some(self.v1.get(controller)?.join(group))
    }

    pub fn unified_dir(&self, group: &str) -> Option<PathBuf> {
        Some(self.unified.as_ref()?.join(group))
    }

    fn directories(&self, group: &str) -> Vec<PathBuf> {
        let mut roots: Vec<&PathBuf> = self.v1.values().chain(&self.unified).collect();
        roots.dedup();
        roots.into_iter().map(|root| root.join(group)).collect()
    }

    /// Makes the group and its parents in every hierarchy and sets its limits. Repeating it is fine.
    pub fn create(&self, group: &str, resources: &Resources) -> io::Result<()> {
        for (controller, root) in &self.v1 {
            create_below(
                root,
                group,
                |directory| if controller == "cpuset" { inherit_cpuset(directory) } else { Ok(()) },
            )?;
        }
        if let Some(root) = &self.unified {
            enable_controllers(root)?;
            let parent = Path::new(group).parent().map(|parent| root.join(parent));
            create_below(root, group, |directory| {
                if parent.as_deref().is_some_and(|parent| parent.starts_with(directory)) {
                    enable_controllers(directory)
                } else {
                    Ok(())
                }
            })?;
        }
        self.limit(group, resources)
    }

    /// Sets the limits of a group that is there; nothing in `resources` means: leave it.
    pub fn limit(&self, group: &str, resources: &Resources) -> io::Result<()> {
        limits::apply(self, group, resources)
    }

    /// Moves a process into the group in every hierarchy.
    pub fn join(&self, group: &str, pid: i32) -> io::Result<()> {
        for directory in self.directories(group) {
            let file = directory.join("cgroup.procs");
            fs::write(&file, pid.to_string()).map_err(|error| annotate(error, &file))?;
        }
        Ok(())
    }

    /// Moves a process into the group of the unified hierarchy alone, where there is one beside v1's.
    pub fn join_unified(&self, group: &str, pid: u32) -> io::Result<()> {
        match self.unified_dir(group).filter(|_| !self.v1.is_empty()) {
            Some(directory) => fs::write(directory.join("cgroup.procs"), pid.to_string()),
            None => Ok(()),
        }
    }

    /// The processes in the group itself, not below it.
    pub fn processes(&self, group: &str) -> Vec<i32> {
        let lists = self
            .directories(group)
            .into_iter()
            .filter_map(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok());
        let mut all: Vec<i32> = lists
            .flat_map(|text| {
                text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect::<Vec<i32>>()
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Kills every process in the group and below it, in whichever hierarchy it is there.
    pub fn kill(&self, group: &str) {
        if let Some(directory) = self.unified_dir(group)
            && let Err(error) = fs::write(directory.join("cgroup.kill"), "1")
        {
            tracing::debug!(group, %error, "the processes are killed one by one");
        }
        for child in self.children(group) {
            self.kill(&format!("{group}/{child}"));
        }
        for pid in self.processes(group) {
            if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
                tracing::debug!(pid, %error, "a process of the group is gone");
            }
        }
    }

    /// Names of the groups right below this one, in any hierarchy.
    pub fn children(&self, group: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.directories(group).iter().flat_map(|directory| subdirectories(directory)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Removes the group and what is below it; its processes must be dead or dying. No error when it is gone.
    pub fn remove(&self, group: &str) -> io::Result<()> {
        for child in self.children(group) {
            self.remove(&format!("{group}/{child}"))?;
        }
        for directory in self.directories(group) {
            remove_patiently(&directory)?;
        }
        Ok(())
    }

    pub fn usage(&self, group: &str) -> io::Result<Usage> {
        usage::read(self, group)
    }

    /// How many processes of the group the kernel killed for want of memory.
    pub fn oom_kills(&self, group: &str) -> u64 {
        usage::oom_kills(self, group)
    }
}

fn create_below(root: &Path, group: &str, prepare: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut directory = root.to_path_buf();
    for part in group.split('/') {
        directory.push(part);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(annotate(error, &directory)),
            _ => prepare(&directory)?,
        }
    }
    Ok(())
}

/// A v1 cpuset group takes no process before it has processors and memory nodes.
fn inherit_cpuset(directory: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(directory.join(file))?;
        if own.trim().is_empty()
            && let Some(parent) = directory.parent()
        {
            fs::write(directory.join(file), fs::read_to_string(parent.join(file))?.trim())?;
        }
    }
    Ok(())
}

fn enable_controllers(directory: &Path) -> io::Result<()> {
    let available = fs::read_to_string(directory.join("cgroup.controllers"))?;
    for controller in available.split_ascii_whitespace().filter(|name| CONTROLLERS.contains(name)) {
        let file = directory.join("cgroup.subtree_control");
        fs::write(&file, format!("+{controller}")).map_err(|error| annotate(error, &file))?;
    }
    Ok(())
}

fn subdirectories(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn remove_patiently(directory: &Path) -> io::Result<()> {
    for _ in 0..REMOVE_ATTEMPTS {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(2))
            }
            Err(error) => return Err(annotate(error, directory)),
        }
    }
    Err(annotate(io::ErrorKind::ResourceBusy.into(), directory))
}

fn annotate(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_made_limited_joined_killed_and_removed() {
        let cgroups = Cgroups::detect().unwrap();
        let group = format!("keelson-test-{}/pod/one", std::process::id());
        let resources = Resources {
            cpu_shares: Some(512),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            memory_limit: Some(32 << 20),
            pids_limit: Some(64),
            oom_score_adj: 0,
        };
        cgroups.create(&group, &resources).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        cgroups.join(&group, child.id() as i32).unwrap();
        assert_eq!(cgroups.processes(&group), [child.id() as i32]);
        assert!(cgroups.usage(&group).unwrap().pids >= 1);
        let top = group.split('/').next().unwrap();
        cgroups.kill(top);
        assert!(!child.wait().unwrap().success());
        assert_eq!(cgroups.oom_kills(&group), 0);
        cgroups.remove(top).unwrap();
        assert!(cgroups.directories(top).iter().all(|directory| !directory.exists()));
    }
}

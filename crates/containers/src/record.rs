//! What the supervisor remembers of sandboxes and containers, one small JSON file each.
//!
//! Files are replaced by rename, so a reader sees the old or the new record. Only ends are synced to the disk at once: what runs
//! is gone after a power cut anyway, but an exit code must not be.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::{ContainerStatus, SandboxConfig, SandboxStatus};

/// A process, told from a later one of the same number by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start_time: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxRecord {
    pub status: SandboxStatus,
    pub config: SandboxConfig,
    pub boot_id: String,
    /// Holds the PID namespace, where the pod shares one.
    pub pause: Option<Process>,
    pub cgroup: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    pub status: ContainerStatus,
    pub process: Option<Process>,
    pub boot_id: String,
    pub cgroup: String,
    pub tty: bool,
    pub stdin: bool,
    pub stdin_once: bool,
    pub stop_signal: i32,
}

/// Whether a write must survive a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Process,
    Disk,
}

/// Where things are: `ROOT/{sandboxes,containers}/ID/record.json`, `RUN/sandboxes/ID/{net,ipc,uts,pid,shm}`.
#[derive(Clone, Debug)]
pub struct Layout {
    pub root: PathBuf,
    pub run: PathBuf,
}

impl Layout {
    pub fn sandbox(&self, id: &str) -> PathBuf {
        self.root.join("sandboxes").join(id)
    }

    pub fn sandbox_run(&self, id: &str) -> PathBuf {
        self.run.join("sandboxes").join(id)
    }

    pub fn container(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub fn socket(&self) -> PathBuf {
        self.run.join("supervisor.sock")
    }

    pub fn network_namespace(&self, sandbox: &str) -> PathBuf {
        self.sandbox_run(sandbox).join("net")
    }

    /// The cgroup of everything under this root, so that several nodes fit one machine.
    pub fn cgroup(&self) -> String {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        format!("keelson-{}", machinery::strconv::hex(&digest[..4]))
    }
}

/// Replaces `path` with `record`, whole or not at all.
pub fn save<T: Serialize>(path: &Path, record: &T, durability: Durability) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    if durability == Durability::Disk {
        file.sync_all()?;
    }
    fs::rename(&temporary, path)?;
    if durability == Durability::Disk
        && let Some(parent) = path.parent()
    {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Every `DIR/*/record.json`; directories without a readable one come as errors of their names.
pub fn load_all<T: DeserializeOwned>(directory: &Path) -> io::Result<Vec<(String, io::Result<T>)>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        records.push((name, load(&entry.path().join("record.json"))));
    }
    Ok(records)
}

pub fn load<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// The start time of a process, if it is there.
pub fn start_time(pid: i32) -> Option<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_start_time(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

impl Process {
    pub fn of(pid: i32) -> Option<Process> {
        Some(Process { pid, start_time: start_time(pid)? })
    }

    pub fn is_there(&self) -> bool {
        start_time(self.pid) == Some(self.start_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(parse_start_time(stat), Some(4242));
        let me = Process::of(std::process::id() as i32).unwrap();
        assert!(me.is_there());
        assert!(!Process { start_time: me.start_time + 1, ..me }.is_there());
    }

    #[test]
    fn a_saved_record_is_read_back_and_leaves_no_temporary() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        save(&directory.path().join("a/record.json"), &7u32, Durability::Disk).unwrap();
        fs::create_dir(directory.path().join("b")).unwrap();
        let mut all = load_all::<u32>(directory.path()).unwrap();
        all.sort_by(|x, y| x.0.cmp(&y.0));
        assert_eq!(all[0].1.as_ref().unwrap(), &7);
        assert!(all[1].1.is_err());
        assert!(!directory.path().join("a/record.tmp").exists());
    }
}

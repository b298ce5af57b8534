//! What the Node object says about the machine it stands for.

use std::path::Path;

use procfs::Current;

use crate::config::Error;

/// Upstream's hard eviction thresholds: bytes of memory, and percents of the disk and of its inodes.
pub const MEMORY_RESERVE: u64 = 100 << 20;
pub const DISK_RESERVE_PERCENT: u64 = 10;
pub const INODES_RESERVE_PERCENT: u64 = 5;

/// Capacity and identity of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes of the file system that holds the agent's root.
    pub storage: u64,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel_version: String,
    pub os_image: String,
}

impl Machine {
    /// Reads the host; what a host does not tell stays empty.
    pub fn of_host(root_dir: &Path) -> Result<Machine, Error> {
        let cpus = std::thread::available_parallelism().map_err(|e| Error::Io("counting CPUs".into(), e))?;
        Ok(Machine {
            cpus: cpus.get() as u64,
            memory: procfs::Meminfo::current()?.mem_total,
            storage: filesystem(root_dir).map(|usage| usage.capacity).unwrap_or_default(),
            machine_id: first_line("/etc/machine-id"),
            system_uuid: first_line("/sys/class/dmi/id/product_uuid"),
            boot_id: first_line("/proc/sys/kernel/random/boot_id"),
            kernel_version: first_line("/proc/sys/kernel/osrelease"),
            os_image: os_image(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()),
        })
    }

    /// Bytes that pods may ask for: what eviction keeps free is not among them.
    pub fn allocatable_memory(&self) -> u64 {
        self.memory.saturating_sub(MEMORY_RESERVE)
    }

    /// Bytes of storage that pods may ask for.
    pub fn allocatable_storage(&self) -> u64 {
        self.storage / 100 * (100 - DISK_RESERVE_PERCENT)
    }

    /// A machine for simulated nodes.
    pub fn simulated(cpus: u64, memory: u64) -> Machine {
        Machine {
            cpus,
            memory,
            storage: 100 << 30,
            machine_id: "00000000000000000000000000000000".into(),
            system_uuid: "00000000-0000-0000-0000-000000000000".into(),
            boot_id: "00000000-0000-0000-0000-000000000000".into(),
            kernel_version: "simulated".into(),
            os_image: "simulated".into(),
        }
    }
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_string()
}

fn os_image(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"').to_string())
        .unwrap_or_else(|| "Linux".to_string())
}

/// Bytes and inodes of the file system under a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    pub capacity: u64,
    pub available: u64,
    pub inodes: u64,
    pub inodes_free: u64,
}

/// The file system that holds `path`.
pub fn filesystem(path: &Path) -> std::io::Result<Filesystem> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    let unit = stat.fragment_size();
    Ok(Filesystem {
        capacity: stat.blocks() * unit,
        available: stat.blocks_available() * unit,
        inodes: stat.files(),
        inodes_free: stat.files_available(),
    })
}

/// How much of the machine is free now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Bytes that could be had without swapping.
    pub memory_available: u64,
    pub filesystem: Filesystem,
    /// Process ids in use, and how many there can be.
    pub pids: (u64, u64),
}

impl Headroom {
    pub fn memory_pressure(&self) -> bool {
        self.memory_available < MEMORY_RESERVE
    }

    pub fn disk_pressure(&self) -> bool {
        let disk = &self.filesystem;
        disk.available < disk.capacity / 100 * DISK_RESERVE_PERCENT
            || disk.inodes > 0 && disk.inodes_free < disk.inodes / 100 * INODES_RESERVE_PERCENT
    }

    pub fn of_host(root_dir: &Path) -> Result<Headroom, Error> {
        let memory = procfs::Meminfo::current()?;
        let load = procfs::LoadAverage::current()?;
        let pid_max = first_line("/proc/sys/kernel/pid_max").parse().unwrap_or(32_768);
        Ok(Headroom {
            memory_available: memory.mem_available.unwrap_or(memory.mem_free),
            filesystem: filesystem(root_dir).map_err(|e| Error::Io(root_dir.display().to_string(), e))?,
            pids: (u64::from(load.max), pid_max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pretty_name_is_the_os_image() {
        assert_eq!(
            os_image("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(os_image(""), "Linux");
    }

    #[test]
    fn the_host_has_cpus_memory_and_storage() {
        let machine = Machine::of_host(Path::new("/")).unwrap();
        assert!(machine.cpus > 0 && machine.memory > 0 && machine.storage > 0);
        assert!(!machine.kernel_version.is_empty());
    }
}

//! Real containers in tests: taking back what a test that ended, well or not, left in the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

const REMOVALS_MAX: u32 = 200;
const REMOVAL_PAUSE: Duration = Duration::from_millis(5);
/// Linux's number for a group that still has processes.
const EBUSY: i32 = 16;

/// Kills what runs in the cgroups of the runtime below `directory`, and unmounts what it mounted there.
pub fn clean_up(directory: &Path) {
    let groups = cgroups_of(&directory.join("root"));
    for pid in
        groups.iter().flat_map(|group| fs::read_to_string(group.join("cgroup.procs"))).collect::<String>().lines()
    {
        report(std::process::Command::new("kill").args(["-9", pid]).status());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let prefix = directory.to_string_lossy();
    for at in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).filter(|at| at.starts_with(&*prefix)) {
        report(std::process::Command::new("umount").args(["-l", at]).status());
    }
    groups.iter().for_each(|group| remove_group(group));
}

/// A killed process leaves its group a moment later.
fn remove_group(group: &Path) {
    for _ in 0..REMOVALS_MAX {
        match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(EBUSY) => std::thread::sleep(REMOVAL_PAUSE),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return eprintln!("{}: {error}", group.display());
            }
            _ => return,
        }
    }
    eprintln!("{} is still in use", group.display());
}

fn report(status: std::io::Result<std::process::ExitStatus>) {
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        eprintln!("cleaning up: {status:?}");
    }
}

/// The runtime's cgroups in all hierarchies, the deepest first.
fn cgroups_of(root: &Path) -> Vec<PathBuf> {
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    let name = format!("keelson-{}", digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let roots = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let mut groups = Vec::new();
    for root in roots {
        collect(&Path::new(root).join(&name), &mut groups);
    }
    groups
}

fn collect(directory: &Path, groups: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        collect(&path, groups);
    }
    groups.push(directory.to_path_buf());
}

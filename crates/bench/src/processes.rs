//! The measured processes: those of one program in the network namespace of this one. Containers are in others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::{Process, all_processes};

/// Bytes, and processor time since their start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub pss: u64,
    pub rss: u64,
    pub processor: Duration,
}

/// The processes that run `program` here, whoever started them.
pub fn running(program: &Path) -> anyhow::Result<Vec<Process>> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let own = namespace("self").context("this process has a network namespace")?;
    let program = program.canonicalize()?;
    // Whoever is gone while it is looked at does not run.
    let is_ours = |process: &Process| {
        namespace(&process.pid.to_string()).as_ref() == Some(&own)
            && process.exe().is_ok_and(|exe: PathBuf| exe == program)
    };
    Ok(all_processes()?.flatten().filter(is_ours).collect())
}

/// The sum over processes; one that ended meanwhile counts as nothing.
pub fn usage(processes: &[Process]) -> Usage {
    let each = processes.iter().filter_map(|process| usage_of(process).ok());
    each.fold(Usage::default(), |sum, one| Usage {
        pss: sum.pss + one.pss,
        rss: sum.rss + one.rss,
        processor: sum.processor + one.processor,
    })
}

fn usage_of(process: &Process) -> anyhow::Result<Usage> {
    let maps = process.smaps_rollup()?.memory_map_rollup;
    let map = &maps.0.first().context("a roll-up has one entry")?.extension.map;
    let stat = process.stat()?;
    let ticks = stat.utime + stat.stime;
    let processor = Duration::from_millis(ticks * 1000 / procfs::ticks_per_second());
    let bytes = |name: &str| map.get(name).copied().unwrap_or_default();
    Ok(Usage { pss: bytes("Pss"), rss: bytes("Rss"), processor })
}

/// Sends a signal to a process that may be gone.
pub fn signal(pid: i32, signal: Signal) -> nix::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Err(Errno::ESRCH) => Ok(()),
        result => result,
    }
}

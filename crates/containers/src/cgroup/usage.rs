//! Usage of a group, as the kubelet counts it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::Cgroups;
use crate::api::Usage;

pub fn read(cgroups: &Cgroups, group: &str) -> io::Result<Usage> {
    let mut usage = Usage { at: clock::now(), ..Usage::default() };
    read_cpu(cgroups, group, &mut usage)?;
    read_memory(cgroups, group, &mut usage)?;
    let pids = if cgroups.is_unified("pids") { cgroups.unified_dir(group) } else { cgroups.v1_dir("pids", group) };
    usage.pids = pids.map(|directory| number(&directory.join("pids.current"))).transpose()?.unwrap_or(0);
    Ok(usage)
}

fn read_cpu(cgroups: &Cgroups, group: &str, usage: &mut Usage) -> io::Result<()> {
    if let Some(directory) = cgroups.v1_dir("cpuacct", group) {
        usage.cpu = Duration::from_nanos(number(&directory.join("cpuacct.usage"))?);
    } else if let Some(directory) = cgroups.unified_dir(group) {
        let text = fs::read_to_string(directory.join("cpu.stat"))?;
        usage.cpu = Duration::from_micros(entry(&text, "usage_usec"));
    }
    Ok(())
}

fn read_memory(cgroups: &Cgroups, group: &str, usage: &mut Usage) -> io::Result<()> {
    let unified = cgroups.is_unified("memory");
    let directory = if unified { cgroups.unified_dir(group) } else { cgroups.v1_dir("memory", group) };
    let Some(directory) = directory else { return Ok(()) };
    let stat = fs::read_to_string(directory.join("memory.stat"))?;
    let current = number(&directory.join(if unified { "memory.current" } else { "memory.usage_in_bytes" }))?;
    let names = if unified {
        ["inactive_file", "anon", "pgfault", "pgmajfault"]
    } else {
        ["total_inactive_file", "total_rss", "total_pgfault", "total_pgmajfault"]
    };
    let [inactive, rss, faults, major] = names.map(|name| entry(&stat, name));
    usage.memory_usage = current;
    usage.memory_working_set = current.saturating_sub(inactive);
    usage.memory_rss = rss;
    usage.page_faults = faults;
    usage.major_page_faults = major;
    Ok(())
}

pub fn oom_kills(cgroups: &Cgroups, group: &str) -> u64 {
    let file = if cgroups.is_unified("memory") {
        cgroups.unified_dir(group).map(|directory| directory.join("memory.events"))
    } else {
        cgroups.v1_dir("memory", group).map(|directory| directory.join("memory.oom_control"))
    };
    file.and_then(|file| fs::read_to_string(file).ok()).map_or(0, |text| entry(&text, "oom_kill"))
}

fn number(file: &Path) -> io::Result<u64> {
    fs::read_to_string(file)?.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The value of `name` in a file of `name value` lines; 0 when it is not there.
fn entry(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

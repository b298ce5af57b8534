//! CRI's resources as cgroup files, v1 and v2.

use std::fs;
use std::io;
use std::path::Path;

use super::{Cgroups, annotate};
use crate::api::Resources;

/// What v1 knows as the weight of one processor.
const SHARES_RANGE: std::ops::RangeInclusive<u64> = 2..=262_144;
const DEFAULT_PERIOD: u64 = 100_000;
const V1_MEMORY: &str = "memory.limit_in_bytes";
const V2_SWAP: &str = "memory.swap.max";
const V1_MEMORY_AND_SWAP: &str = "memory.memsw.limit_in_bytes";

/// One value for one file.
type Setting = (&'static str, &'static str, String);

pub fn apply(cgroups: &Cgroups, group: &str, resources: &Resources) -> io::Result<()> {
    for (controller, file, value) in settings(resources, &|controller| cgroups.is_unified(controller)) {
        let directory =
            if cgroups.is_unified(controller) { cgroups.unified_dir(group) } else { cgroups.v1_dir(controller, group) };
        let Some(directory) = directory else {
            tracing::warn!(controller, "the host has no such controller, the limit is not set");
            continue;
        };
        if file == V2_SWAP {
            write_if_there(&directory.join(file), &value)?;
        } else if file == V1_MEMORY {
            set_v1_memory(&directory, &value)?;
        } else {
            write(&directory.join(file), &value)?;
        }
    }
    Ok(())
}

/// Memory alone may never exceed memory and swap, so which of the two comes first depends on the direction.
fn set_v1_memory(directory: &Path, value: &str) -> io::Result<()> {
    let (memory, both) = (directory.join(V1_MEMORY), directory.join(V1_MEMORY_AND_SWAP));
    if write(&memory, value).is_ok() {
        return write_if_there(&both, value);
    }
    write_if_there(&both, value)?;
    write(&memory, value)
}

fn settings(resources: &Resources, unified: &dyn Fn(&str) -> bool) -> Vec<Setting> {
    let mut settings = Vec::new();
    cpu_settings(resources, unified("cpu"), &mut settings);
    if let Some(limit) = resources.memory_limit.filter(|limit| *limit > 0) {
        memory_settings(limit, unified("memory"), &mut settings);
    }
    if let Some(limit) = resources.pids_limit {
        let value = if limit > 0 { limit.to_string() } else { "max".to_owned() };
        settings.push(("pids", "pids.max", value));
    }
    settings
}

fn cpu_settings(resources: &Resources, unified: bool, settings: &mut Vec<Setting>) {
    if let Some(shares) = resources.cpu_shares.filter(|shares| *shares > 0) {
        let shares = shares.clamp(*SHARES_RANGE.start(), *SHARES_RANGE.end());
        settings.push(if unified {
            ("cpu", "cpu.weight", weight(shares).to_string())
        } else {
            ("cpu", "cpu.shares", shares.to_string())
        });
    }
    let period = resources.cpu_period.filter(|period| *period > 0);
    match (resources.cpu_quota.filter(|quota| *quota != 0), unified) {
        (Some(quota), true) => {
            let quota = if quota < 0 { "max".to_owned() } else { quota.to_string() };
            settings.push(("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(DEFAULT_PERIOD))));
        }
        (Some(quota), false) => {
            if let Some(period) = period {
                settings.push(("cpu", "cpu.cfs_period_us", period.to_string()));
            }
            settings.push(("cpu", "cpu.cfs_quota_us", quota.to_string()));
        }
        (None, _) => {}
    }
}

fn memory_settings(limit: i64, unified: bool, settings: &mut Vec<Setting>) {
    if unified {
        settings.push(("memory", "memory.max", limit.to_string()));
        settings.push(("memory", V2_SWAP, "0".to_owned()));
        // One process too many ends the container as a whole, as upstream has it on v2.
        settings.push(("memory", "memory.oom.group", "1".to_owned()));
    } else {
        settings.push(("memory", V1_MEMORY, limit.to_string()));
    }
}

/// upstream: the runtimes' conversion of v1 shares to v2 weights.
fn weight(shares: u64) -> u64 {
    1 + (shares - 2) * 9_999 / 262_142
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    fs::write(file, value).map_err(|error| annotate(error, file))
}

/// Kernels without swap accounting lack the file.
fn write_if_there(file: &Path, value: &str) -> io::Result<()> {
    if file.exists() { write(file, value) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unified: bool) -> String {
        let resources = Resources {
            cpu_shares: Some(1024),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            memory_limit: Some(4096),
            pids_limit: Some(7),
            oom_score_adj: 0,
        };
        settings(&resources, &|_| unified)
            .iter()
            .map(|(_, file, value)| format!("{file}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn both_versions_get_their_own_files() {
        assert_eq!(
            text(true),
            "cpu.weight=39 cpu.max=50000 100000 memory.max=4096 memory.swap.max=0 memory.oom.group=1 pids.max=7"
        );
        assert_eq!(
            text(false),
            "cpu.shares=1024 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000 memory.limit_in_bytes=4096 pids.max=7"
        );
    }

    #[test]
    fn shares_reach_the_ends_of_the_weights() {
        assert_eq!((weight(2), weight(262_144)), (1, 10_000));
    }
}

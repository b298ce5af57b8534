//! `process_*`: what the kernel says of this process, under the names that Prometheus' libraries give it.

use std::fmt::Write as _;

use procfs::ProcResult;
use procfs::process::{LimitValue, Process};

/// Lines for `/metrics`; none where the kernel does not say.
pub fn metrics() -> String {
    read().unwrap_or_else(|error| {
        tracing::debug!(%error, "the kernel says nothing of this process");
        String::new()
    })
}

fn read() -> ProcResult<String> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second() as f64;
    let descriptors = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(most) => most as f64,
        LimitValue::Unlimited => f64::INFINITY,
    };
    let mut text = String::from("# TYPE process_cpu_seconds counter\n");
    let busy = (stat.utime + stat.stime) as f64 / ticks;
    writeln!(text, "process_cpu_seconds_total {busy}").expect("strings take everything");
    let gauges = [
        ("process_resident_memory_bytes", (stat.rss * procfs::page_size()) as f64),
        ("process_virtual_memory_bytes", stat.vsize as f64),
        ("process_start_time_seconds", procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks),
        ("process_open_fds", process.fd_count()? as f64),
        ("process_max_fds", descriptors),
    ];
    for (name, value) in gauges {
        writeln!(text, "# TYPE {name} gauge\n{name} {value}").expect("strings take everything");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_memory_and_files() {
        let text = metrics();
        for name in ["process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds "] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
            assert!(line[name.len()..].parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
        }
    }
}

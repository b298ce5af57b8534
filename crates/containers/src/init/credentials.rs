//! What a process gives up before its program runs: capabilities, root, new privileges, and the system calls its profile refuses.
//!
//! The order matters. Without `no_new_privs` the filter can only be loaded by one who has `CAP_SYS_ADMIN`, so it comes first;
//! with it, the filter comes last, so that as few calls as possible pass under it.

use std::fs;
use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::users::Resolved;
use crate::plan::{Filter, ProcessPlan};
use crate::seccomp;

/// Capabilities by number.
pub const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Open files that a process of a container may have: more makes programs slow that walk over all numbers.
const MAX_OPEN_FILES: u64 = 1 << 20;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Drops from root with every capability to what the plan allows. What cannot be dropped is an error.
pub fn give_up(plan: &ProcessPlan, user: &Resolved) -> Result<(), String> {
    let filters = filters(plan)?;
    let kept = mask(&plan.capabilities) & available_mask();
    let failed = |what: &'static str| move |error: io::Error| format!("cannot {what}: {error}");
    limit_open_files().map_err(failed("limit open files"))?;
    drop_bounding(kept).map_err(failed("drop capabilities from the bounding set"))?;
    if !plan.no_new_privs {
        load(&filters)?;
    }
    change_user(user).map_err(failed("change the user"))?;
    set_capabilities(kept).map_err(failed("set capabilities"))?;
    if plan.no_new_privs {
        control(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map_err(failed("set no_new_privs"))?;
        load(&filters)?;
    }
    Ok(())
}

/// The standard streams belong to the user, so that `/dev/stdout` can be opened again. Terminals and `/dev/null` stay as they are.
pub fn own_streams(user: &Resolved) {
    for fd in 0..3 {
        // SAFETY: the structure is plain data, and the calls take descriptors by number.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            if libc::fstat(fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFIFO {
                libc::fchown(fd, user.uid, user.gid);
            }
        }
    }
}

pub fn make_undumpable() -> io::Result<()> {
    control(libc::PR_SET_DUMPABLE, 0, 0)
}

/// The names of the capabilities that this process could pass on.
pub fn available_capabilities() -> Vec<String> {
    let mask = available_mask();
    CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(number, _)| mask & 1 << number != 0)
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

fn available_mask() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn mask(names: &[String]) -> u64 {
    CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(_, name)| names.iter().any(|wanted| wanted == *name))
        .fold(0, |mask, (number, _)| mask | 1 << number)
}

fn filters(plan: &ProcessPlan) -> Result<Vec<seccompiler::BpfProgram>, String> {
    match &plan.seccomp {
        Filter::Unconfined => Ok(Vec::new()),
        Filter::RuntimeDefault => seccomp::default_filters(&plan.capabilities).map_err(|error| error.to_string()),
        Filter::Profile(text) => seccomp::filters(text, &plan.capabilities).map_err(|error| error.to_string()),
    }
}

fn load(filters: &[seccompiler::BpfProgram]) -> Result<(), String> {
    for filter in filters {
        // `seccompiler::apply_filter` always sets no_new_privs, which would break setuid programs where the pod allows them.
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut().cast() };
        // SAFETY: the program and the filter it points to live through the call; the layouts are the kernel's.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        if result != 0 {
            return Err(format!("cannot load the seccomp filter: {}", io::Error::last_os_error()));
        }
    }
    Ok(())
}

fn limit_open_files() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = hard.min(MAX_OPEN_FILES);
    Ok(setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?)
}

fn drop_bounding(kept: u64) -> io::Result<()> {
    for number in 0..64 {
        // SAFETY: no memory is passed.
        let known = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) };
        if known < 0 {
            break;
        }
        if known == 1 && kept & 1 << number == 0 {
            control(libc::PR_CAPBSET_DROP, number, 0)?;
        }
    }
    Ok(())
}

fn change_user(user: &Resolved) -> io::Result<()> {
    control(libc::PR_SET_KEEPCAPS, 1, 0)?;
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    control(libc::PR_SET_KEEPCAPS, 0, 0)
}

/// Effective and permitted become `kept`, inheritable and ambient empty, as upstream's runtimes have it.
fn set_capabilities(kept: u64) -> io::Result<()> {
    control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)?;
    let header = [CAPABILITY_VERSION_3, 0];
    let (low, high) = (kept as u32, (kept >> 32) as u32);
    let data = [[low, low, 0], [high, high, 0]];
    // SAFETY: header and data have the kernel's layout of version 3 and live through the call.
    if unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn control(option: i32, first: u64, second: u64) -> io::Result<()> {
    // SAFETY: the options used here take numbers only.
    if unsafe { libc::prctl(option, first, second, 0, 0) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        assert_eq!(CAPABILITIES[21], "CAP_SYS_ADMIN");
        assert_eq!(CAPABILITIES[40], "CAP_CHECKPOINT_RESTORE");
        assert_eq!(mask(&["CAP_CHOWN".to_owned(), "CAP_KILL".to_owned(), "CAP_NONSENSE".to_owned()]), 1 | 1 << 5);
    }
}

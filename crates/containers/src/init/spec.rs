//! The OCI document that libcontainer reads: everything but the process itself, which is ours.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::api::{Mount, Propagation};
use crate::cgroup::DeviceRule;
use crate::plan::{ContainerPlan, CreatePlan, PidNamespace};

const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// What a privileged container does not get of the host's `/dev`: it has its own.
const OWN_DEVICES: &[&str] =
    &["/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/.lxc", "/dev/.lxd-mounts", "/dev/console", "/dev/ptmx"];

/// What the document needs to know of the host.
pub struct Host {
    pub capabilities: Vec<String>,
    pub devices: Vec<Device>,
}

/// A device node to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub path: PathBuf,
    pub kind: char,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

pub fn document(plan: &CreatePlan, root: &Path, host: &Host) -> Value {
    let container = &plan.container;
    let unmasked = container.privileged || container.unmasked_proc;
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": root, "readonly": container.read_only_rootfs },
        "process": process(host),
        "mounts": mounts(plan),
        "linux": {
            "cgroupsPath": format!("/{}", plan.cgroup),
            "namespaces": namespaces(plan),
            "devices": host.devices.iter().map(device).collect::<Vec<_>>(),
            "resources": { "devices": device_cgroup(container, &host.devices) },
            "rootfsPropagation": root_propagation(&container.mounts),
            "maskedPaths": if unmasked { &[] } else { MASKED },
            "readonlyPaths": if unmasked { &[] } else { READ_ONLY },
        },
    })
}

/// Root with everything: the real process is made from its own plan, as the last step.
fn process(host: &Host) -> Value {
    json!({
        "terminal": false,
        "user": { "uid": 0, "gid": 0 },
        "args": ["init"],
        "env": ["PATH=/"],
        "cwd": "/",
        "capabilities": { "bounding": host.capabilities, "effective": host.capabilities, "permitted": host.capabilities },
    })
}

fn namespaces(plan: &CreatePlan) -> Vec<Value> {
    let mut namespaces = vec![json!({ "type": "mount" })];
    // The host's cgroups are what a privileged container is there to see.
    if !plan.container.privileged {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    match &plan.sandbox.pid {
        PidNamespace::Own => namespaces.push(json!({ "type": "pid" })),
        PidNamespace::Path(path) => namespaces.push(json!({ "type": "pid", "path": path })),
        PidNamespace::Host => {}
    }
    let shared = [("network", &plan.sandbox.network), ("uts", &plan.sandbox.uts), ("ipc", &plan.sandbox.ipc)];
    namespaces
        .extend(shared.into_iter().filter_map(|(kind, path)| Some(json!({ "type": kind, "path": path.as_ref()? }))));
    namespaces
}

fn mounts(plan: &CreatePlan) -> Vec<Value> {
    let container = &plan.container;
    let access = if container.privileged { "rw" } else { "ro" };
    let mut all = vec![
        special("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        special("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        special("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        special("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        special("/sys", "sysfs", &["nosuid", "noexec", "nodev", access]),
        special("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access]),
        bind(&plan.sandbox.shm, Path::new("/dev/shm"), false, Propagation::Private),
    ];
    let files = [(&plan.sandbox.resolv_conf, "/etc/resolv.conf"), (&plan.sandbox.hostname, "/etc/hostname")];
    for (source, destination) in files {
        all.extend(
            source
                .as_ref()
                .map(|source| bind(source, Path::new(destination), container.read_only_rootfs, Propagation::Private)),
        );
    }
    // The pod's own mounts win over ours, and outer ones come before what lies in them.
    all.retain(|mount| !container.mounts.iter().any(|own| mount["destination"] == json!(own.container_path)));
    let mut own: Vec<&Mount> = container.mounts.iter().collect();
    own.sort_by_key(|mount| mount.container_path.components().count());
    all.extend(
        own.into_iter().map(|mount| bind(&mount.host_path, &mount.container_path, mount.read_only, mount.propagation)),
    );
    all
}

fn special(destination: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": kind, "options": options })
}

fn bind(source: &Path, destination: &Path, read_only: bool, propagation: Propagation) -> Value {
    let propagation = match propagation {
        Propagation::Private => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    };
    let access = if read_only { "ro" } else { "rw" };
    json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind", propagation, access] })
}

fn root_propagation(mounts: &[Mount]) -> &'static str {
    let shared = mounts.iter().any(|mount| mount.propagation == Propagation::Bidirectional);
    if shared { "shared" } else { "slave" }
}

fn device(device: &Device) -> Value {
    json!({
        "path": device.path, "type": device.kind.to_string(), "major": device.major, "minor": device.minor,
        "fileMode": device.mode, "uid": device.uid, "gid": device.gid,
    })
}

fn device_cgroup(plan: &ContainerPlan, devices: &[Device]) -> Vec<Value> {
    let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
    rules.extend(device_rules(plan, devices).into_iter().map(|rule| {
        let mut value = json!({ "allow": true, "type": rule.kind.to_string(), "access": rule.access });
        if let Some(major) = rule.major {
            value["major"] = json!(major);
        }
        if let Some(minor) = rule.minor {
            value["minor"] = json!(minor);
        }
        value
    }));
    rules
}

/// What the processes of a container may open: the usual character devices, and what the pod names.
pub fn device_rules(plan: &ContainerPlan, devices: &[Device]) -> Vec<DeviceRule> {
    let rule = |kind, major, minor, access: &str| DeviceRule { kind, major, minor, access: access.to_owned() };
    if plan.privileged {
        return vec![rule('a', None, None, "rwm")];
    }
    // Nodes may be made, but not opened.
    let mut rules = vec![rule('c', None, None, "m"), rule('b', None, None, "m")];
    let usual = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    rules.extend(usual.map(|(major, minor)| rule('c', Some(major), Some(minor), "rwm")));
    rules.push(rule('c', Some(136), None, "rwm"));
    for (device, (_, _, access)) in devices.iter().zip(&plan.devices) {
        rules.push(rule(device.kind, Some(device.major), Some(device.minor), access));
    }
    rules
}

/// The device nodes that a container gets from the host: those it names, and all of them when it is privileged.
pub fn host_devices(plan: &ContainerPlan) -> Vec<Device> {
    let mut devices: Vec<Device> =
        plan.devices.iter().filter_map(|(host, inside, _)| inspect(host, inside.clone())).collect();
    if plan.privileged {
        walk(Path::new("/dev"), &mut devices);
    }
    devices
}

fn walk(directory: &Path, devices: &mut Vec<Device>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if OWN_DEVICES.iter().any(|own| Path::new(own) == path) || devices.iter().any(|device| device.path == path) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, devices),
            Ok(kind) if kind.is_char_device() || kind.is_block_device() => devices.extend(inspect(&path, path.clone())),
            _ => {}
        }
    }
}

fn inspect(host: &Path, inside: PathBuf) -> Option<Device> {
    let metadata = fs::metadata(host).ok()?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => 'c',
        kind if kind.is_block_device() => 'b',
        _ => return None,
    };
    Some(Device {
        path: inside,
        kind,
        major: libc::major(metadata.rdev()),
        minor: libc::minor(metadata.rdev()),
        mode: metadata.mode() & 0o777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}

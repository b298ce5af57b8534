//! Namespaces that outlive every process in them: made by a child that ends, held by bind mounts under the run directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe2, sethostname};

/// `/dev/shm` of a pod.
const SHM_OPTIONS: &str = "mode=1777,size=65536k";

/// What to make; nothing that is the host's.
pub struct Wanted<'a> {
    pub directory: &'a Path,
    pub network: bool,
    pub ipc: bool,
    /// With this host name.
    pub uts: Option<&'a str>,
    pub sysctls: &'a BTreeMap<String, String>,
}

/// Makes the namespaces and mounts each at `DIRECTORY/{net,ipc,uts}`.
pub fn make(wanted: &Wanted<'_>) -> io::Result<()> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: the supervisor has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            if let Err(error) = make_here(wanted) {
                report(writer, &error);
            }
            // SAFETY: ends the child without running anything of its parent's.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut message = String::new();
            File::from(reader).read_to_string(&mut message)?;
            waitpid(child, None)?;
            if message.is_empty() { Ok(()) } else { Err(io::Error::other(message)) }
        }
    }
}

fn report(writer: OwnedFd, error: &io::Error) {
    if File::from(writer).write_all(error.to_string().as_bytes()).is_err() {
        eprintln!("cannot make namespaces: {error}");
    }
}

fn make_here(wanted: &Wanted<'_>) -> io::Result<()> {
    let kinds = kinds(wanted);
    unshare(kinds.iter().fold(CloneFlags::empty(), |flags, (_, flag)| flags | *flag))?;
    if let Some(hostname) = wanted.uts {
        sethostname(hostname)?;
    }
    if wanted.network {
        bring_loopback_up()?;
    }
    for (name, value) in wanted.sysctls {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value).map_err(|error| io::Error::new(error.kind(), format!("sysctl {name}: {error}")))?;
    }
    kinds.iter().try_for_each(|(name, _)| hold(Path::new("/proc/self/ns").join(name), &wanted.directory.join(name)))
}

fn kinds(wanted: &Wanted<'_>) -> Vec<(&'static str, CloneFlags)> {
    let all = [
        (wanted.network, "net", CloneFlags::CLONE_NEWNET),
        (wanted.ipc, "ipc", CloneFlags::CLONE_NEWIPC),
        (wanted.uts.is_some(), "uts", CloneFlags::CLONE_NEWUTS),
    ];
    all.into_iter().filter(|(wanted, ..)| *wanted).map(|(_, name, flag)| (name, flag)).collect()
}

/// Keeps a namespace by a mount.
pub fn hold(namespace: PathBuf, at: &Path) -> io::Result<()> {
    File::create(at)?;
    Ok(mount(Some(&namespace), at, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

fn bring_loopback_up() -> io::Result<()> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: the request is plain data, zeroed, and lives through the call; the name fits.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        if libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS as _, &raw const request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

pub fn mount_shm(at: &Path) -> io::Result<()> {
    fs::create_dir(at)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("shm"), at, Some("tmpfs"), flags, Some(SHM_OPTIONS))?)
}

/// Unmounts and removes everything in a sandbox's run directory. No error when it is gone.
pub fn release(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        // Mounts may lie on mounts.
        while umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
        if path.is_dir() { fs::remove_dir(&path)? } else { fs::remove_file(&path)? }
    }
    fs::remove_dir(directory)
}

//! A terminal of the container's own devpts, as the controlling one of the process.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::unistd::{Gid, Uid, fchown};

use super::process::Purpose;
use super::report::{Report, Socket};
use super::users::Resolved;

/// Opens a pair, sends the controlling end to the supervisor and makes the other the standard streams.
pub fn open(purpose: Purpose, user: &Resolved, socket: &Socket) -> io::Result<()> {
    let controller = open_end(Path::new("/dev/pts/ptmx"))?;
    let other_path = unlock(&controller)?;
    let other = open_end(&other_path)?;
    fchown(&other, Some(Uid::from_raw(user.uid)), None::<Gid>)?;
    if purpose == Purpose::FirstProcess {
        OpenOptions::new().create(true).append(true).mode(0o600).open("/dev/console")?;
        mount(Some(&other_path), "/dev/console", None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    }
    socket.send(&Report::Terminal, &[controller]);
    // SAFETY: both descriptors are open; numbers 0 to 2 are meant to be replaced.
    unsafe {
        if libc::ioctl(other.as_raw_fd(), libc::TIOCSCTTY, 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        for number in 0..3 {
            if libc::dup2(other.as_raw_fd(), number) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

fn open_end(path: &Path) -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path)?.into())
}

fn unlock(controller: &OwnedFd) -> io::Result<PathBuf> {
    let (mut number, unlocked) = (0u32, 0i32);
    // SAFETY: both calls read or write one integer that lives through them.
    unsafe {
        if libc::ioctl(controller.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) < 0
            || libc::ioctl(controller.as_raw_fd(), libc::TIOCGPTN, &raw mut number) < 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(PathBuf::from(format!("/dev/pts/{number}")))
}

//! Leaving nothing of a root behind, whether or not its supervisor is alive.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::api::Result;
use crate::cgroup::Cgroups;
use crate::image::to_api;
use crate::record::Layout;
use crate::supervisor;

/// Killed processes take a while to go, and may have forked just before.
const KILL_ROUNDS: u32 = 200;
const KILL_PAUSE: Duration = Duration::from_millis(50);

/// Ends the supervisor and every container of a root, and removes its groups, mounts, namespaces, sockets and files.
///
/// No agent may use the root meanwhile. May be repeated; nothing to remove is no error. Links of pods are the pod network's.
pub async fn reset(root: &Path, run: &Path) -> Result<()> {
    let layout = Layout { root: root.to_path_buf(), run: run.to_path_buf() };
    end_processes(&layout).await.map_err(to_api)?;
    super::blocking(move || {
        unmount_below(&layout.run)?;
        unmount_below(&layout.root)?;
        remove_tree(&layout.run)?;
        remove_tree(&layout.root)
    })
    .await
}

/// The supervisor first, as it makes the others.
async fn end_processes(layout: &Layout) -> io::Result<()> {
    let cgroups = Cgroups::detect()?;
    let group = layout.cgroup();
    let mut last = Ok(());
    for _ in 0..KILL_ROUNDS {
        let loose = supervisor::processes_of(&layout.root)?;
        loose.iter().for_each(|pid| end(*pid));
        cgroups.kill(&group);
        last = cgroups.remove(&group);
        if loose.is_empty() && last.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(KILL_PAUSE).await;
    }
    last.and_then(|()| Err(io::Error::other("processes of the containers do not end")))
}

fn end(pid: i32) {
    if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
        tracing::debug!(pid, %error, "the process is gone already");
    }
}

/// What was mounted last goes first, as mounts may lie on mounts.
fn unmount_below(directory: &Path) -> io::Result<()> {
    let mounted = fs::read_to_string("/proc/self/mountinfo")?;
    let points = mounted.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let below: Vec<PathBuf> = points.filter(|point| point.starts_with(directory)).collect();
    for point in below.iter().rev() {
        match umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // It went with the one that it lay on.
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Paths in mount tables have blanks and the like as `\040`.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = (*first == b'\\').then(|| std::str::from_utf8(tail.get(..3)?).ok()).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes))
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_in_mount_tables_are_read() {
        assert_eq!(unescape(r"/a\040b/c"), Path::new("/a b/c"));
        assert_eq!(unescape(r"/a\b"), Path::new(r"/a\b"));
    }
}

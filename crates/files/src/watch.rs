//! Tells when a file has another content.
//!
//! Holds one `unsafe` block: registering a descriptor with the runtime.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::select_all;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use sha2::{Digest as _, Sha256};
use tokio::io::unix::AsyncFd;

use crate::directory;

/// Wait before files are looked at again that could not be watched.
const RETRY: Duration = Duration::from_secs(60);

/// Calls `changed` whenever one of the files holds something else, and at first: they may have changed since they were
/// read. Runs until it is dropped, which is safe.
pub async fn follow(paths: &[&Path], mut changed: impl FnMut()) {
    if paths.is_empty() {
        return std::future::pending().await;
    }
    loop {
        let error = follow_while_watched(paths, &mut changed).await;
        tracing::error!(%error, files = ?paths, "files can not be watched");
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_while_watched(paths: &[&Path], changed: &mut impl FnMut()) -> io::Error {
    let watches: io::Result<Vec<FileWatch>> = paths.iter().map(|path| FileWatch::new(path)).collect();
    let mut watches = match watches {
        Ok(watches) => watches,
        Err(error) => return error,
    };
    loop {
        changed();
        let next = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
        if let (Err(error), ..) = next.await {
            return error;
        }
    }
}

pub struct FileWatch {
    fd: AsyncFd<OwnedFd>,
    path: PathBuf,
    seen: Option<[u8; 32]>,
}

impl FileWatch {
    /// Watches the directory, as files are replaced rather than written.
    pub fn new(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let flags = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        inotify.add_watch(directory(path), flags)?;
        let fd = inotify.as_fd().try_clone_to_owned()?;
        // SAFETY: `fd` is owned, so it is open and stays the same file until this is dropped.
        let fd = unsafe { AsyncFd::register(fd)? };
        Ok(Self { fd, path: path.to_owned(), seen: digest(path) })
    }

    /// Waits until the file holds something else. Safe to drop.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let now = digest(&self.path);
            if now.is_some() && now != self.seen {
                self.seen = now;
                return Ok(());
            }
            let mut ready = self.fd.readable().await?;
            let read = |fd: &AsyncFd<OwnedFd>| nix::unistd::read(fd.get_ref(), &mut [0; 4096]).map_err(io::Error::from);
            if let Ok(read) = ready.try_io(read) {
                read?;
            }
        }
    }
}

fn digest(path: &Path) -> Option<[u8; 32]> {
    std::fs::read(path).ok().map(|content| Sha256::digest(content).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_followed_together_from_the_moment_they_are_watched() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("a"), dir.path().join("b")];
        paths.iter().for_each(|path| std::fs::write(path, "one").unwrap());
        let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let watched = paths.clone();
        let following = tokio::spawn(async move {
            let watched: Vec<&Path> = watched.iter().map(PathBuf::as_path).collect();
            follow(&watched, || told.send(()).unwrap()).await;
        });
        for path in [None, Some(&paths[1]), Some(&paths[0])] {
            path.into_iter().for_each(|path| std::fs::write(path, "two").unwrap());
            seen.recv().await.unwrap();
        }
        following.abort();
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_or_written_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::new(&path).unwrap();
        std::fs::write(dir.path().join("other"), "x").unwrap();
        std::fs::write(&path, "two").unwrap();
        watch.changed().await.unwrap();
        std::fs::write(dir.path().join("new"), "three").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        watch.changed().await.unwrap();
    }
}

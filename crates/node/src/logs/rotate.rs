//! Keeps logs bounded: a file that grew too large is moved aside and a new one begun.
//!
//! upstream: pkg/kubelet/logs/container_log_manager.go

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use containers::{ContainerState, ContainerStatus, Runtime};
use tracing::warn;

/// A log is rotated past this many bytes.
pub const LOG_MAX: u64 = 10 << 20;
/// How many files a container's log has at most, the present one among them.
pub const LOG_FILES: usize = 5;
/// How often sizes are looked at; upstream's period.
const PERIOD: Duration = Duration::from_secs(10);

/// Rotates logs until the task is dropped.
pub async fn rotate_all(runtime: Arc<dyn Runtime>) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        match runtime.list_containers().await {
            Ok(containers) => {
                let running = containers.iter().filter(|container| container.state == ContainerState::Running);
                for container in running {
                    if let Err(error) = rotate(runtime.as_ref(), container).await {
                        warn!(%error, id = container.id, "cannot rotate a log");
                    }
                }
            }
            Err(error) => warn!(%error, "cannot list containers to rotate their logs"),
        }
    }
}

async fn rotate(runtime: &dyn Runtime, container: &ContainerStatus) -> io::Result<()> {
    let path = &container.log_path;
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > LOG_MAX => {}
        Ok(_) => return Ok(()),
        // An agent was killed after it had moved the file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return reopen(runtime, container).await,
        Err(error) => return Err(error),
    }
    let moved = with_suffix(path, &clock::now().strftime(".%Y%m%d-%H%M%S").to_string());
    std::fs::rename(path, &moved)?;
    if let Err(error) = reopen(runtime, container).await {
        std::fs::rename(&moved, path)?;
        return Err(error);
    }
    prune(path)
}

async fn reopen(runtime: &dyn Runtime, container: &ContainerStatus) -> io::Result<()> {
    runtime.reopen_log(&container.id).await.map_err(io::Error::other)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes the oldest of the files that were moved aside.
fn prune(path: &Path) -> io::Result<()> {
    let old = rotated(path)?;
    let surplus = (old.len() + 1).saturating_sub(LOG_FILES);
    old.iter().take(surplus).try_for_each(std::fs::remove_file)
}

/// The files that were moved aside, the oldest first.
pub fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path.parent().unwrap_or(Path::new("/")))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().strip_prefix(name.as_ref()).is_some_and(|rest| rest.starts_with('.')) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use containers::{ContainerConfig, SandboxConfig};

    use super::*;
    use crate::simulated::Containers;

    #[tokio::test]
    async fn a_log_that_is_not_there_is_begun() {
        let runtime = Containers::new();
        let sandbox = runtime.run_sandbox(&SandboxConfig::default()).await.unwrap();
        let id = runtime.create_container(&sandbox, &ContainerConfig::default()).await.unwrap();
        rotate(&runtime, &runtime.container_status(&id).await.unwrap()).await.unwrap();
        assert_eq!(runtime.logs_begun(), [id]);
    }

    #[test]
    fn the_oldest_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        for suffix in ["", ".1", ".2", ".3", ".4", ".5", ".6"] {
            std::fs::write(with_suffix(&path, suffix), "").unwrap();
        }
        prune(&path).unwrap();
        let left: Vec<PathBuf> = rotated(&path).unwrap();
        assert_eq!(left, [".3", ".4", ".5", ".6"].map(|suffix| with_suffix(&path, suffix)));
        assert!(path.exists());
    }
}

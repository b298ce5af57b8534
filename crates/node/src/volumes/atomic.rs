//! Writes a volume's files so that a reader sees all of the old ones or all of the new ones.
//!
//! The files live in a directory of their own (`..2026_01_01_00_00_00.123456789`); the symlink `..data`
//! points to it, and each visible name is a symlink through `..data`. Renaming `..data` is the switch.
//! upstream: pkg/volume/util/atomic_writer.go

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub data: Vec<u8>,
    pub mode: u32,
    /// Root where nobody is named.
    pub owner: Option<u32>,
}

/// Files by their path in the volume, such as `a` or `dir/b`.
pub type Payload = BTreeMap<String, File>;

/// Makes `target` hold exactly `payload`. Answers whether anything changed.
///
/// `group` owns the files where the pod has an `fsGroup`.
pub fn write(target: &Path, payload: &Payload, group: Option<u32>) -> io::Result<bool> {
    payload.keys().try_for_each(|path| check(path))?;
    let old = std::fs::read_link(target.join(DATA)).ok();
    let changed = match &old {
        Some(old) => !same(&target.join(old), payload, group)?,
        None => true,
    };
    if changed {
        let fresh = fresh_name();
        fill(&target.join(&fresh), payload, group)?;
        replace_link(target, &fresh)?;
    }
    link_visible(target, payload)?;
    unlink_stale(target, payload)?;
    if let Some(old) = old.filter(|_| changed) {
        std::fs::remove_dir_all(target.join(old))?;
    }
    Ok(changed)
}

/// A path must stay inside the volume and must not look like the writer's own names.
fn check(path: &str) -> io::Result<()> {
    let inside = !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if inside && !path.starts_with("..") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path: {path}")))
}

fn fresh_name() -> String {
    clock::now().strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string()
}

fn same(dir: &Path, payload: &Payload, group: Option<u32>) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeSet::new();
    files(dir, "", &mut found)?;
    if !found.iter().eq(payload.keys()) {
        return Ok(false);
    }
    for (path, file) in payload {
        let full = dir.join(path);
        let meta = std::fs::metadata(&full)?;
        let mode = mode_for(file.mode, group);
        let fits = meta.mode() & 0o7777 == mode
            && meta.uid() == file.owner.unwrap_or(0)
            && group.is_none_or(|group| meta.gid() == group);
        if !fits || std::fs::read(&full)? != file.data {
            return Ok(false);
        }
    }
    Ok(true)
}

fn files(dir: &Path, prefix: &str, found: &mut BTreeSet<String>) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files(&entry.path(), &format!("{path}/"), found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

/// With an `fsGroup` the owner and the group may read.
fn mode_for(mode: u32, group: Option<u32>) -> u32 {
    if group.is_some() { mode | 0o440 } else { mode }
}

fn fill(dir: &Path, payload: &Payload, group: Option<u32>) -> io::Result<()> {
    make_dir(dir, group)?;
    for (path, file) in payload {
        let full = dir.join(path);
        let mut parent = dir.to_path_buf();
        for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
            parent.push(part);
            if !parent.exists() {
                make_dir(&parent, group)?;
            }
        }
        std::fs::write(&full, &file.data)?;
        std::fs::set_permissions(&full, std::fs::Permissions::from_mode(mode_for(file.mode, group)))?;
        std::os::unix::fs::chown(&full, file.owner, group)?;
    }
    Ok(())
}

fn make_dir(dir: &Path, group: Option<u32>) -> io::Result<()> {
    std::fs::create_dir(dir)?;
    let mode = if group.is_some() { 0o2775 } else { 0o755 };
    std::os::unix::fs::chown(dir, None, group)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode))
}

fn replace_link(target: &Path, fresh: &str) -> io::Result<()> {
    let new = target.join(DATA_NEW);
    remove_if_there(&new)?;
    symlink(fresh, &new)?;
    std::fs::rename(&new, target.join(DATA))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The first parts of the payload's paths: what a reader sees in the volume.
fn visible(payload: &Payload) -> BTreeSet<&str> {
    payload.keys().filter_map(|path| path.split('/').next()).collect()
}

fn link_visible(target: &Path, payload: &Payload) -> io::Result<()> {
    for name in visible(payload) {
        let link = target.join(name);
        if std::fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), link)?;
        }
    }
    Ok(())
}

fn unlink_stale(target: &Path, payload: &Payload) -> io::Result<()> {
    let wanted = visible(payload);
    for entry in std::fs::read_dir(target)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |data: &str| File { data: data.into(), mode: 0o644, owner: None };
        files.iter().map(|(path, data)| (path.to_string(), file(data))).collect()
    }

    fn listing(dir: &Path) -> String {
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("..2")).collect();
        names.sort();
        names.join(" ")
    }

    #[test]
    fn files_appear_change_and_go_behind_one_link() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path();
        assert!(write(target, &payload(&[("a", "1"), ("d/b", "2")]), None).unwrap());
        assert_eq!(listing(target), "..data a d");
        assert_eq!(std::fs::read_link(target.join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(std::fs::read_to_string(target.join("d/b")).unwrap(), "2");

        let before = std::fs::read_link(target.join("..data")).unwrap();
        assert!(!write(target, &payload(&[("a", "1"), ("d/b", "2")]), None).unwrap());
        assert_eq!(std::fs::read_link(target.join("..data")).unwrap(), before);

        assert!(write(target, &payload(&[("a", "9")]), None).unwrap());
        assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "9");
        assert_eq!(listing(target), "..data a");
        assert!(!target.join(before).exists());
    }

    #[test]
    fn the_owner_and_the_group_of_the_pod_may_read() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        for (owner, mode, wanted) in [(None, 0o400, 0o440), (Some(1000), 0o400, 0o440), (Some(1000), 0o600, 0o640)] {
            let owned = Payload::from([("k".to_string(), File { data: b"x".into(), mode, owner })]);
            assert!(write(dir.path(), &owned, Some(2000)).unwrap());
            let meta = std::fs::metadata(dir.path().join("k")).unwrap();
            assert_eq!((meta.mode() & 0o777, meta.uid(), meta.gid()), (wanted, owner.unwrap_or(0), 2000));
            assert!(!write(dir.path(), &owned, Some(2000)).unwrap());
        }
    }

    #[test]
    fn paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../x", "/x", "a/../b", "..x", ""] {
            assert!(write(dir.path(), &payload(&[(path, "")]), None).is_err(), "{path}");
        }
    }
}

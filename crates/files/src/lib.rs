//! Files that are replaced as a whole: by us, and by others while we look. The watch holds one `unsafe` block.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

mod watch;

pub use watch::{FileWatch, follow};

/// Puts a file with this content and mode in the place of another, if there is one; its directory is made if needed. It
/// is on the disk when this returns, and at every moment before there is the one or the other.
pub fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let directory = directory(path);
    fs::create_dir_all(directory)?;
    // Of a name that no other writer has, nor one that was cut off: its file might be open to others.
    let temporary = path.with_extension(format!("{}.new", clock::uuid()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        fs::remove_file(&temporary)?;
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

/// Where the file lies; one of a single name in the working directory.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_lies_in_its_directory() {
        for (path, expected) in [("/etc/config", "/etc"), ("etc/config", "etc"), ("config", "."), ("/config", "/")] {
            assert_eq!(directory(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn a_file_is_closed_to_others_whatever_lies_about() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/ca.key");
        replace(&dir.path().join("deep/ca.new"), "left by a write that was cut off", 0o644).unwrap();
        for text in ["key", "another"] {
            replace(&path, text, 0o600).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path().join("deep")).unwrap().count(), 2, "nothing is left over");
    }
}

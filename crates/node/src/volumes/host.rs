//! `hostPath` volumes: what must be there, and what is made.
//!
//! upstream: pkg/volume/hostpath

use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::payload::Fault;

/// Checks that `path` is what `type_` says, making it where the type asks for that.
pub fn check(path: &Path, type_: &str) -> Result<(), Fault> {
    let made = match type_ {
        "DirectoryOrCreate" if !path.exists() => std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path),
        "FileOrCreate" if !path.exists() => {
            let mut options = std::fs::OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(0o644).open(path).map(|_| ())
        }
        _ => Ok(()),
    };
    made.map_err(|error| format!("{}: {error}", path.display()))?;
    let is = |test: fn(&std::fs::FileType) -> bool| std::fs::metadata(path).is_ok_and(|meta| test(&meta.file_type()));
    let (holds, what) = match type_ {
        "Directory" | "DirectoryOrCreate" => (is(std::fs::FileType::is_dir), "a directory"),
        "File" | "FileOrCreate" => (is(std::fs::FileType::is_file), "a file"),
        "Socket" => (is(FileTypeExt::is_socket), "a socket file"),
        "CharDevice" => (is(FileTypeExt::is_char_device), "a character device"),
        "BlockDevice" => (is(FileTypeExt::is_block_device), "a block device"),
        // Without a type the runtime makes what is missing, as upstream's runtimes do.
        "" => return made_when_missing(path),
        other => return Err(format!("hostPath type check failed: {} is an invalid volume type", other)),
    };
    if holds { Ok(()) } else { Err(format!("hostPath type check failed: {} is not {what}", path.display())) }
}

fn made_when_missing(path: &Path) -> Result<(), Fault> {
    if path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_missing_ones_made() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d");
        let file = root.path().join("f");
        let fault =
            |path: &Path, what: &str| Err(format!("hostPath type check failed: {} is not {what}", path.display()));
        assert_eq!(check(&dir, "Directory"), fault(&dir, "a directory"));
        assert_eq!(check(&dir, "DirectoryOrCreate"), Ok(()));
        assert_eq!(check(&dir, "Directory"), Ok(()));
        assert_eq!(check(&dir, "File"), fault(&dir, "a file"));
        assert_eq!(check(&file, "FileOrCreate"), Ok(()));
        assert_eq!(check(&file, "Socket"), fault(&file, "a socket file"));
        assert_eq!(check(Path::new("/dev/null"), "CharDevice"), Ok(()));
        assert_eq!(check(&root.path().join("any"), ""), Ok(()));
    }
}

//! The archive with the sample image, packed when something of it is newer.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};

use super::Output;

const SOURCES: &[&str] = &["crates/sample/src", "crates/xtask/src", "crates/archive/src"];

/// Where the archive is. The first test that asks packs it; the others wait for it.
pub fn archive() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_keelson")).with_file_name("sample.tar");
    let lock = File::create(beside.with_extension("lock")).expect("the target directory can be written to");
    let _turn = Flock::lock(lock, FlockArg::LockExclusive).expect("a lock is waited for");
    if modified(&beside) < newest_source() {
        let mut pack = Command::new(env!("CARGO"));
        Output::of(pack.args(["run", "--quiet", "--package", "xtask", "--", "image"])).succeeds();
    }
    beside
}

fn newest_source() -> SystemTime {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = SOURCES.iter().flat_map(|source| fs::read_dir(root.join(source)).expect("the sources are there"));
    files.map(|file| modified(&file.expect("a directory is read").path())).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|of| of.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

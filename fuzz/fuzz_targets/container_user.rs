//! Users of containers, from their own files: no number that the kernel takes for "as it was".
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

mod plan {
    /// Stands in for the plan's.
    pub struct User {
        pub name: String,
        pub group: Option<u32>,
        pub supplemental_groups: Vec<u32>,
    }
}

#[allow(dead_code)]
#[path = "../../crates/containers/src/init/users.rs"]
mod users;

static ROOT: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir_in("/dev/shm").expect("a directory"));

fuzz_target!(|input: (&str, Option<u16>, &[u8], &[u8])| {
    let (name, group, passwd, groups) = input;
    let root: &Path = ROOT.path();
    fs::create_dir_all(root.join("etc")).expect("a directory");
    fs::write(root.join("etc/passwd"), passwd).expect("a file");
    fs::write(root.join("etc/group"), groups).expect("a file");
    let user = plan::User { name: name.to_owned(), group: group.map(u32::from), supplemental_groups: Vec::new() };
    let Ok(found) = users::resolve(&user, root) else { return };
    let is_id = |id: &u32| i32::try_from(*id).is_ok();
    assert!(is_id(&found.uid) && is_id(&found.gid) && found.groups.iter().all(is_id), "{found:?}");
    assert!(found.groups.contains(&found.gid));
    if let Ok(number) = name.parse::<u32>() {
        assert!(found.uid == number || String::from_utf8_lossy(passwd).lines().any(|line| line.starts_with(name)));
    }
});

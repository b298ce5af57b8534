//! A cluster for one test, and how a test looks at it.

mod cluster;
mod credentials;
mod image;
mod load;
pub mod machine;
pub mod manifests;
mod output;
mod script;
mod servers;
mod wait;

pub use cluster::Cluster;
pub use credentials::bearer;
pub use load::Load;
pub use machine::{Lan, Machine, enter};
pub use output::Output;
pub use script::{Script, Serving};
pub use servers::Servers;
pub use wait::{until, until_within};

use std::path::Path;

/// Programs that users have and tests drive.
const PROGRAMS: &[&str] = &["kubectl", "ip", "nft", "nsenter", "curl", "dig"];

/// Percent of the disk; with less, a node has disk pressure.
const LEAST_FREE: u64 = 11;

/// Fails with a clear text where a test cannot run.
fn require_everything() {
    assert!(nix::unistd::Uid::effective().is_root(), "containers and networks need root: run these tests as root");
    let path = std::env::var("PATH").unwrap_or_default();
    let missing: Vec<&&str> = PROGRAMS
        .iter()
        .filter(|program| !path.split(':').any(|directory| Path::new(directory).join(program).exists()))
        .collect();
    assert!(missing.is_empty(), "these tests need programs that are not installed: {missing:?}");
    let directory = std::env::temp_dir();
    let disk = nix::sys::statvfs::statvfs(&directory).expect("there is a place for files");
    let free = disk.blocks_available() * 100 / disk.blocks().max(1);
    assert!(
        free >= LEAST_FREE,
        "only {free} % of {} are free, so that nodes take no pods: make room, or set TMPDIR",
        directory.display()
    );
}

//! A cluster for one test, and how a test looks at it.

mod cluster;
mod image;
mod load;
mod machine;
pub mod manifests;
mod output;
mod wait;

pub use cluster::Cluster;
pub use load::Load;
pub use machine::Machine;
pub use output::Output;
pub use wait::{until, until_within};

use std::path::Path;

/// Programs that users have and tests drive.
const PROGRAMS: &[&str] = &["kubectl", "ip", "nsenter", "curl", "dig"];

/// Fails with a clear text where a test cannot run.
fn require_everything() {
    assert!(nix::unistd::Uid::effective().is_root(), "containers and networks need root: run these tests as root");
    let path = std::env::var("PATH").unwrap_or_default();
    let missing: Vec<&&str> = PROGRAMS
        .iter()
        .filter(|program| !path.split(':').any(|directory| Path::new(directory).join(program).exists()))
        .collect();
    assert!(missing.is_empty(), "these tests need programs that are not installed: {missing:?}");
}

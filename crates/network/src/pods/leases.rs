//! Which sandbox has which address: one small file for each, so that a crash forgets none.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use containers::PortMapping;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::links::Cidr;
use crate::{Error, Result};

/// An address that a sandbox holds, with the host ports that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub sandbox_id: String,
    pub address: Ipv4Addr,
    pub ports: Vec<PortMapping>,
}

/// All leases of a node, by sandbox.
pub struct Leases {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    leases: BTreeMap<String, Lease>,
    /// The address given last: the search goes on behind it, so that an address rests before it is reused.
    last: u32,
}

impl Leases {
    pub fn open(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|cause| at(directory, cause))?;
        let mut state = State::default();
        for entry in std::fs::read_dir(directory).map_err(|cause| at(directory, cause))? {
            let path = entry.map_err(|cause| at(directory, cause))?.path();
            match path.extension().is_some_and(|extension| extension == "json").then(|| read(&path)) {
                Some(Ok(lease)) => drop(state.leases.insert(lease.sandbox_id.clone(), lease)),
                // A half-written file belongs to a lease that was never answered.
                Some(Err(_)) | None => std::fs::remove_file(&path).map_err(|cause| at(&path, cause))?,
            }
        }
        Ok(Self { directory: directory.to_owned(), state: Mutex::new(state) })
    }

    /// Forgets all leases; the directory may be gone.
    pub fn remove(directory: &Path) -> Result<()> {
        match std::fs::remove_dir_all(directory) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(at(directory, cause)),
            _ => Ok(()),
        }
    }

    pub fn all(&self) -> Vec<Lease> {
        self.state.lock().leases.values().cloned().collect()
    }

    pub fn get(&self, sandbox_id: &str) -> Option<Lease> {
        self.state.lock().leases.get(sandbox_id).cloned()
    }

    /// The sandbox's lease, and whether it was made just now. The base, the gateway and the last address of
    /// the block are never given.
    pub fn take(&self, sandbox_id: &str, block: Cidr, ports: &[PortMapping]) -> Result<(Lease, bool)> {
        let mut state = self.state.lock();
        if let Some(lease) = state.leases.get(sandbox_id) {
            return Ok((lease.clone(), false));
        }
        let index = state.free_index(block).ok_or_else(|| Error::Exhausted(block.to_string()))?;
        let lease = Lease { sandbox_id: sandbox_id.to_owned(), address: block.nth(index), ports: ports.to_vec() };
        write(&self.path(sandbox_id), &lease)?;
        state.last = index;
        state.leases.insert(sandbox_id.to_owned(), lease.clone());
        Ok((lease, true))
    }

    pub fn release(&self, sandbox_id: &str) -> Result<()> {
        let mut state = self.state.lock();
        if state.leases.remove(sandbox_id).is_some() {
            let path = self.path(sandbox_id);
            std::fs::remove_file(&path).map_err(|cause| at(&path, cause))?;
        }
        Ok(())
    }

    fn path(&self, sandbox_id: &str) -> PathBuf {
        self.directory.join(format!("{sandbox_id}.json"))
    }
}

impl State {
    fn free_index(&self, block: Cidr) -> Option<u32> {
        const FIRST: u32 = 2;
        let end = u32::try_from(block.size() - 1).ok()?;
        let taken: std::collections::BTreeSet<Ipv4Addr> = self.leases.values().map(|lease| lease.address).collect();
        let after_last = (self.last + 1).clamp(FIRST, end);
        (after_last..end).chain(FIRST..after_last).find(|index| !taken.contains(&block.nth(*index)))
    }
}

fn read(path: &Path) -> Result<Lease> {
    let bytes = std::fs::read(path).map_err(|cause| at(path, cause))?;
    serde_json::from_slice(&bytes).map_err(|cause| at(path, cause.into()))
}

/// Whole or not at all: written beside and renamed.
fn write(path: &Path, lease: &Lease) -> Result<()> {
    let beside = path.with_extension("new");
    let bytes = serde_json::to_vec(lease).expect("a lease always prints");
    std::fs::write(&beside, bytes).map_err(|cause| at(&beside, cause))?;
    std::fs::rename(&beside, path).map_err(|cause| at(path, cause))
}

fn at(path: &Path, cause: std::io::Error) -> Error {
    Error::File { path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Cidr {
        "10.0.0.0/29".parse().unwrap()
    }

    #[test]
    fn an_address_rests_before_it_is_given_again() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::open(directory.path()).unwrap();
        let take = |id: &str| leases.take(id, block(), &[]).map(|(lease, _)| lease.address.octets()[3]);
        assert_eq!([take("a").unwrap(), take("b").unwrap(), take("a").unwrap()], [2, 3, 2]);
        leases.release("a").unwrap();
        assert_eq!([take("c").unwrap(), take("d").unwrap(), take("e").unwrap(), take("f").unwrap()], [4, 5, 6, 2]);
        assert!(matches!(take("g"), Err(Error::Exhausted(_))));
    }

    #[test]
    fn leases_survive_and_half_written_ones_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let lease = Leases::open(directory.path()).unwrap().take("a", block(), &[]).unwrap().0;
        std::fs::write(directory.path().join("b.new"), "{").unwrap();
        std::fs::write(directory.path().join("c.json"), "{").unwrap();
        assert_eq!(Leases::open(directory.path()).unwrap().all(), [lease]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

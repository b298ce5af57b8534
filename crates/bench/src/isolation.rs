//! A network and a mount namespace for everything that is measured: nothing of it is seen by the rest of the
//! machine, and its links, rules and mounts go with the last process in it.

use std::net::Ipv4Addr;

use network::links::Links;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The address of the measured node: one of those that are for documentation, so that nothing is behind it.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Puts the calling thread into new namespaces; to be called before there is any other thread.
pub fn enter() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
}

/// Gives the namespace its loopback and the node's address on it.
pub async fn set_up_links() -> anyhow::Result<()> {
    const LOOPBACK: u32 = 1;
    let links = Links::here()?;
    links.up(LOOPBACK).await?;
    Ok(links.add_address(LOOPBACK, ADDRESS, 32).await?)
}

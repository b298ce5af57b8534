//! What is to be done about a range of Service addresses.

use std::net::IpAddr;
use std::time::Duration;

/// How long a range that is being deleted must have been of no use, so that every allocator knows.
const DELETION_GRACE: Duration = Duration::from_secs(10);

/// A network, of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    network: u128,
    bits: u32,
    v4: bool,
}

impl Prefix {
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let (v4, bits) = (address.is_ipv4(), bits.parse::<u32>().ok()?);
        let bits = if v4 { bits.checked_add(96)? } else { bits };
        (bits <= 128).then(|| Self { network: masked(number(address), bits), bits, v4 })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.v4 && masked(number(address), self.bits) == self.network
    }

    fn covers(&self, other: &Self) -> bool {
        self.v4 == other.v4 && self.bits <= other.bits && masked(other.network, self.bits) == self.network
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn masked(number: u128, bits: u32) -> u128 {
    number & u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

#[derive(Clone, Debug, Default)]
pub struct View {
    pub prefixes: Vec<Prefix>,
    /// How long the range has been on its way out.
    pub terminating: Option<Duration>,
    pub finalizer: bool,
    /// The status of the condition `Ready`.
    pub ready: Option<bool>,
    /// The prefixes of the other ranges.
    pub others: Vec<Prefix>,
    /// Addresses that Services have.
    pub addresses: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    AddFinalizer,
    MarkReady,
    /// Addresses would be left without a range.
    MarkBlocked,
    Wait(Duration),
    RemoveFinalizer,
}

pub fn decide(view: &View) -> Step {
    match view.terminating {
        None if !view.finalizer => Step::AddFinalizer,
        None if view.ready != Some(true) => Step::MarkReady,
        None => Step::Nothing,
        Some(_) if is_needed(view) && view.ready == Some(false) => Step::Nothing,
        Some(_) if is_needed(view) => Step::MarkBlocked,
        Some(since) if since < DELETION_GRACE => Step::Wait(DELETION_GRACE - since),
        Some(_) if view.finalizer => Step::RemoveFinalizer,
        Some(_) => Step::Nothing,
    }
}

/// Whether an address would be in no range any more.
fn is_needed(view: &View) -> bool {
    let covered = |prefix: &Prefix| view.others.iter().any(|other| other.covers(prefix));
    if view.prefixes.iter().all(covered) {
        return false;
    }
    let within = |prefixes: &[Prefix], address: IpAddr| prefixes.iter().any(|prefix| prefix.contains(address));
    view.addresses.iter().any(|address| within(&view.prefixes, *address) && !within(&view.others, *address))
}

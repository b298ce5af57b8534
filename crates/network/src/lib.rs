//! The pod network and the service proxy of one node.
//!
//! - [`pods`]: every pod gets a veth pair on the node's bridge, an address of the node's pod CIDR and its
//!   host ports; routes lead to the pods of other nodes.
//! - [`proxy`]: cluster IPs, node ports and external addresses of Services, as nftables maps that are
//!   changed in deltas.
//! - [`nft`]: the messages that nftables understands, without its command line program.
//!
//! Both keep nothing in the kernel that they do not own by name, and replace what a crash left behind.

pub mod links;
pub mod nft;
pub mod pods;
pub mod proxy;
pub mod routes;

pub use pods::{PodNetwork, PodNetworkConfig};

/// Packets that must leave with the node's own address carry this bit in their mark, as upstream's do.
const MASQUERADE_MARK: u32 = 0x4000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Nftables(#[from] nft::Error),
    #[error("{doing}: {cause}")]
    Link { doing: String, cause: String },
    #[error("{path}: {cause}")]
    File { path: std::path::PathBuf, cause: std::io::Error },
    #[error("no free address in {0}")]
    Exhausted(String),
    #[error("{0}")]
    Invalid(String),
}

pub type Result<T> = std::result::Result<T, Error>;

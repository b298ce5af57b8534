//! nftables over netlink: messages for the kernel, in batches that apply whole or not at all.
//!
//! Only what the product programs is here: tables, chains, rules, maps and their elements of family `ip`.
//! Terms are those of nft(8); numbers are those of the kernel's `linux/netfilter/nf_tables.h`.

mod batch;
mod expr;
mod socket;
mod wire;

pub use batch::{Batch, ChainKind, Hook, SetSpec, Value, ValueSpec, Verdict};
pub use expr::{Expr, Register};
pub use socket::{Error, apply};

/// A concatenated key or value: each field padded to four bytes, as the kernel compares them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Data(pub Vec<u8>);

impl Data {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn address(mut self, address: std::net::Ipv4Addr) -> Self {
        self.0.extend(address.octets());
        self
    }

    pub fn protocol(mut self, protocol: u8) -> Self {
        self.0.extend([protocol, 0, 0, 0]);
        self
    }

    pub fn port(mut self, port: u16) -> Self {
        self.0.extend(port.to_be_bytes());
        self.0.extend([0, 0]);
        self
    }

    /// A number in the byte order of the host, as `numgen` and `mark` produce it.
    pub fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }
}

/// What the fields of a key or value are, so that `nft list ruleset` prints them readably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Address,
    Protocol,
    Service,
    Integer,
}

impl DataType {
    /// nft's own number of the type.
    fn id(self) -> u32 {
        match self {
            Self::Integer => 4,
            Self::Address => 7,
            Self::Protocol => 12,
            Self::Service => 13,
        }
    }

    /// nft packs the types of a concatenation six bits each.
    fn concatenate(types: &[Self]) -> u32 {
        types.iter().fold(0, |packed, of| (packed << 6) | of.id())
    }

    fn length(types: &[Self]) -> u32 {
        4 * u32::try_from(types.len()).expect("a key has a handful of fields")
    }
}

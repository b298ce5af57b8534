//! The expressions that rules are made of.

use std::time::Duration;

use super::Data;
use super::batch::{ANONYMOUS_MAP, FAMILY, Verdict, write_data, write_verdict};
use super::wire::Wire;

/// A 32-bit register; wider values take those that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(u32);

impl Register {
    pub const FIRST: Self = Self(0);
    pub const SECOND: Self = Self(1);
    pub const THIRD: Self = Self(2);

    /// `NFT_REG32_00` and up.
    fn number(self) -> u32 {
        8 + self.0
    }
}

/// One step of a rule. Loads write a register; matches end the rule when they do not hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    LoadSourceAddress(Register),
    LoadDestinationAddress(Register),
    LoadDestinationPort(Register),
    LoadProtocol(Register),
    LoadMark(Register),
    StoreMark(Register),
    /// Name of the interface that the packet leaves by, 16 bytes.
    LoadOutputName(Register),
    LoadConntrackStatus(Register),
    /// `fib daddr type`
    LoadDestinationKind(Register),
    /// A number below the modulus, at random.
    Random {
        into: Register,
        modulus: u32,
    },
    Immediate {
        into: Register,
        data: Data,
    },
    /// `register & mask ^ xor`, on numbers in the byte order of the host.
    Bitwise {
        register: Register,
        mask: u32,
        xor: u32,
    },
    /// `register & mask`, on addresses.
    MaskAddress {
        register: Register,
        mask: [u8; 4],
    },
    Equal(Register, Data),
    NotEqual(Register, Data),
    /// Matches when the key is in the set.
    InSet {
        set: String,
        key: Register,
    },
    /// Follows the verdict that a map has for the key.
    VerdictMap {
        map: String,
        key: Register,
    },
    /// Loads the value that a map has for the key.
    Map {
        map: String,
        key: Register,
        into: Register,
    },
    /// The same in the anonymous map that was added to the batch just before, by its id.
    AnonymousMap {
        id: u32,
        key: Register,
        into: Register,
    },
    /// Follows the verdict of such a map.
    AnonymousVerdictMap {
        id: u32,
        key: Register,
    },
    /// Adds the key to a set for a while, or renews it.
    Remember {
        set: String,
        key: Register,
        timeout: Duration,
    },
    DestinationNat {
        address: Register,
        port: Register,
    },
    Masquerade,
    /// ICMP port unreachable.
    RejectPort,
    Verdict(Verdict),
}

impl Expr {
    pub(super) fn write(&self, wire: &mut Wire) {
        const LIST_ELEMENT: u16 = 1;
        wire.nest(LIST_ELEMENT, |wire| {
            wire.text(1, self.name());
            wire.nest(2, |wire| self.write_data(wire));
        });
    }

    fn name(&self) -> &'static str {
        match self {
            Self::LoadSourceAddress(_) | Self::LoadDestinationAddress(_) | Self::LoadDestinationPort(_) => "payload",
            Self::LoadProtocol(_) | Self::LoadMark(_) | Self::StoreMark(_) | Self::LoadOutputName(_) => "meta",
            Self::LoadConntrackStatus(_) => "ct",
            Self::LoadDestinationKind(_) => "fib",
            Self::Random { .. } => "numgen",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Bitwise { .. } | Self::MaskAddress { .. } => "bitwise",
            Self::Equal(..) | Self::NotEqual(..) => "cmp",
            Self::InSet { .. }
            | Self::VerdictMap { .. }
            | Self::Map { .. }
            | Self::AnonymousMap { .. }
            | Self::AnonymousVerdictMap { .. } => "lookup",
            Self::Remember { .. } => "dynset",
            Self::DestinationNat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::RejectPort => "reject",
        }
    }

    fn write_data(&self, wire: &mut Wire) {
        match self {
            Self::LoadSourceAddress(into) => payload(wire, *into, NETWORK_HEADER, 12, 4),
            Self::LoadDestinationAddress(into) => payload(wire, *into, NETWORK_HEADER, 16, 4),
            Self::LoadDestinationPort(into) => payload(wire, *into, TRANSPORT_HEADER, 2, 2),
            Self::LoadMark(into) => load(wire, *into, META_MARK),
            Self::StoreMark(from) => {
                wire.u32(2, META_MARK);
                wire.u32(3, from.number());
            }
            Self::LoadOutputName(into) => load(wire, *into, META_OUTPUT_NAME),
            Self::LoadProtocol(into) => load(wire, *into, META_PROTOCOL),
            Self::LoadConntrackStatus(into) => load(wire, *into, CONNTRACK_STATUS),
            Self::LoadDestinationKind(into) => {
                load(wire, *into, FIB_ADDRESS_TYPE);
                wire.u32(3, FIB_BY_DESTINATION);
            }
            Self::Random { into, modulus } => {
                load(wire, *into, *modulus);
                wire.u32(3, NUMBER_AT_RANDOM);
            }
            Self::Immediate { into, data } => {
                wire.u32(1, into.number());
                write_data(wire, 2, data);
            }
            Self::Bitwise { register, mask, xor } => {
                bitwise(wire, *register, &mask.to_ne_bytes(), &xor.to_ne_bytes());
            }
            Self::MaskAddress { register, mask } => bitwise(wire, *register, mask, &[0; 4]),
            Self::Equal(register, data) => compare(wire, *register, 0, data),
            Self::NotEqual(register, data) => compare(wire, *register, 1, data),
            Self::InSet { set, key } => lookup(wire, set, *key, None),
            Self::VerdictMap { map, key } => lookup(wire, map, *key, Some(VERDICT_REGISTER)),
            Self::Map { map, key, into } => lookup(wire, map, *key, Some(into.number())),
            Self::AnonymousMap { id, key, into } => {
                lookup(wire, ANONYMOUS_MAP, *key, Some(into.number()));
                wire.u32(4, *id);
            }
            Self::AnonymousVerdictMap { id, key } => {
                lookup(wire, ANONYMOUS_MAP, *key, Some(VERDICT_REGISTER));
                wire.u32(4, *id);
            }
            Self::Remember { set, key, timeout } => {
                wire.text(1, set);
                wire.u32(3, SET_UPDATE);
                wire.u32(4, key.number());
                wire.u64(6, u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
            }
            Self::DestinationNat { address, port } => {
                wire.u32(1, NAT_DESTINATION);
                wire.u32(2, FAMILY.into());
                wire.u32(3, address.number());
                wire.u32(5, port.number());
            }
            Self::Masquerade => {}
            Self::RejectPort => {
                wire.u32(1, 0);
                wire.u8(2, ICMP_PORT_UNREACHABLE);
            }
            Self::Verdict(verdict) => {
                wire.u32(1, VERDICT_REGISTER);
                wire.nest(2, |wire| write_verdict(wire, verdict));
            }
        }
    }
}

const VERDICT_REGISTER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const META_MARK: u32 = 3;
const META_OUTPUT_NAME: u32 = 7;
const META_PROTOCOL: u32 = 16;
const CONNTRACK_STATUS: u32 = 2;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_BY_DESTINATION: u32 = 2;
const NUMBER_AT_RANDOM: u32 = 1;
const NAT_DESTINATION: u32 = 1;
const SET_UPDATE: u32 = 1;
const ICMP_PORT_UNREACHABLE: u8 = 3;

fn payload(wire: &mut Wire, into: Register, base: u32, offset: u32, length: u32) {
    load(wire, into, base);
    wire.u32(3, offset);
    wire.u32(4, length);
}

fn load(wire: &mut Wire, into: Register, what: u32) {
    wire.u32(1, into.number());
    wire.u32(2, what);
}

fn compare(wire: &mut Wire, register: Register, operation: u32, data: &Data) {
    load(wire, register, operation);
    write_data(wire, 3, data);
}

fn bitwise(wire: &mut Wire, register: Register, mask: &[u8], xor: &[u8]) {
    load(wire, register, register.number());
    wire.u32(3, 4);
    write_data(wire, 4, &Data(mask.to_vec()));
    write_data(wire, 5, &Data(xor.to_vec()));
}

fn lookup(wire: &mut Wire, set: &str, key: Register, into: Option<u32>) {
    wire.text(1, set);
    wire.u32(2, key.number());
    if let Some(into) = into {
        wire.u32(3, into);
    }
}

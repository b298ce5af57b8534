//! Address translation for pods: host ports, packets of a pod to itself, packets that leave the cluster.

use std::net::{IpAddr, Ipv4Addr};

use super::backends;
use super::leases::Lease;
use crate::links::Cidr;
use crate::nft::{Batch, ChainKind, Data, DataType, Expr, Hook, Register, SetSpec, Value};

/// Everything of the pod network is in this table.
const TABLE: &str = "keelson-pods";
const PORTS: &str = "host-ports";
const PORTS_OF_ADDRESS: &str = "host-ports-of-address";
const SELF: &str = "self";

const A: Register = Register::FIRST;
const B: Register = Register::SECOND;
const C: Register = Register::THIRD;
/// `RTN_LOCAL`: the address belongs to this node.
const LOCAL: u32 = 2;
/// Before the service proxy: a host port wins over a node port.
const DESTINATION_NAT_PRIORITY: i32 = -105;
const SOURCE_NAT_PRIORITY: i32 = 105;

pub struct Table<'a> {
    pub bridge: &'a str,
    pub cluster: Cidr,
    pub block: Cidr,
}

impl Table<'_> {
    /// Replaces whatever the table holds, in one step.
    pub fn replace(&self, leases: &[Lease]) -> Batch {
        let mut batch = Batch::new(TABLE);
        batch.replace_table();
        batch.add_set(&SetSpec::map(
            PORTS,
            &[DataType::Protocol, DataType::Service],
            &[DataType::Address, DataType::Service],
        ));
        batch.add_set(&SetSpec::map(
            PORTS_OF_ADDRESS,
            &[DataType::Address, DataType::Protocol, DataType::Service],
            &[DataType::Address, DataType::Service],
        ));
        batch.add_set(&SetSpec::set(SELF, &[DataType::Address, DataType::Address]));
        for (name, hook) in [("nat-prerouting", Hook::Prerouting), ("nat-output", Hook::Output)] {
            batch.add_chain(name, ChainKind::Nat(hook, DESTINATION_NAT_PRIORITY));
            batch.add_rule(name, &port_of_address());
            batch.add_rule(name, &port_of_any_address());
        }
        self.add_masquerade(&mut batch);
        leases.iter().for_each(|lease| add_elements(&mut batch, lease));
        batch
    }

    fn add_masquerade(&self, batch: &mut Batch) {
        const CHAIN: &str = "nat-postrouting";
        batch.add_chain(CHAIN, ChainKind::Nat(Hook::Postrouting, SOURCE_NAT_PRIORITY));
        let to_itself = [
            Expr::LoadSourceAddress(A),
            Expr::LoadDestinationAddress(B),
            Expr::InSet { set: SELF.to_owned(), key: A },
            Expr::Masquerade,
        ];
        let from_loopback = [
            source_in(Cidr { base: Ipv4Addr::new(127, 0, 0, 0), length: 8 }),
            vec![Expr::LoadOutputName(A), Expr::Equal(A, interface(self.bridge)), Expr::Masquerade],
        ];
        let out_of_the_cluster = [
            source_in(self.block),
            vec![
                Expr::LoadDestinationAddress(A),
                mask(self.cluster),
                Expr::NotEqual(A, Data::new().address(self.cluster.base)),
                Expr::LoadOutputName(A),
                Expr::NotEqual(A, interface(self.bridge)),
                Expr::Masquerade,
            ],
        ];
        batch.add_rule(CHAIN, &to_itself);
        batch.add_rule(CHAIN, &from_loopback.concat());
        batch.add_rule(CHAIN, &out_of_the_cluster.concat());
    }
}

/// Lets host ports lead to a pod.
pub fn add(lease: &Lease) -> Batch {
    let mut batch = Batch::new(TABLE);
    add_elements(&mut batch, lease);
    batch
}

/// Takes back what [`add`] did.
pub fn delete(lease: &Lease) -> Batch {
    let mut batch = Batch::new(TABLE);
    // Deleting what is not there would fail the whole batch: add it first.
    add_elements(&mut batch, lease);
    batch.delete_elements(SELF, &[pair(lease)]);
    for (set, key, _) in port_elements(lease) {
        batch.delete_elements(set, &[key]);
    }
    batch
}

/// Removes the table.
pub fn remove() -> Batch {
    let mut batch = Batch::new(TABLE);
    batch.delete_table();
    batch
}

fn add_elements(batch: &mut Batch, lease: &Lease) {
    batch.add_elements(SELF, &[(pair(lease), Value::Nothing)]);
    for (set, key, value) in port_elements(lease) {
        batch.add_elements(set, &[(key, value)]);
    }
}

fn pair(lease: &Lease) -> Data {
    Data::new().address(lease.address).address(lease.address)
}

fn port_elements(lease: &Lease) -> Vec<(&'static str, Data, Value)> {
    let element = |(mapping, protocol): (&containers::PortMapping, u8)| {
        let value = Value::Data(Data::new().address(lease.address).port(mapping.container_port));
        match mapping.host_ip {
            Some(IpAddr::V4(address)) if !address.is_unspecified() => {
                let key = Data::new().address(address).protocol(protocol).port(mapping.host_port);
                Some((PORTS_OF_ADDRESS, key, value))
            }
            Some(IpAddr::V6(_)) => None,
            _ => Some((PORTS, Data::new().protocol(protocol).port(mapping.host_port), value)),
        }
    };
    backends(lease).filter_map(element).collect()
}

fn port_of_address() -> Vec<Expr> {
    vec![
        Expr::LoadDestinationAddress(A),
        Expr::LoadProtocol(B),
        Expr::LoadDestinationPort(C),
        Expr::Map { map: PORTS_OF_ADDRESS.to_owned(), key: A, into: A },
        Expr::DestinationNat { address: A, port: B },
    ]
}

fn port_of_any_address() -> Vec<Expr> {
    vec![
        Expr::LoadDestinationKind(A),
        Expr::Equal(A, Data::new().number(LOCAL)),
        Expr::LoadProtocol(A),
        Expr::LoadDestinationPort(B),
        Expr::Map { map: PORTS.to_owned(), key: A, into: A },
        Expr::DestinationNat { address: A, port: B },
    ]
}

fn source_in(cidr: Cidr) -> Vec<Expr> {
    vec![Expr::LoadSourceAddress(A), mask(cidr), Expr::Equal(A, Data::new().address(cidr.base))]
}

fn mask(cidr: Cidr) -> Expr {
    Expr::MaskAddress { register: A, mask: cidr.mask().to_be_bytes() }
}

/// An interface's name as the kernel compares it: 16 bytes, filled with zeros.
fn interface(name: &str) -> Data {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    Data(bytes)
}

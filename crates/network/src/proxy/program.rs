//! From rules to nftables messages: all of them, or the difference between two sets.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{Backend, Balancer, Frontend, Rules, Sticky, sticky_name};
use crate::nft::{self, Batch, ChainKind, Data, DataType, Expr, Hook, Register, SetSpec, Value, ValueSpec, Verdict};
use crate::{MASQUERADE_MARK, Result};

/// Everything of the service proxy is in this table.
const TABLE: &str = "keelson-services";

const ADDRESSES: &str = "addresses";
const NODE_PORTS: &str = "node-ports";
const REFUSED: &str = "refused";
const REFUSED_NODE_PORTS: &str = "refused-node-ports";
const SERVICES: &str = "services";
const REFUSE: &str = "refuse";

const FRONTEND: &[DataType] = &[DataType::Address, DataType::Protocol, DataType::Service];
const NODE_PORT: &[DataType] = &[DataType::Protocol, DataType::Service];
const BACKEND: &[DataType] = &[DataType::Address, DataType::Service];

/// `RTN_LOCAL`: the address belongs to this node.
const LOCAL: u32 = 2;
const DESTINATION_NAT_PRIORITY: i32 = -100;
const SOURCE_NAT_PRIORITY: i32 = 100;
const FILTER_PRIORITY: i32 = 0;

/// The rules of the network namespace that it is applied in.
#[derive(Default)]
pub struct Program {
    /// Nothing: the kernel's state is not known.
    applied: Option<Rules>,
}

impl Program {
    /// Makes the kernel follow `rules`: all of them the first time and after a failure, else what differs.
    /// Blocks for the kernel.
    pub fn apply(&mut self, rules: Rules) -> Result<()> {
        let applied = self.applied.take();
        match &applied {
            None => nft::apply(replace(&rules))?,
            Some(applied) if *applied == rules => {}
            Some(applied) => nft::apply(update(applied, &rules))?,
        }
        self.applied = Some(rules);
        Ok(())
    }
}

/// Replaces whatever the table holds by `rules`, in one step.
fn replace(rules: &Rules) -> Batch {
    let mut batch = Batch::new(TABLE);
    batch.replace_table();
    base(&mut batch);
    change(&mut batch, &Rules::default(), rules);
    batch
}

/// Turns `old` rules into `new` ones.
fn update(old: &Rules, new: &Rules) -> Batch {
    let mut batch = Batch::new(TABLE);
    change(&mut batch, old, new);
    batch
}

/// Removes the table.
pub fn remove() -> Batch {
    let mut batch = Batch::new(TABLE);
    batch.delete_table();
    batch
}

/// Maps and chains that are always there.
fn base(batch: &mut Batch) {
    batch.add_set(&SetSpec::verdict_map(ADDRESSES, FRONTEND));
    batch.add_set(&SetSpec::verdict_map(NODE_PORTS, NODE_PORT));
    batch.add_set(&SetSpec::set(REFUSED, FRONTEND));
    batch.add_set(&SetSpec::set(REFUSED_NODE_PORTS, NODE_PORT));
    batch.add_chain(SERVICES, ChainKind::Regular);
    batch.add_chain(REFUSE, ChainKind::Regular);
    batch.add_rule(SERVICES, &[load_frontend(), vec![Expr::VerdictMap { map: text(ADDRESSES), key: A }]].concat());
    let node_ports = [local_destination(), load_node_port(), vec![Expr::VerdictMap { map: text(NODE_PORTS), key: A }]];
    batch.add_rule(SERVICES, &node_ports.concat());

    let refused = [load_frontend(), vec![Expr::InSet { set: text(REFUSED), key: A }, Expr::RejectPort]];
    batch.add_rule(REFUSE, &refused.concat());
    let refused = vec![Expr::InSet { set: text(REFUSED_NODE_PORTS), key: A }, Expr::RejectPort];
    batch.add_rule(REFUSE, &[local_destination(), load_node_port(), refused].concat());

    for (name, hook) in [("nat-prerouting", Hook::Prerouting), ("nat-output", Hook::Output)] {
        batch.add_chain(name, ChainKind::Nat(hook, DESTINATION_NAT_PRIORITY));
        batch.add_rule(name, &[Expr::Verdict(Verdict::Jump(text(SERVICES)))]);
    }
    for (name, hook) in
        [("filter-input", Hook::Input), ("filter-forward", Hook::Forward), ("filter-output", Hook::Output)]
    {
        batch.add_chain(name, ChainKind::Filter(hook, FILTER_PRIORITY));
        batch.add_rule(name, &[Expr::Verdict(Verdict::Jump(text(REFUSE)))]);
    }
    masquerade(batch);
}

/// Packets that carry the mark lose it and take the node's address.
fn masquerade(batch: &mut Batch) {
    const CHAIN: &str = "nat-postrouting";
    batch.add_chain(CHAIN, ChainKind::Nat(Hook::Postrouting, SOURCE_NAT_PRIORITY));
    let marked = [
        Expr::LoadMark(A),
        Expr::Bitwise { register: A, mask: MASQUERADE_MARK, xor: 0 },
        Expr::NotEqual(A, Data::new().number(0)),
        Expr::LoadMark(A),
        Expr::Bitwise { register: A, mask: !MASQUERADE_MARK, xor: 0 },
        Expr::StoreMark(A),
        Expr::Masquerade,
    ];
    batch.add_rule(CHAIN, &marked);
}

/// The order matters: chains exist before anything leads to them, and are deleted after.
fn change(batch: &mut Batch, old: &Rules, new: &Rules) {
    for name in added(&old.sticky, &new.sticky) {
        batch.add_set(&SetSpec::dynamic_set(name, &[DataType::Address]));
        batch.add_chain(name, ChainKind::Regular);
    }
    for name in added(&old.balancers, &new.balancers) {
        batch.add_chain(name, ChainKind::Regular);
    }
    for (name, sticky) in changed(&old.sticky, &new.sticky) {
        batch.flush_chain(name);
        fill_sticky(batch, name, sticky);
    }
    for (name, balancer) in changed(&old.balancers, &new.balancers) {
        batch.flush_chain(name);
        fill_balancer(batch, name, balancer);
    }
    change_map(batch, ADDRESSES, &old.addresses, &new.addresses, frontend_key);
    change_map(batch, NODE_PORTS, &old.node_ports, &new.node_ports, node_port_key);
    change_set(batch, REFUSED, &old.refused, &new.refused, frontend_key);
    change_set(batch, REFUSED_NODE_PORTS, &old.refused_node_ports, &new.refused_node_ports, node_port_key);
    for name in added(&new.balancers, &old.balancers) {
        batch.flush_chain(name);
        batch.delete_chain(name);
    }
    for name in added(&new.sticky, &old.sticky) {
        batch.flush_chain(name);
        batch.delete_chain(name);
        batch.delete_set(name);
    }
}

/// Keys that only `new` has.
fn added<'a, V>(old: &BTreeMap<String, V>, new: &'a BTreeMap<String, V>) -> Vec<&'a String> {
    new.keys().filter(|name| !old.contains_key(*name)).collect()
}

/// Entries of `new` that `old` has not, or has otherwise.
fn changed<'a, K: Ord, V: PartialEq>(old: &BTreeMap<K, V>, new: &'a BTreeMap<K, V>) -> Vec<(&'a K, &'a V)> {
    new.iter().filter(|(key, value)| old.get(key) != Some(value)).collect()
}

fn fill_balancer(batch: &mut Batch, name: &str, balancer: &Balancer) {
    if balancer.masquerade {
        let mark = Expr::Bitwise { register: A, mask: !MASQUERADE_MARK, xor: MASQUERADE_MARK };
        batch.add_rule(name, &[Expr::LoadMark(A), mark, Expr::StoreMark(A)]);
    }
    let modulus = u32::try_from(balancer.endpoints.len()).expect("a service has fewer endpoints");
    let numbers = (0..modulus).map(|number| Data::new().number(number));
    let random = Expr::Random { into: A, modulus };
    if balancer.sticky {
        let chains: Vec<String> = balancer.endpoints.iter().map(|of| sticky_name(name, *of)).collect();
        for chain in &chains {
            let known = Expr::InSet { set: chain.clone(), key: A };
            batch.add_rule(name, &[Expr::LoadSourceAddress(A), known, Expr::Verdict(Verdict::Goto(chain.clone()))]);
        }
        let elements = numbers.zip(chains.into_iter().map(|chain| Value::Verdict(Verdict::Goto(chain))));
        let id = batch.add_anonymous_map(&[DataType::Integer], &ValueSpec::Verdict, &elements.collect::<Vec<_>>());
        batch.add_rule(name, &[random, Expr::AnonymousVerdictMap { id, key: A }]);
    } else {
        let elements = numbers.zip(balancer.endpoints.iter().map(|of| Value::Data(backend_value(*of))));
        let value = ValueSpec::Data(BACKEND.to_vec());
        let id = batch.add_anonymous_map(&[DataType::Integer], &value, &elements.collect::<Vec<_>>());
        let nat = Expr::DestinationNat { address: A, port: B };
        batch.add_rule(name, &[random, Expr::AnonymousMap { id, key: A, into: A }, nat]);
    }
}

fn fill_sticky(batch: &mut Batch, name: &str, sticky: &Sticky) {
    let remember = Expr::Remember { set: name.to_owned(), key: A, timeout: sticky.timeout };
    let nat = Expr::DestinationNat { address: A, port: B };
    let endpoint = Expr::Immediate { into: A, data: Data::new().address(sticky.endpoint.0) };
    let port = Expr::Immediate { into: B, data: Data::new().port(sticky.endpoint.1) };
    batch.add_rule(name, &[Expr::LoadSourceAddress(A), remember, endpoint, port, nat]);
}

fn change_map<K: Ord>(
    batch: &mut Batch,
    map: &str,
    old: &BTreeMap<K, String>,
    new: &BTreeMap<K, String>,
    key: fn(&K) -> Data,
) {
    let gone = old.iter().filter(|(frontend, chain)| new.get(frontend) != Some(chain));
    batch.delete_elements(map, &gone.map(|(frontend, _)| key(frontend)).collect::<Vec<_>>());
    let come = changed(old, new).into_iter();
    let come = come.map(|(frontend, chain)| (key(frontend), Value::Verdict(Verdict::Goto(chain.clone()))));
    batch.add_elements(map, &come.collect::<Vec<_>>());
}

fn change_set<K: Ord>(batch: &mut Batch, set: &str, old: &BTreeSet<K>, new: &BTreeSet<K>, key: fn(&K) -> Data) {
    batch.delete_elements(set, &old.difference(new).map(key).collect::<Vec<_>>());
    batch.add_elements(set, &new.difference(old).map(|of| (key(of), Value::Nothing)).collect::<Vec<_>>());
}

const A: Register = Register::FIRST;
const B: Register = Register::SECOND;
const C: Register = Register::THIRD;

fn load_frontend() -> Vec<Expr> {
    vec![Expr::LoadDestinationAddress(A), Expr::LoadProtocol(B), Expr::LoadDestinationPort(C)]
}

fn load_node_port() -> Vec<Expr> {
    vec![Expr::LoadProtocol(A), Expr::LoadDestinationPort(B)]
}

fn local_destination() -> Vec<Expr> {
    vec![Expr::LoadDestinationKind(A), Expr::Equal(A, Data::new().number(LOCAL))]
}

fn frontend_key((address, protocol, port): &Frontend) -> Data {
    Data::new().address(*address).protocol(*protocol).port(*port)
}

fn node_port_key((protocol, port): &(u8, u16)) -> Data {
    Data::new().protocol(*protocol).port(*port)
}

fn backend_value((address, port): Backend) -> Data {
    Data::new().address(address).port(port)
}

fn text(name: &str) -> String {
    name.to_owned()
}

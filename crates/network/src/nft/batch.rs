//! A batch: changes of one table that the kernel applies together.

use super::wire::{APPEND, CREATE, Wire};
use super::{Data, DataType, Expr};

/// `AF_INET`: every table here is of family `ip`.
pub(super) const FAMILY: u8 = 2;
pub(super) const ANONYMOUS_MAP: &str = "__map%d";

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// A nest's length has 16 bits; this many elements of our widest maps stay well below.
const ELEMENTS_A_MESSAGE: usize = 500;

#[derive(Clone, Copy)]
enum Message {
    NewTable = 0,
    DeleteTable = 2,
    NewChain = 3,
    DeleteChain = 5,
    NewRule = 6,
    DeleteRule = 8,
    NewSet = 9,
    DeleteSet = 11,
    NewElement = 12,
    DeleteElement = 14,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Return,
    Jump(String),
    Goto(String),
}

/// Where the kernel calls a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// Called from other chains.
    Regular,
    Nat(Hook, i32),
    Filter(Hook, i32),
}

/// What a named set or map holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSpec {
    pub name: String,
    pub key: Vec<DataType>,
    pub value: ValueSpec,
    /// Rules add elements, each for a while.
    pub dynamic: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSpec {
    /// A set: keys alone.
    Nothing,
    Verdict,
    Data(Vec<DataType>),
}

/// An element's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Nothing,
    Verdict(Verdict),
    Data(Data),
}

impl SetSpec {
    pub fn verdict_map(name: &str, key: &[DataType]) -> Self {
        Self { name: name.to_owned(), key: key.to_vec(), value: ValueSpec::Verdict, dynamic: false }
    }

    pub fn map(name: &str, key: &[DataType], value: &[DataType]) -> Self {
        Self { name: name.to_owned(), key: key.to_vec(), value: ValueSpec::Data(value.to_vec()), dynamic: false }
    }

    pub fn set(name: &str, key: &[DataType]) -> Self {
        Self { name: name.to_owned(), key: key.to_vec(), value: ValueSpec::Nothing, dynamic: false }
    }

    /// A set whose elements rules add and the kernel forgets after a while.
    pub fn dynamic_set(name: &str, key: &[DataType]) -> Self {
        Self { dynamic: true, ..Self::set(name, key) }
    }

    fn flags(&self) -> u32 {
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const EVALUATED: u32 = 0x20;
        let map = if self.value == ValueSpec::Nothing { 0 } else { MAP };
        let dynamic = if self.dynamic { TIMEOUT | EVALUATED } else { 0 };
        map | dynamic
    }
}

/// Changes of one table, in the order they are made.
pub struct Batch {
    wire: Wire,
    table: String,
    sets: u32,
}

impl Batch {
    pub fn new(table: &str) -> Self {
        let mut wire = Wire::default();
        wire.message(BATCH_BEGIN, 0, 0, SUBSYSTEM);
        Self { wire, table: table.to_owned(), sets: 0 }
    }

    /// Makes the table empty, whether it was there or not.
    pub fn replace_table(&mut self) {
        self.delete_table();
        self.add_table();
    }

    /// Removes the table with all it holds; it may be absent.
    pub fn delete_table(&mut self) {
        self.add_table();
        self.message(Message::DeleteTable, 0);
        self.wire.text(1, &self.table);
    }

    fn add_table(&mut self) {
        self.message(Message::NewTable, CREATE);
        self.wire.text(1, &self.table);
        self.wire.u32(2, 0);
    }

    pub fn add_chain(&mut self, name: &str, kind: ChainKind) {
        self.message(Message::NewChain, CREATE);
        self.wire.text(1, &self.table);
        self.wire.text(3, name);
        let (of_type, hook, priority) = match kind {
            ChainKind::Regular => return,
            ChainKind::Nat(hook, priority) => ("nat", hook, priority),
            ChainKind::Filter(hook, priority) => ("filter", hook, priority),
        };
        self.wire.nest(4, |wire| {
            wire.u32(1, hook as u32);
            wire.u32(2, priority.cast_unsigned());
        });
        self.wire.text(7, of_type);
    }

    /// Removes a chain, which must be empty and unused by then.
    pub fn delete_chain(&mut self, name: &str) {
        self.message(Message::DeleteChain, 0);
        self.wire.text(1, &self.table);
        self.wire.text(3, name);
    }

    /// Removes all rules of a chain.
    pub fn flush_chain(&mut self, name: &str) {
        self.message(Message::DeleteRule, 0);
        self.wire.text(1, &self.table);
        self.wire.text(2, name);
    }

    pub fn add_rule(&mut self, chain: &str, expressions: &[Expr]) {
        self.message(Message::NewRule, CREATE | APPEND);
        self.wire.text(1, &self.table);
        self.wire.text(2, chain);
        self.wire.nest(4, |wire| expressions.iter().for_each(|expression| expression.write(wire)));
    }

    pub fn add_set(&mut self, spec: &SetSpec) {
        self.write_set(&spec.name, spec.flags(), &spec.key, &spec.value);
    }

    pub fn delete_set(&mut self, name: &str) {
        self.message(Message::DeleteSet, 0);
        self.wire.text(1, &self.table);
        self.wire.text(2, name);
    }

    /// A constant map that belongs to the rule added next; answers the id that the rule names it by.
    pub fn add_anonymous_map(&mut self, key: &[DataType], value: &ValueSpec, elements: &[(Data, Value)]) -> u32 {
        const ANONYMOUS_CONSTANT_MAP: u32 = 0x1 | 0x2 | 0x8;
        let id = self.write_set(ANONYMOUS_MAP, ANONYMOUS_CONSTANT_MAP, key, value);
        for chunk in elements.chunks(ELEMENTS_A_MESSAGE) {
            self.write_elements(Message::NewElement, CREATE, ANONYMOUS_MAP, Some(id), chunk);
        }
        id
    }

    pub fn add_elements(&mut self, set: &str, elements: &[(Data, Value)]) {
        for chunk in elements.chunks(ELEMENTS_A_MESSAGE) {
            self.write_elements(Message::NewElement, CREATE, set, None, chunk);
        }
    }

    pub fn delete_elements(&mut self, set: &str, keys: &[Data]) {
        let elements: Vec<(Data, Value)> = keys.iter().map(|key| (key.clone(), Value::Nothing)).collect();
        for chunk in elements.chunks(ELEMENTS_A_MESSAGE) {
            self.write_elements(Message::DeleteElement, 0, set, None, chunk);
        }
    }

    /// The bytes for one send, and the sequence number whose confirmation ends the answers.
    pub(super) fn finish(mut self) -> (Vec<u8>, u32) {
        let last = self.wire.request_ack();
        self.wire.message(BATCH_END, 0, 0, SUBSYSTEM);
        self.wire.seal();
        (self.wire.bytes, last)
    }

    fn message(&mut self, message: Message, flags: u16) {
        self.wire.message((SUBSYSTEM << 8) | message as u16, flags, FAMILY, 0);
    }

    fn write_set(&mut self, name: &str, flags: u32, key: &[DataType], value: &ValueSpec) -> u32 {
        const VERDICT_TYPE: u32 = 0xffff_ff00;
        self.sets += 1;
        let id = self.sets;
        self.message(Message::NewSet, CREATE);
        self.wire.text(1, &self.table);
        self.wire.text(2, name);
        self.wire.u32(3, flags);
        self.wire.u32(4, DataType::concatenate(key));
        self.wire.u32(5, DataType::length(key));
        match value {
            ValueSpec::Nothing => {}
            ValueSpec::Verdict => self.wire.u32(6, VERDICT_TYPE),
            ValueSpec::Data(types) => {
                self.wire.u32(6, DataType::concatenate(types));
                self.wire.u32(7, DataType::length(types));
            }
        }
        self.wire.u32(10, id);
        id
    }

    fn write_elements(&mut self, message: Message, flags: u16, set: &str, id: Option<u32>, elements: &[(Data, Value)]) {
        self.message(message, flags);
        self.wire.text(1, &self.table);
        self.wire.text(2, set);
        self.wire.nest(3, |wire| {
            for (key, value) in elements {
                wire.nest(1, |wire| write_element(wire, key, value));
            }
        });
        if let Some(id) = id {
            self.wire.u32(4, id);
        }
    }
}

fn write_element(wire: &mut Wire, key: &Data, value: &Value) {
    write_data(wire, 1, key);
    match value {
        Value::Nothing => {}
        Value::Verdict(verdict) => wire.nest(2, |wire| write_verdict(wire, verdict)),
        Value::Data(data) => write_data(wire, 2, data),
    }
}

pub(super) fn write_data(wire: &mut Wire, attribute: u16, data: &Data) {
    wire.nest(attribute, |wire| wire.bytes(1, &data.0));
}

pub(super) fn write_verdict(wire: &mut Wire, verdict: &Verdict) {
    let (code, chain): (i32, Option<&str>) = match verdict {
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
    };
    wire.nest(2, |wire| {
        wire.u32(1, code.cast_unsigned());
        if let Some(chain) = chain {
            wire.text(2, chain);
        }
    });
}

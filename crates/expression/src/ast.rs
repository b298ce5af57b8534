//! What the parser makes of an expression, macros written out.

use std::sync::Arc;

use crate::source::{NOWHERE, Offset};

/// Names a node: its place in the tables of offsets, types and overloads.
pub type Id = u32;

/// Larger trees are refused: macros write out again what they are called on.
pub const NODES_MAX: usize = 1 << 18;

/// Deeper trees are refused, which bounds the recursion of all that walks them.
pub const HEIGHT_MAX: u16 = 250;

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub id: Id,
    pub height: u16,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Literal(Literal),
    Ident(String),
    Select(Select),
    Call(Call),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct(Struct),
    Fold(Box<Fold>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub operand: Box<Expr>,
    pub field: String,
    /// `has(operand.field)`
    pub test: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub function: String,
    pub target: Option<Box<Expr>>,
    pub arguments: Vec<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub id: Id,
    pub name: String,
    pub value: Expr,
    pub optional: bool,
}

/// What every macro over a list or map comes to: while `condition` holds, `step` makes the next accumulator.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    pub range: Expr,
    pub variable: String,
    /// With two variables, the first is the index or key and this the element or value.
    pub second: Option<String>,
    pub accumulator: String,
    pub initial: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl Fold {
    /// Whether this only gives a name to a value: `cel.bind` and its like.
    pub fn is_bind(&self) -> bool {
        let empty = matches!(&self.range.kind, Kind::List(elements) if elements.is_empty());
        let never = matches!(self.condition.kind, Kind::Literal(Literal::Bool(false)));
        empty && never && self.accumulator != ACCUMULATOR
    }
}

/// What macros accumulate in; no expression can write this name.
pub const ACCUMULATOR: &str = "@result";

pub mod operator {
    pub const CONDITIONAL: &str = "_?_:_";
    pub const AND: &str = "_&&_";
    pub const OR: &str = "_||_";
    pub const NOT: &str = "!_";
    pub const NEGATE: &str = "-_";
    pub const EQUALS: &str = "_==_";
    pub const NOT_EQUALS: &str = "_!=_";
    pub const IN: &str = "@in";
    pub const ADD: &str = "_+_";
    pub const INDEX: &str = "_[_]";
    pub const OPTIONAL_INDEX: &str = "_[?_]";
    pub const OPTIONAL_SELECT: &str = "_?._";
    pub const NOT_STRICTLY_FALSE: &str = "@not_strictly_false";
}

/// Numbers nodes and remembers where each of them stands.
#[derive(Debug, Default)]
pub struct Builder {
    offsets: Vec<Offset>,
    /// A node was made that is higher than `HEIGHT_MAX`.
    pub too_deep: bool,
    /// There were to be more than `NODES_MAX` nodes.
    pub too_large: bool,
}

impl Builder {
    pub fn id(&mut self, offset: Offset) -> Id {
        self.offsets.push(offset);
        (self.offsets.len() - 1) as Id
    }

    pub fn offset(&self, id: Id) -> Offset {
        self.offsets.get(id as usize).copied().unwrap_or(NOWHERE)
    }

    /// How many ids were given out.
    pub fn count(&self) -> usize {
        self.offsets.len()
    }

    pub fn at(&mut self, offset: Offset, kind: Kind) -> Expr {
        let id = self.id(offset);
        self.with_id(id, kind)
    }

    pub fn with_id(&mut self, id: Id, kind: Kind) -> Expr {
        let mut height = 0;
        kind.each_child(&mut |child| height = height.max(child.height + 1));
        self.too_deep |= height > HEIGHT_MAX;
        Expr { id, height: height.min(HEIGHT_MAX), kind }
    }

    /// The same expression once more, under ids of its own; nothing of one in a tree that is too large.
    pub fn copy(&mut self, expr: &Expr) -> Expr {
        self.too_large |= self.count() > NODES_MAX;
        if self.too_large {
            return self.at(self.offset(expr.id), Kind::Literal(Literal::Null));
        }
        let mut copy = expr.clone();
        self.renumber(&mut copy);
        copy
    }

    fn renumber(&mut self, expr: &mut Expr) {
        expr.id = self.id(self.offset(expr.id));
        if let Kind::Struct(made) = &mut expr.kind {
            for field in &mut made.fields {
                field.id = self.id(self.offset(field.id));
            }
        }
        expr.kind.each_child_mut(&mut |child| self.renumber(child));
    }
}

impl Kind {
    pub fn call(function: &str, arguments: Vec<Expr>) -> Self {
        Self::Call(Call { function: function.to_owned(), target: None, arguments })
    }

    pub fn member(function: &str, target: Expr, arguments: Vec<Expr>) -> Self {
        Self::Call(Call { function: function.to_owned(), target: Some(Box::new(target)), arguments })
    }

    pub fn list(elements: Vec<Expr>) -> Self {
        Self::List(elements.into_iter().map(|value| Element { value, optional: false }).collect())
    }

    pub fn each_child<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match self {
            Self::Literal(_) | Self::Ident(_) => {}
            Self::Select(select) => visit(&select.operand),
            Self::Call(call) => call.target.as_deref().into_iter().chain(&call.arguments).for_each(visit),
            Self::List(elements) => elements.iter().for_each(|element| visit(&element.value)),
            Self::Map(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).for_each(visit),
            Self::Struct(made) => made.fields.iter().for_each(|field| visit(&field.value)),
            Self::Fold(fold) => {
                [&fold.range, &fold.initial, &fold.condition, &fold.step, &fold.result].into_iter().for_each(visit);
            }
        }
    }

    fn each_child_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        match self {
            Self::Literal(_) | Self::Ident(_) => {}
            Self::Select(select) => visit(&mut select.operand),
            Self::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.arguments).for_each(visit),
            Self::List(elements) => elements.iter_mut().for_each(|element| visit(&mut element.value)),
            Self::Map(entries) => {
                entries.iter_mut().flat_map(|entry| [&mut entry.key, &mut entry.value]).for_each(visit);
            }
            Self::Struct(made) => made.fields.iter_mut().for_each(|field| visit(&mut field.value)),
            Self::Fold(fold) => {
                let fold = fold.as_mut();
                [&mut fold.range, &mut fold.initial, &mut fold.condition, &mut fold.step, &mut fold.result]
                    .into_iter()
                    .for_each(visit);
            }
        }
    }
}

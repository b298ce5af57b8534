//! Makes a checked tree into a program: variables become slots, constants are worked out, patterns compiled.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ast::{self, ACCUMULATOR, Element, Entry, Expr, Id, Kind, Literal, Select, operator};
use crate::checker::Checked;
use crate::cost::actual::Price;
use crate::cost::estimate::CostEstimate;
use crate::declarations::Overload;
use crate::error::Error;
use crate::list::List;
use crate::map::{Entries, Key, Map};
use crate::meter::Meter;
use crate::pattern::Pattern;
use crate::program::Program;
use crate::value::{Text, Value};

#[derive(Debug)]
pub enum Node {
    Constant(Value<'static>),
    Attribute(Attribute),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Conditional(Box<[Node; 3]>),
    Equal {
        sides: Box<[Node; 2]>,
        negated: bool,
    },
    NotStrictlyFalse(Box<Node>),
    /// `item in [constants]`, which costs nothing.
    OneOf {
        item: Box<Node>,
        keys: BTreeSet<Key<'static>>,
    },
    Call(Call),
    List(Vec<(Node, bool)>),
    Map(Vec<MapEntry>),
    Message {
        name: Arc<str>,
        fields: Vec<(Arc<str>, Node, bool)>,
    },
    Fold(Box<Fold>),
    /// The accumulator in a slot with more elements.
    Append {
        slot: usize,
        elements: Box<Node>,
    },
    /// The accumulator in a slot with one more entry, or with those of a map.
    Insert {
        slot: usize,
        what: Vec<Node>,
    },
}

/// Something, and what is selected from it one after the other.
#[derive(Debug)]
pub struct Attribute {
    pub root: Root,
    pub qualifiers: Vec<Qualifier>,
    /// Whether the last qualifier is only looked for.
    pub test: bool,
    /// What it costs beside its qualifiers.
    pub cost: u64,
}

#[derive(Debug)]
pub enum Root {
    Variable(String),
    Slot(usize),
    Node(Box<Node>),
}

#[derive(Debug)]
pub struct Qualifier {
    pub by: By,
    pub optional: bool,
}

#[derive(Debug)]
pub enum By {
    Field(Arc<str>),
    Index(Node),
}

#[derive(Debug)]
pub struct Call {
    pub function: String,
    pub overloads: Vec<&'static Overload>,
    /// All overloads are carried out by the same function.
    pub uniform: bool,
    pub price: Price,
    pub arguments: Vec<Node>,
}

#[derive(Debug)]
pub struct MapEntry {
    pub key: Node,
    pub value: Node,
    pub optional: bool,
}

#[derive(Debug)]
pub struct Fold {
    pub range: Node,
    pub initial: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
    pub two: bool,
}

const CONVERSIONS: &[&str] =
    &["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];

pub fn plan(expr: &Expr, checked: &Checked, cost: CostEstimate) -> Result<Program, Error> {
    let mut planner = Planner { checked, scopes: Vec::new(), meter: Meter::new(u64::MAX) };
    let root = planner.node(expr)?;
    let mut selections = BTreeSet::new();
    select(expr, &mut selections);
    Ok(Program::new(root, checked.type_of(expr.id).clone(), cost, selections))
}

/// Notes each field that is selected of a name.
fn select(expr: &Expr, selections: &mut BTreeSet<(String, String)>) {
    let mut note = |operand: &Expr, field: &str| {
        if let Kind::Ident(name) = &operand.kind {
            selections.insert((name.clone(), field.to_owned()));
        }
    };
    match &expr.kind {
        Kind::Select(of) => note(&of.operand, &of.field),
        Kind::Call(call) if call.function == operator::OPTIONAL_SELECT => {
            if let [operand, Expr { kind: Kind::Literal(Literal::String(field)), .. }] = call.arguments.as_slice() {
                note(operand, field);
            }
        }
        _ => {}
    }
    expr.kind.each_child(&mut |child| select(child, selections));
}

struct Planner<'p> {
    checked: &'p Checked,
    /// Names of the variables of folds; their places are the slots at run time.
    scopes: Vec<String>,
    meter: Meter,
}

type Planned = Result<Node, Error>;

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Planned {
        match &expr.kind {
            Kind::Literal(literal) => Ok(Node::Constant(constant(literal))),
            Kind::Ident(name) => Ok(self.ident(expr.id, name)),
            Kind::Select(select) => self.select(select),
            Kind::Call(call) => self.call(expr.id, call),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct(made) => {
                let field =
                    |field: &ast::Field| Ok((field.name.as_str().into(), self.node(&field.value)?, field.optional));
                let fields = made.fields.iter().map(field).collect::<Result<_, Error>>()?;
                Ok(Node::Message { name: made.name.as_str().into(), fields })
            }
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn ident(&self, id: Id, name: &str) -> Node {
        let attribute = |root, cost| Node::Attribute(Attribute { root, qualifiers: Vec::new(), test: false, cost });
        if let Some(slot) = self.scopes.iter().rposition(|known| known == name) {
            return attribute(Root::Slot(slot), 1);
        }
        match self.checked.type_name(id) {
            // A name of a type costs what a variable costs.
            Some(of) => attribute(Root::Node(Box::new(Node::Constant(Value::Type(of.clone())))), 1),
            // One with several parts costs a selection for each.
            None => attribute(Root::Variable(name.to_owned()), 1 + name.matches('.').count() as u64),
        }
    }

    fn select(&mut self, select: &Select) -> Planned {
        let mut attribute = self.attribute(&select.operand)?;
        attribute.qualifiers.push(Qualifier { by: By::Field(select.field.as_str().into()), optional: false });
        if select.test {
            attribute.test = true;
            attribute.cost = 0;
        }
        Ok(Node::Attribute(attribute))
    }

    /// What `expr` selects, to be selected from further.
    fn attribute(&mut self, expr: &Expr) -> Result<Attribute, Error> {
        let (root, cost) = match self.node(expr)? {
            Node::Attribute(attribute) if !attribute.test => return Ok(attribute),
            conditional @ Node::Conditional(_) => (conditional, 0),
            other => (other, 1),
        };
        Ok(Attribute { root: Root::Node(Box::new(root)), qualifiers: Vec::new(), test: false, cost })
    }

    fn index(&mut self, call: &ast::Call, optional: bool) -> Planned {
        let mut attribute = self.attribute(&call.arguments[0])?;
        let index = &call.arguments[1];
        let by = match &index.kind {
            Kind::Literal(Literal::String(name)) => By::Field(name.clone()),
            _ => By::Index(without_own_cost(self.node(index)?)),
        };
        attribute.qualifiers.push(Qualifier { by, optional });
        Ok(Node::Attribute(attribute))
    }

    fn call(&mut self, id: Id, call: &ast::Call) -> Planned {
        match call.function.as_str() {
            operator::INDEX => return self.index(call, false),
            operator::OPTIONAL_INDEX | operator::OPTIONAL_SELECT => return self.index(call, true),
            operator::ADD | "cel.@mapInsert" => {
                if let Some(grown) = self.accumulate(call)? {
                    return Ok(grown);
                }
            }
            _ => {}
        }
        let exprs = call.target.as_deref().into_iter().chain(&call.arguments);
        let mut arguments = exprs.map(|expr| self.node(expr)).collect::<Result<Vec<_>, _>>()?;
        match call.function.as_str() {
            operator::AND => return Ok(Node::And(pair(arguments))),
            operator::OR => return Ok(Node::Or(pair(arguments))),
            operator::EQUALS => return Ok(Node::Equal { sides: pair(arguments), negated: false }),
            operator::NOT_EQUALS => return Ok(Node::Equal { sides: pair(arguments), negated: true }),
            operator::NOT_STRICTLY_FALSE => return Ok(Node::NotStrictlyFalse(Box::new(arguments.remove(0)))),
            operator::CONDITIONAL => return Ok(conditional(arguments)),
            "matches" | "find" | "findAll" => compile_pattern(&mut arguments[1])?,
            _ => {}
        }
        let overloads = self.checked.overloads(id).to_vec();
        let only = if let [only] = overloads.as_slice() { only.id } else { "" };
        if only == "in_list" {
            arguments = match one_of(arguments) {
                Ok(node) => return Ok(node),
                Err(arguments) => arguments,
            };
        }
        let implementation = overloads[0].implementation;
        let uniform = overloads.iter().all(|other| std::ptr::fn_addr_eq(other.implementation, implementation));
        if let ([Node::Constant(value)], true, true) =
            (arguments.as_slice(), CONVERSIONS.contains(&call.function.as_str()), uniform)
        {
            return Ok(Node::Constant(implementation(&self.meter, std::slice::from_ref(value))?));
        }
        let price = Price::of(&call.function, only);
        Ok(Node::Call(Call { function: call.function.clone(), overloads, uniform, price, arguments }))
    }

    /// `accumulator + [element]` and the like, which need no copy.
    fn accumulate(&mut self, call: &ast::Call) -> Result<Option<Node>, Error> {
        let is_accumulator = matches!(&call.arguments[0].kind, Kind::Ident(name) if name == ACCUMULATOR);
        let slot = self.scopes.iter().rposition(|name| name == ACCUMULATOR).filter(|_| is_accumulator);
        let Some(slot) = slot else { return Ok(None) };
        if call.function == operator::ADD {
            let Kind::List(_) = &call.arguments[1].kind else { return Ok(None) };
            let elements = Box::new(self.node(&call.arguments[1])?);
            return Ok(Some(Node::Append { slot, elements }));
        }
        let what = call.arguments[1..].iter().map(|expr| self.node(expr)).collect::<Result<_, _>>()?;
        Ok(Some(Node::Insert { slot, what }))
    }

    fn list(&mut self, elements: &[Element]) -> Planned {
        let element = |element: &Element| Ok((self.node(&element.value)?, element.optional));
        let elements = elements.iter().map(element).collect::<Result<Vec<_>, Error>>()?;
        let constants = elements.iter().map(|(node, optional)| match node {
            Node::Constant(value) if !optional => Some(value.clone()),
            _ => None,
        });
        match constants.collect::<Option<Vec<_>>>() {
            Some(values) => Ok(Node::Constant(Value::List(List::from(values)))),
            None => Ok(Node::List(elements)),
        }
    }

    fn map(&mut self, entries: &[Entry]) -> Planned {
        let entry = |entry: &Entry| {
            Ok(MapEntry { key: self.node(&entry.key)?, value: self.node(&entry.value)?, optional: entry.optional })
        };
        let entries = entries.iter().map(entry).collect::<Result<Vec<_>, Error>>()?;
        let constants = entries.iter().map(|entry| match (&entry.key, &entry.value) {
            (Node::Constant(key), Node::Constant(value)) if !entry.optional => {
                Some((Key::of(key)?, (key.clone(), value.clone())))
            }
            _ => None,
        });
        match constants.collect::<Option<Entries<'static>>>() {
            Some(constants) if constants.len() == entries.len() => {
                Ok(Node::Constant(Value::Map(Map::Values(Arc::new(constants)))))
            }
            _ => Ok(Node::Map(entries)),
        }
    }

    fn fold(&mut self, fold: &ast::Fold) -> Planned {
        let range = self.node(&fold.range)?;
        let initial = self.node(&fold.initial)?;
        let outer = self.scopes.len();
        self.scopes.push(fold.accumulator.clone());
        self.scopes.push(fold.variable.clone());
        self.scopes.extend(fold.second.clone());
        let condition = self.node(&fold.condition)?;
        let step = self.node(&fold.step)?;
        self.scopes.truncate(outer + 1);
        let result = self.node(&fold.result)?;
        self.scopes.truncate(outer);
        Ok(Node::Fold(Box::new(Fold { range, initial, condition, step, result, two: fold.second.is_some() })))
    }
}

fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::String(Text::Shared(text.clone())),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

fn pair(arguments: Vec<Node>) -> Box<[Node; 2]> {
    Box::new(arguments.try_into().expect("the operator has two sides"))
}

/// What a branch selects is not counted as a variable of its own.
fn conditional(arguments: Vec<Node>) -> Node {
    let [condition, truthy, falsy] = arguments.try_into().expect("a condition has two branches");
    Node::Conditional(Box::new([condition, without_own_cost(truthy), without_own_cost(falsy)]))
}

fn without_own_cost(node: Node) -> Node {
    match node {
        Node::Attribute(attribute) => Node::Attribute(Attribute { cost: 0, ..attribute }),
        other => other,
    }
}

fn compile_pattern(argument: &mut Node) -> Result<(), Error> {
    if let Node::Constant(Value::String(text)) = argument {
        *argument = Node::Constant(Value::foreign(Pattern::new(text)?));
    }
    Ok(())
}

/// `item in [constants]`, or the arguments again if the list is of another kind.
fn one_of(mut arguments: Vec<Node>) -> Result<Node, Vec<Node>> {
    let keys = match &arguments[1] {
        Node::Constant(Value::List(list)) => {
            list.iter().map(|value| Key::of(&value.ok()?)).collect::<Option<BTreeSet<_>>>()
        }
        _ => None,
    };
    match keys {
        None => Err(arguments),
        Some(keys) if keys.is_empty() => Ok(Node::Constant(Value::Bool(false))),
        Some(keys) => Ok(Node::OneOf { item: Box::new(arguments.remove(0)), keys }),
    }
}

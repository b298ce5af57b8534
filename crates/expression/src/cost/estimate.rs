//! What an expression can cost at least and at most, before it is evaluated.
//!
//! upstream: cel-go checker/cost.go, apiserver library/cost.go. Rules are accepted or refused by these numbers.

use std::collections::HashMap;

use super::actual::scaled;
use super::{
    CHECK_COST, FORMAT_PATTERN_MAX, FORMAT_SIZE_MAX, LIST_COST, MAP_COST, MESSAGE_COST, NOMINAL, PATTERN_FACTOR,
    SELECTOR_REQUIREMENT_COST, SELECTOR_REQUIREMENTS, STRING_FACTOR,
};
use crate::ast::{ACCUMULATOR, Call, Expr, Fold, Id, Kind, Literal, Select, operator};
use crate::checker::Checked;
use crate::environment::Environment;
use crate::types::Type;

/// At least and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostEstimate {
    pub min: u64,
    pub max: u64,
}

/// Sizes are counted in the same way.
type Size = CostEstimate;

const UNKNOWN: Size = Size { min: 0, max: u64::MAX };

impl CostEstimate {
    pub const fn fixed(cost: u64) -> Self {
        Self { min: cost, max: cost }
    }

    pub fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Rounded up.
    pub fn scaled(self, factor: f64) -> Self {
        Self { min: scaled(self.min, factor), max: scaled(self.max, factor) }
    }

    /// Either of the two.
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

pub fn estimate(expr: &Expr, checked: &Checked, environment: &Environment) -> CostEstimate {
    let mut estimator = Estimator {
        checked,
        environment,
        paths: HashMap::new(),
        locals: Vec::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
    };
    estimator.cost(expr)
}

/// Names of a variable, its fields and `@items`, `@keys`, `@values`; empty where none leads to a value.
type Path = Vec<String>;

struct Estimator<'e> {
    checked: &'e Checked,
    environment: &'e Environment,
    paths: HashMap<Id, Path>,
    locals: Vec<Local>,
    sizes: HashMap<Id, Size>,
    entries: HashMap<Id, EntrySize>,
}

struct Local {
    name: String,
    path: Path,
    size: Option<Size>,
    entries: Option<EntrySize>,
}

/// Sizes of the keys and values in a collection.
#[derive(Clone, Copy)]
struct EntrySize {
    is_list: bool,
    key: Size,
    value: Size,
}

impl EntrySize {
    fn union(self, other: Self) -> Self {
        Self { is_list: self.is_list, key: self.key.union(other.key), value: self.value.union(other.value) }
    }
}

/// A part of a call, as far as its cost goes.
#[derive(Clone)]
struct Operand<'e> {
    path: Path,
    of: Type,
    expr: Option<&'e Expr>,
    size: Option<Size>,
}

/// What a call costs beside its arguments, and how large its result is.
struct CallEstimate {
    cost: CostEstimate,
    result: Option<Size>,
}

impl CallEstimate {
    fn new(cost: CostEstimate) -> Self {
        Self { cost, result: None }
    }

    fn fixed(cost: u64) -> Self {
        Self::new(CostEstimate::fixed(cost))
    }

    fn with_result(self, size: Size) -> Self {
        Self { result: Some(size), ..self }
    }
}

impl<'e> Estimator<'e> {
    fn cost(&mut self, expr: &'e Expr) -> CostEstimate {
        match &expr.kind {
            Kind::Literal(_) => CostEstimate::default(),
            Kind::Ident(name) => self.ident(expr.id, name),
            Kind::Select(select) => self.select(expr.id, select),
            Kind::Call(call) => self.call(expr, call),
            Kind::List(elements) => {
                let values: Vec<&Expr> = elements.iter().map(|element| &element.value).collect();
                let (cost, value) = self.parts(&values);
                self.entries.insert(expr.id, EntrySize { is_list: true, key: Size::fixed(1), value });
                cost.plus(CostEstimate::fixed(LIST_COST))
            }
            Kind::Map(entries) => {
                let keys: Vec<&Expr> = entries.iter().map(|entry| &entry.key).collect();
                let values: Vec<&Expr> = entries.iter().map(|entry| &entry.value).collect();
                let ((of_keys, key), (of_values, value)) = (self.parts(&keys), self.parts(&values));
                self.entries.insert(expr.id, EntrySize { is_list: false, key, value });
                of_keys.plus(of_values).plus(CostEstimate::fixed(MAP_COST))
            }
            Kind::Struct(made) => {
                let values: Vec<&Expr> = made.fields.iter().map(|field| &field.value).collect();
                self.parts(&values).0.plus(CostEstimate::fixed(MESSAGE_COST))
            }
            Kind::Fold(fold) if fold.is_bind() => self.bind(expr.id, fold),
            Kind::Fold(fold) => self.fold(expr.id, fold),
        }
    }

    /// What all of them cost, and between which sizes they are.
    fn parts(&mut self, exprs: &[&'e Expr]) -> (CostEstimate, Size) {
        let mut cost = CostEstimate::default();
        let mut size = Size { min: if exprs.is_empty() { 0 } else { u64::MAX }, max: 0 };
        for expr in exprs {
            cost = cost.plus(self.cost(expr));
            size = size.union(self.size_or_unknown(expr));
        }
        (cost, size)
    }

    fn ident(&mut self, id: Id, name: &str) -> CostEstimate {
        let (path, cost) = match self.local(name) {
            Some(local) => (local.path.clone(), 1),
            None => (vec![name.to_owned()], name.split('.').count() as u64),
        };
        self.paths.insert(id, path);
        CostEstimate::fixed(cost)
    }

    fn select(&mut self, id: Id, select: &'e Select) -> CostEstimate {
        let cost = self.cost(&select.operand);
        if select.test {
            return cost;
        }
        let mut path = self.path(&select.operand);
        path.push(select.field.clone());
        self.paths.insert(id, path);
        match self.checked.type_of(select.operand.id) {
            Type::Map(_) | Type::Object(_) => cost.plus(CostEstimate::fixed(1)),
            _ => cost,
        }
    }

    fn call(&mut self, expr: &'e Expr, call: &'e Call) -> CostEstimate {
        if call.function == "dyn" {
            let cost = self.cost(&call.arguments[0]);
            self.copy_sizes(expr.id, &call.arguments[0]);
            return cost.plus(CostEstimate::fixed(1));
        }
        let mut costs = Vec::new();
        let mut arguments = Vec::new();
        for argument in &call.arguments {
            costs.push(self.cost(argument));
            arguments.push(self.operand(argument));
        }
        let mut before = CostEstimate::default();
        let target = match &call.target {
            None => None,
            Some(target) => {
                before = self.cost(target);
                Some(self.operand(target))
            }
        };
        let mut cost = CostEstimate { min: u64::MAX, max: 0 };
        let mut result: Option<Size> = None;
        for overload in self.checked.overloads(expr.id) {
            let (of_overload, size) =
                self.overload(expr, &call.function, overload.id, target.as_ref(), &arguments, &costs);
            cost = cost.union(of_overload);
            result = match (result, size) {
                (Some(known), Some(size)) => Some(known.union(size)),
                (known, size) => known.or(size),
            };
            if let Some(step) = match overload.id {
                "index_list" => Some("@items"),
                "index_map" => Some("@values"),
                _ => None,
            } {
                result = self.entry_size(&call.arguments[0]).map(|entries| entries.value);
                let mut path = self.path(&call.arguments[0]);
                path.push(step.to_owned());
                self.paths.insert(expr.id, path);
            }
            result = result.or_else(|| self.size(expr));
        }
        if let Some(size) = result {
            self.sizes.insert(expr.id, size);
        }
        before.plus(cost)
    }

    /// Of one overload, its arguments included.
    fn overload(
        &mut self,
        expr: &Expr,
        function: &str,
        overload: &str,
        target: Option<&Operand<'e>>,
        arguments: &[Operand<'e>],
        costs: &[CostEstimate],
    ) -> (CostEstimate, Option<Size>) {
        match overload {
            "logical_or" | "logical_and" => {
                let all = costs[0].plus(costs[1]);
                return (CostEstimate { min: costs[0].min, max: all.max }, None);
            }
            "conditional" => {
                let size = self.sized(&arguments[1]).union(self.sized(&arguments[2]));
                self.union_entries(expr.id, &arguments[1], &arguments[2]);
                return (costs[0].plus(costs[1].union(costs[2])), Some(size));
            }
            "add_string" | "add_bytes" | "add_list" => self.union_entries(expr.id, &arguments[0], &arguments[1]),
            _ => {}
        }
        let estimate = self
            .of_list(overload, target, arguments)
            .or_else(|| self.of_function(function, overload, target, arguments))
            .unwrap_or_else(|| self.of_standard(overload, target, arguments));
        let arguments = costs.iter().copied().fold(CostEstimate::default(), CostEstimate::plus);
        (estimate.cost.plus(arguments), estimate.result)
    }

    fn union_entries(&mut self, id: Id, left: &Operand<'e>, right: &Operand<'e>) {
        let entries = |operand: &Operand<'e>| operand.expr.and_then(|expr| self.entry_size(expr));
        if let (Some(left), Some(right)) = (entries(left), entries(right)) {
            self.entries.insert(id, left.union(right));
        }
    }

    /// The functions on lists and sets that have prices of their own.
    fn of_list(&self, overload: &str, target: Option<&Operand<'e>>, arguments: &[Operand<'e>]) -> Option<CallEstimate> {
        let made = |size: Size, factor: f64| {
            CallEstimate::new(size.scaled(factor).plus(CostEstimate::fixed(1 + LIST_COST))).with_result(size)
        };
        let sets = |factor: f64| {
            let product = self.sized(&arguments[0]).times(self.sized(&arguments[1]));
            CallEstimate::new(product.scaled(factor).plus(CostEstimate::fixed(1)))
        };
        let compared = |operand: &Operand<'e>, factor: f64| {
            let size = self.sized(operand);
            made(size.times(size), factor)
        };
        let texts = overload.contains("_string_") || overload.contains("_bytes_");
        let sorted = if texts { 2.0 + STRING_FACTOR } else { 2.0 };
        Some(match overload {
            "list_slice" => {
                let start = int_literal(&arguments[0]).unwrap_or(0);
                let end = int_literal(&arguments[1]).unwrap_or(self.sized(target?).max);
                made(Size::fixed(end.wrapping_sub(start)), 1.0)
            }
            "lists_range" => made(Size::fixed(int_literal(&arguments[0]).unwrap_or(u64::MAX)), 1.0),
            "list_reverse" => made(self.sized(target?), 1.0),
            "list_flatten" => made(self.sized(target?), 1.0),
            "list_flatten_int" => made(self.sized(target?), int_literal(&arguments[0]).unwrap_or(u64::MAX) as f64),
            "list_distinct" => compared(target?, 2.0),
            "list_sets_contains_list" | "list_sets_intersects_list" => sets(1.0),
            "list_sets_equivalent_list" => sets(2.0),
            _ if overload.ends_with("_sort") => compared(target?, sorted),
            _ if overload.ends_with("_sortByAssociatedKeys") => compared(&arguments[0], sorted),
            _ => return None,
        })
    }

    /// Kubernetes' own functions, whatever the overload.
    fn of_function(
        &self,
        function: &str,
        overload: &str,
        target: Option<&Operand<'e>>,
        arguments: &[Operand<'e>],
    ) -> Option<CallEstimate> {
        let text = |operand: &Operand<'e>| self.sized(operand).scaled(STRING_FACTOR);
        Some(match function {
            name if NOMINAL.contains(&name) => CallEstimate::fixed(1),
            "check" => CallEstimate::fixed(CHECK_COST),
            "fieldSelector" | "labelSelector" => CallEstimate::new(selector(self.sized(arguments.first()?))),
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => self.traversal(target?),
            "url" | "jsonpatch.escapeKey" => {
                let size = self.sized(arguments.first()?);
                CallEstimate::new(size.scaled(STRING_FACTOR)).with_result(size)
            }
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                let size = self.sized(target?);
                CallEstimate::new(size.scaled(STRING_FACTOR)).with_result(size)
            }
            "replace" => {
                let size = self.sized(target?);
                let result = replaced(size, self.sized(arguments.first()?), self.sized(arguments.get(1)?));
                CallEstimate::new(size.scaled(2.0 * STRING_FACTOR)).with_result(result)
            }
            "split" => {
                let size = self.sized(target?);
                let max = arguments.get(1).and_then(signed_literal).map_or(size.max, |limit| limit as u64);
                CallEstimate::new(size.scaled(2.0 * STRING_FACTOR)).with_result(Size { min: 0, max })
            }
            "join" => {
                let size = self.joined(target?, arguments.first());
                CallEstimate::new(size.scaled(STRING_FACTOR)).with_result(size)
            }
            "find" | "findAll" => {
                let size = self.sized(target?);
                let pattern = self.sized(arguments.first()?).scaled(PATTERN_FACTOR);
                let cost = size.plus(Size::fixed(1)).scaled(STRING_FACTOR).times(pattern);
                CallEstimate::new(cost).with_result(Size { min: 0, max: size.max })
            }
            "ip" if overload == "cidr_ip" => CallEstimate::fixed(1),
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                CallEstimate::new(text(arguments.first()?))
            }
            "ip.isCanonical" => CallEstimate::new(self.sized(arguments.first()?).scaled(2.0 * STRING_FACTOR)),
            "containsIP" | "containsCIDR" => {
                let address = Size { min: 4, max: 16 };
                let mut cost = address.plus(address).scaled(STRING_FACTOR);
                if function == "containsCIDR" {
                    cost = cost.plus(address.scaled(STRING_FACTOR)).plus(CostEstimate::fixed(1));
                }
                if overload.ends_with("_string") {
                    cost = cost.plus(text(arguments.first()?));
                }
                CallEstimate::new(cost)
            }
            "validate" => {
                CallEstimate::new(text(arguments.first()?).scaled(FORMAT_PATTERN_MAX as f64 * PATTERN_FACTOR))
            }
            operator::EQUALS => CallEstimate::new(equality(&arguments.first()?.of, &arguments.get(1)?.of)?),
            _ => return None,
        })
    }

    /// The operators and functions of the language itself.
    fn of_standard(&self, overload: &str, target: Option<&Operand<'e>>, arguments: &[Operand<'e>]) -> CallEstimate {
        let size = |index: usize| self.sized(&arguments[index]);
        let of_target = || target.map_or(UNKNOWN, |target| self.sized(target));
        match overload {
            "string_format" => CallEstimate::new(of_target().scaled(STRING_FACTOR)),
            "string_to_bytes" => {
                let text = size(0);
                CallEstimate::new(text.scaled(STRING_FACTOR))
                    .with_result(Size { min: text.min, max: text.max.wrapping_mul(4) })
            }
            "bytes_to_string" => {
                let bytes = size(0);
                CallEstimate::new(bytes.scaled(STRING_FACTOR)).with_result(Size { min: bytes.min / 4, max: bytes.max })
            }
            "strings_quote" => {
                let text = size(0);
                let result = Size { min: text.min.wrapping_add(2), max: text.max.wrapping_mul(2).wrapping_add(2) };
                CallEstimate::new(text.scaled(STRING_FACTOR)).with_result(result)
            }
            "starts_with_string" | "ends_with_string" => CallEstimate::new(size(0).scaled(STRING_FACTOR)),
            "in_list" => CallEstimate::new(size(1).scaled(1.0)),
            "matches_string" => {
                let text = of_target().plus(Size::fixed(1)).scaled(STRING_FACTOR);
                CallEstimate::new(text.times(size(0).scaled(PATTERN_FACTOR)))
            }
            "contains_string" => {
                CallEstimate::new(of_target().scaled(STRING_FACTOR).times(size(0).scaled(STRING_FACTOR)))
            }
            "add_list" => CallEstimate::fixed(1).with_result(size(0).plus(size(1))),
            "add_string" | "add_bytes" => {
                let result = size(0).plus(size(1));
                CallEstimate::new(result.scaled(STRING_FACTOR)).with_result(result)
            }
            "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes"
            | "equals"
            | "not_equals" => {
                let smaller = size(0).max.min(size(1).max);
                CallEstimate::new(CostEstimate { min: smaller.min(1), max: smaller }.scaled(STRING_FACTOR))
            }
            _ => CallEstimate::fixed(1),
        }
    }

    /// One for each element of a list, and a tenth for each character in them; or that of a string.
    fn traversal(&self, target: &Operand<'e>) -> CallEstimate {
        let size = self.sized(target);
        let Some(element) = element(target) else { return CallEstimate::new(size.scaled(STRING_FACTOR)) };
        let mut cost = CostEstimate::fixed(1);
        if matches!(element.of, Type::String | Type::Bytes) {
            cost = cost.plus(self.sized(&element).scaled(STRING_FACTOR));
        }
        CallEstimate::new(size.times(cost))
    }

    fn joined(&self, target: &Operand<'e>, separator: Option<&Operand<'e>>) -> Size {
        let count = self.sized(target);
        let texts = element(target).map_or(Size::default(), |element| count.times(self.sized(&element)));
        let Some(separator) = separator else { return texts };
        let separators = Size { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
        texts.plus(self.sized(separator).times(separators))
    }

    fn fold(&mut self, id: Id, fold: &'e Fold) -> CostEstimate {
        let mut cost = self.cost(&fold.range).plus(self.cost(&fold.initial));
        let outer = self.locals.len();
        let accumulator = self.bound(&fold.accumulator, &fold.initial);
        self.locals.push(accumulator);
        self.push_iterated(fold);
        let turn = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.locals.truncate(outer + 1);
        cost = cost.plus(self.cost(&fold.result));
        self.locals.truncate(outer);
        let count = self.size_or_unknown(&fold.range);
        cost = cost.plus(count.times(turn));
        match &fold.initial.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&fold.initial) {
                    self.sizes.insert(id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.sizes.insert(id, count);
                if let Some(entries) = self.entry_size(&fold.step) {
                    self.entries.insert(id, entries);
                }
            }
            _ => {}
        }
        cost
    }

    fn push_iterated(&mut self, fold: &Fold) {
        let entries = self.entry_size(&fold.range);
        let is_list = entries
            .map_or_else(|| matches!(self.checked.type_of(fold.range.id), Type::List(_)), |entries| entries.is_list);
        let path = self.path(&fold.range);
        let mut push = |name: &str, step: &str, size: Option<Size>| {
            let mut path = path.clone();
            path.push(step.to_owned());
            self.locals.push(Local { name: name.to_owned(), path, size, entries: None });
        };
        let key = entries.map(|entries| entries.key);
        let value = entries.map(|entries| entries.value);
        let (key_step, value_step) = if is_list { ("@indices", "@items") } else { ("@keys", "@values") };
        match &fold.second {
            Some(second) => {
                push(&fold.variable, key_step, key);
                push(second, value_step, value);
            }
            None if is_list => push(&fold.variable, value_step, value),
            None => push(&fold.variable, key_step, key),
        }
    }

    fn bind(&mut self, id: Id, fold: &'e Fold) -> CostEstimate {
        let before = self.cost(&fold.range).plus(self.cost(&fold.initial));
        let local = self.bound(&fold.accumulator, &fold.initial);
        self.locals.push(local);
        let cost = before.plus(self.cost(&fold.result));
        self.copy_sizes(id, &fold.result);
        self.locals.pop();
        cost
    }

    fn bound(&mut self, name: &str, value: &Expr) -> Local {
        Local { name: name.to_owned(), path: self.path(value), size: self.size(value), entries: self.entry_size(value) }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn path(&self, expr: &Expr) -> Path {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn operand(&mut self, expr: &'e Expr) -> Operand<'e> {
        let path = self.path(expr);
        let path = if path.first().is_some_and(|first| first == ACCUMULATOR) { Path::new() } else { path };
        let of = self.checked.type_of(expr.id).clone();
        Operand { path, of, expr: Some(expr), size: self.size(expr) }
    }

    fn sized(&self, operand: &Operand<'e>) -> Size {
        operand.size.or_else(|| self.size_at(&operand.path)).unwrap_or(UNKNOWN)
    }

    fn size_at(&self, path: &[String]) -> Option<Size> {
        self.environment.max_elements_at(path).map(|max| Size { min: 0, max })
    }

    fn size(&mut self, expr: &Expr) -> Option<Size> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = literal_size(expr) {
            return Some(Size::fixed(size));
        }
        if let Some(size) = self.size_at(&self.path(expr)) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if self.checked.type_of(expr.id).is_scalar() {
            return Some(Size::fixed(1));
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.size,
            _ => None,
        }
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Size {
        self.size(expr).unwrap_or(UNKNOWN)
    }

    fn entry_size(&self, expr: &Expr) -> Option<EntrySize> {
        self.entries.get(&expr.id).copied().or_else(|| match &expr.kind {
            Kind::Ident(name) => self.local(name)?.entries,
            _ => None,
        })
    }

    fn copy_sizes(&mut self, to: Id, from: &Expr) {
        if let Some(size) = self.size(from) {
            self.sizes.insert(to, size);
        }
        if let Some(entries) = self.entry_size(from) {
            self.entries.insert(to, entries);
        }
    }
}

/// An element of the list.
fn element<'e>(list: &Operand<'e>) -> Option<Operand<'e>> {
    let of = (*list.of.parameters().first()?).clone();
    let mut path = list.path.clone();
    if !path.is_empty() {
        path.push("@items".to_owned());
    }
    Some(Operand { path, of, expr: None, size: None })
}

fn literal_size(expr: &Expr) -> Option<u64> {
    Some(match &expr.kind {
        Kind::Literal(Literal::String(text)) => text.chars().count() as u64,
        Kind::Literal(Literal::Bytes(bytes)) => bytes.len() as u64,
        Kind::Literal(_) => 1,
        Kind::List(elements) => elements.len() as u64,
        Kind::Map(entries) => entries.len() as u64,
        _ => return None,
    })
}

fn signed_literal(operand: &Operand<'_>) -> Option<i64> {
    match operand.expr?.kind {
        Kind::Literal(Literal::Int(value)) => Some(value),
        _ => None,
    }
}

fn int_literal(operand: &Operand<'_>) -> Option<u64> {
    signed_literal(operand).map(|value| value.max(0) as u64)
}

fn selector(length: Size) -> CostEstimate {
    let requirements = length.scaled(SELECTOR_REQUIREMENTS).scaled(SELECTOR_REQUIREMENT_COST);
    CostEstimate::fixed(LIST_COST).plus(length.scaled(STRING_FACTOR)).plus(requirements)
}

/// The size of a text in which all of `from` is replaced by `to`.
fn replaced(text: Size, from: Size, to: Size) -> Size {
    let most = match (from.min, to.max) {
        // What replaces nothing surrounds each character.
        (0, _) => (text.max.saturating_add(1), text.max),
        (from, to) if to <= from => (0, text.max),
        (from, _) => (text.max.div_ceil(from), 0),
    };
    let least = match (from.max, to.min) {
        (0, _) => (text.min.saturating_add(1), text.min),
        (from, to) if from <= to => (0, text.min),
        (from, _) => (text.min.div_ceil(from), 0),
    };
    let count = Size { min: least.0, max: most.0 };
    count.times(to).plus(Size { min: least.1, max: most.1 })
}

/// Of two values of a library's type.
fn equality(left: &Type, right: &Type) -> Option<CostEstimate> {
    let name = match left {
        Type::Object(name) | Type::Opaque(name, _) if left == right => name,
        _ => return None,
    };
    Some(match &**name {
        "net.IP"
        | "net.CIDR"
        | "kubernetes.Quantity"
        | "kubernetes.Semver"
        | "kubernetes.authorization.Authorizer"
        | "kubernetes.authorization.PathCheck"
        | "kubernetes.authorization.GroupCheck"
        | "kubernetes.authorization.ResourceCheck"
        | "kubernetes.authorization.Decision" => CostEstimate::fixed(1),
        "kubernetes.NamedFormat" => CostEstimate { min: 1, max: FORMAT_SIZE_MAX }.scaled(STRING_FACTOR),
        "kubernetes.URL" => CostEstimate::fixed(1),
        _ => return None,
    })
}

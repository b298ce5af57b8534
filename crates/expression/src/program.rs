//! A program: made once, evaluated often, from any thread.

use std::collections::BTreeSet;

use crate::cost::estimate::CostEstimate;
use crate::error::Error;
use crate::evaluate::Run;
use crate::meter::Meter;
use crate::plan::Node;
use crate::types::Type;
use crate::value::Value;

#[derive(Debug)]
pub struct Program {
    root: Node,
    result: Type,
    cost: CostEstimate,
    selections: BTreeSet<(String, String)>,
}

/// Where a program finds its variables.
pub trait Bindings<'a> {
    /// The variable of this name; none if there is no such.
    fn variable(&self, name: &str) -> Option<Result<Value<'a>, Error>>;
}

impl<'a> Bindings<'a> for [(&str, Value<'a>)] {
    fn variable(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| Ok(value.clone()))
    }
}

impl<'a, const N: usize> Bindings<'a> for [(&str, Value<'a>); N] {
    fn variable(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        self.as_slice().variable(name)
    }
}

/// What came of an evaluation.
#[derive(Debug)]
pub struct Evaluated<'a> {
    pub value: Result<Value<'a>, Error>,
    /// What it took, also if it failed.
    pub cost: u64,
}

impl Program {
    pub(crate) fn new(root: Node, result: Type, cost: CostEstimate, selections: BTreeSet<(String, String)>) -> Self {
        Self { root, result, cost, selections }
    }

    /// Whether it says `variable.field` somewhere, or `variable.?field`.
    pub fn selects(&self, variable: &str, field: &str) -> bool {
        self.selections.contains(&(variable.to_owned(), field.to_owned()))
    }

    /// The type of what it evaluates to.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// What evaluating it can cost.
    pub fn cost(&self) -> CostEstimate {
        self.cost
    }

    /// Evaluates it, and stops with [`Error::CostLimit`] as soon as that has cost more than `limit`.
    pub fn evaluate<'a>(&self, bindings: &(impl Bindings<'a> + ?Sized), limit: u64) -> Evaluated<'a> {
        let meter = Meter::new(limit);
        let mut run = Run::new(bindings, &meter);
        let value = run.eval(&self.root);
        Evaluated { value, cost: meter.cost() }
    }
}

//! The variables of a policy, each evaluated when it is first asked for and once.
//!
//! upstream: apiserver/pkg/admission/plugin/cel/composition.go

use std::cell::{Cell, OnceCell};

use expression::{Bindings, Error, PER_CALL_LIMIT, Value};
use kinds::admissionregistration::expressions::VARIABLES;

use super::frame::Variable;
use crate::conditions::{Budget, Compiled, Failed};
use crate::inputs::Inputs;

/// What an expression of a policy sees.
pub struct Scope<'a> {
    inputs: &'a Inputs<'a>,
    variables: &'a [Variable],
    values: Vec<OnceCell<Result<Value<'a>, Error>>>,
    /// What variables have cost since it was last taken out of a budget.
    cost: Cell<u64>,
}

impl<'a> Scope<'a> {
    pub fn new(inputs: &'a Inputs<'a>, variables: &'a [Variable]) -> Self {
        let values = variables.iter().map(|_| OnceCell::new()).collect();
        Self { inputs, variables, values, cost: Cell::new(0) }
    }

    /// The value of an expression, which the budget pays for with that of the variables it needs.
    pub fn evaluate(&self, expression: &Compiled, budget: &mut Budget) -> Result<Value<'a>, Failed> {
        let value = expression.evaluate(self, budget);
        budget.take(self.cost.take())?;
        value
    }

    fn value(&self, index: usize) -> Result<Value<'a>, Error> {
        let Variable { name, value } = &self.variables[index];
        let evaluate = || {
            let program = value
                .program
                .as_ref()
                .map_err(|error| Error::failed(format!("composited variable {name:?} fails to compile: {error}")))?;
            let evaluated = program.evaluate(self, PER_CALL_LIMIT);
            self.cost.set(self.cost.get().saturating_add(evaluated.cost));
            evaluated
                .value
                .map_err(|error| Error::failed(format!("composited variable {name:?} fails to evaluate: {error}")))
        };
        self.values[index].get_or_init(evaluate).clone()
    }

    /// All variables as one object.
    fn all(&self) -> Result<Value<'a>, Error> {
        let of = |index: usize| Ok((self.variables[index].name.clone(), self.value(index)?));
        let values = (0..self.variables.len()).map(of).collect::<Result<Vec<_>, Error>>()?;
        Ok(Value::map(values))
    }
}

impl<'a> Bindings<'a> for Scope<'a> {
    fn variable(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        if name == VARIABLES {
            return Some(self.all());
        }
        let Some(field) = name.strip_prefix(VARIABLES).and_then(|rest| rest.strip_prefix('.')) else {
            return self.inputs.variable(name);
        };
        let index = self.variables.iter().position(|variable| variable.name == field)?;
        Some(self.value(index))
    }
}

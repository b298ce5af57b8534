//! Match conditions: expressions that must all be true for a webhook or a policy to have a say.
//!
//! upstream: apiserver/pkg/admission/plugin/webhook/matchconditions

use expression::{Bindings, Error, MATCH_CONDITIONS_BUDGET, PER_CALL_LIMIT, Program, Value};
use kinds::admissionregistration::expressions::{Offered, environment};
use serde_json::Value as Json;

use crate::inputs::Inputs;

pub const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// An expression and what it was compiled to.
#[derive(Debug)]
pub struct Compiled {
    pub text: String,
    pub program: Result<Program, String>,
}

impl Compiled {
    pub fn new(environment: &expression::Environment, text: &str) -> Self {
        Self { text: text.to_owned(), program: environment.compile(text).map_err(|error| error.to_string()) }
    }

    /// The value, taken out of the budget. The error is upstream's text.
    pub fn evaluate<'a>(&self, bindings: &impl Bindings<'a>, budget: &mut Budget) -> Result<Value<'a>, Failed> {
        let program = self.program.as_ref().map_err(|error| Failed::This(format!("compilation error: {error}")))?;
        let evaluated = program.evaluate(bindings, PER_CALL_LIMIT.min(budget.0));
        budget.take(evaluated.cost)?;
        evaluated.value.map_err(|error| Failed::This(format!("expression '{}' resulted in error: {error}", self.text)))
    }
}

/// What expressions may still cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget(pub u64);

impl Budget {
    pub fn take(&mut self, cost: u64) -> Result<(), Failed> {
        match self.0.checked_sub(cost) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Failed::OutOfBudget),
        }
    }
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    This(String),
    /// Nothing else can be evaluated either.
    OutOfBudget,
}

impl Failed {
    pub fn into_text(self) -> String {
        match self {
            Self::This(text) => text,
            Self::OutOfBudget => OUT_OF_BUDGET.to_owned(),
        }
    }
}

/// The conditions of one webhook or policy.
#[derive(Debug, Default)]
pub struct Conditions(Vec<Compiled>);

/// What the conditions say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    Yes,
    No,
    /// Some could not be evaluated, and none is false.
    Unknown(String),
}

impl Conditions {
    /// `params` tells whether they may look at parameters.
    pub fn new(conditions: &Json, params: bool) -> Self {
        let conditions = conditions.as_array().map(Vec::as_slice).unwrap_or_default();
        if conditions.is_empty() {
            return Self::default();
        }
        let environment = environment(Offered { params, authorizer: true, ..Offered::default() });
        let texts = conditions.iter().map(|condition| condition["expression"].as_str().unwrap_or_default().trim());
        Self(texts.map(|text| Compiled::new(&environment, text)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn evaluate(&self, inputs: &Inputs<'_>) -> Met {
        let mut budget = Budget(MATCH_CONDITIONS_BUDGET);
        let mut errors = Vec::new();
        for condition in &self.0 {
            match condition.evaluate(&Plain(inputs), &mut budget) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => return Met::No,
                Err(Failed::OutOfBudget) => return Met::Unknown(OUT_OF_BUDGET.to_owned()),
                Err(Failed::This(error)) => errors.push(error),
            }
        }
        match errors.as_slice() {
            [] => Met::Yes,
            [one] => Met::Unknown(one.clone()),
            several => Met::Unknown(format!("[{}]", several.join(", "))),
        }
    }
}

/// The inputs, and no variables of a policy.
pub struct Plain<'a>(pub &'a Inputs<'a>);

impl<'a> Bindings<'a> for Plain<'a> {
    fn variable(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        self.0.variable(name)
    }
}

//! Counts what an evaluation costs, and stops it at a limit.
//!
//! Cost is upstream's measure, which prices some work that grows with its operands as one unit. What is really
//! done is therefore counted beside it, in steps, and bounded too.

use std::cell::Cell;

use crate::error::Error;
use crate::pattern::Patterns;

/// How many steps a unit of cost may take on average.
const STEPS_PER_COST: u64 = 16;
/// Steps that any evaluation may take.
const STEPS_MIN: u64 = 1 << 20;

#[derive(Debug)]
pub struct Meter {
    cost: Cell<u64>,
    limit: u64,
    steps: Cell<u64>,
    pub patterns: Patterns,
}

impl Meter {
    pub fn new(limit: u64) -> Self {
        let steps = limit.saturating_mul(STEPS_PER_COST).saturating_add(STEPS_MIN);
        Self { cost: Cell::new(0), limit, steps: Cell::new(steps), patterns: Patterns::default() }
    }

    pub fn cost(&self) -> u64 {
        self.cost.get()
    }

    pub fn charge(&self, cost: u64) -> Result<(), Error> {
        self.cost.set(self.cost.get().saturating_add(cost));
        if self.cost.get() > self.limit { Err(Error::CostLimit) } else { Ok(()) }
    }

    /// Takes steps: elements visited, bytes copied.
    pub fn step(&self, steps: usize) -> Result<(), Error> {
        match self.steps.get().checked_sub(steps as u64) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Error::CostLimit),
        }
    }
}

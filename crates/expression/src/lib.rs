//! Expressions in CEL, Kubernetes' dialect: parsed, type-checked, priced, and evaluated within a budget.
//!
//! An [`Environment`] says what an expression may refer to. It compiles text to a [`Program`], or gives
//! [`Issues`] that read as upstream's do. A program is evaluated on [`Value`]s, which borrow from the JSON that
//! they were read from along a [`Shape`]; it counts what that costs and stops at a limit. Programs know what they
//! can cost before they run ([`CostEstimate`]).
//!
//! upstream: cel-go 0.26, apiserver pkg/cel, with what Kubernetes 1.35 turns on.

mod ast;
mod checker;
mod cost;
mod declarations;
mod display;
mod environment;
mod error;
mod escape;
mod evaluate;
mod lexer;
mod library;
mod list;
mod macros;
mod map;
mod meter;
mod parser;
mod pattern;
mod plan;
mod program;
mod read;
mod shape;
mod source;
mod time;
mod types;
mod validators;
mod value;
mod write;

pub use cost::estimate::CostEstimate;
pub use environment::{CompileError, Environment};
pub use error::Error;
pub use escape::{escape, is_identifier, unescape};
pub use library::{Attributes, Authorizer, Decision, authorizer, quantity, resource_check, semver};
pub use list::List;
pub use map::Map;
pub use pattern::compile as compile_pattern;
pub use program::{Bindings, Evaluated, Program};
pub use shape::{Form, Merge, REQUEST_MAX, Shape};
pub use source::Issues;
pub use types::Type;
pub use value::{Foreign, Message, Value};

/// What one rule of a custom resource may cost by estimate.
pub const ESTIMATED_RULE_LIMIT: u64 = 10_000_000;
/// What all rules of a custom resource may cost together by estimate.
pub const ESTIMATED_TOTAL_LIMIT: u64 = 100_000_000;
/// What one call of an expression may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// What all expressions on one object may cost together.
pub const RUNTIME_BUDGET: u64 = 10_000_000;
/// What all match conditions on one object may cost together.
pub const MATCH_CONDITIONS_BUDGET: u64 = 2_500_000;

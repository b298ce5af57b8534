//! The functions of the language and of Kubernetes 1.35, one group a file.
//!
//! upstream: cel-go common/stdlib, ext and cel/library.go; apiserver pkg/cel/environment/base.go and library.

mod authorizer;
mod collections;
mod conversions;
pub mod formats;
mod lists;
mod network;
mod operators;
mod optionals;
mod patch;
mod printf;
mod quantity;
mod regex;
mod semver;
mod strings;
mod times;
mod url;

pub use authorizer::{Attributes, Authorizer, Decision, authorizer, resource_check};
pub use conversions::text_of;
pub use quantity::quantity;
pub use semver::semver;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::Value;

pub const ALL: &[&[Declaration]] = &[
    operators::LIBRARY,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    conversions::LIBRARY,
    collections::LIBRARY,
    strings::LIBRARY,
    times::LIBRARY,
    optionals::LIBRARY,
    lists::LIBRARY,
    lists::IS_SORTED,
    lists::MIN,
    lists::MAX,
    lists::SORT_BY,
    regex::LIBRARY,
    url::LIBRARY,
    network::LIBRARY,
    quantity::LIBRARY,
    semver::LIBRARY,
    formats::LIBRARY,
    authorizer::LIBRARY,
    patch::LIBRARY,
];

/// Of functions that are nodes of their own in programs, and have lines for their types alone.
fn never<'a>(_: &Meter, _: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Err(Error::NoOverload)
}

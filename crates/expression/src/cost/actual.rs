//! What a call costs, from the sizes of its arguments. upstream: interpreter/runtimecost.go, library/cost.go.

use super::{
    CHECK_COST, LIST_COST, NOMINAL, PATTERN_FACTOR, SELECTOR_REQUIREMENT_COST, SELECTOR_REQUIREMENTS, STRING_FACTOR,
};
use crate::error::Error;
use crate::library::formats::NamedFormat;
use crate::meter::Meter;
use crate::value::Value;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Price {
    Fixed(u64),
    /// The size of an argument times a factor, rounded up.
    Size(usize, f64),
    /// All that is in the first argument.
    Traversal,
    /// A tenth of the smaller argument.
    Smaller,
    /// A tenth of both arguments.
    Both,
    /// Matching a string against a pattern.
    Pattern,
    /// Looking for a string in another.
    Contains,
    Selector,
    /// Looking for an address in a network; with how the other must be read first.
    Network {
        parses: bool,
        network: bool,
    },
    Format,
    /// The size of the result times a factor.
    Result(f64),
    /// A list as long as the result is made.
    MakesList,
    Flatten,
    /// Each element of a list is held against each.
    SelfCompare(usize),
    /// Each element of a list is held against each of another.
    Sets(f64),
}

impl Price {
    /// `overload` is empty where several are possible.
    pub fn of(function: &str, overload: &str) -> Self {
        match overload {
            "list_slice" | "lists_range" | "list_reverse" => return Self::MakesList,
            "list_flatten" | "list_flatten_int" => return Self::Flatten,
            "list_distinct" => return Self::SelfCompare(0),
            "list_sets_contains_list" | "list_sets_intersects_list" => return Self::Sets(1.0),
            "list_sets_equivalent_list" => return Self::Sets(2.0),
            _ if overload.ends_with("_sort") => return Self::SelfCompare(0),
            _ if overload.ends_with("_sortByAssociatedKeys") => return Self::SelfCompare(1),
            _ => {}
        }
        Self::of_function(function, overload).unwrap_or_else(|| Self::of_overload(overload))
    }

    fn of_function(function: &str, overload: &str) -> Option<Self> {
        Some(match function {
            name if NOMINAL.contains(&name) => Self::Fixed(1),
            "check" => Self::Fixed(CHECK_COST),
            "fieldSelector" | "labelSelector" => Self::Selector,
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => Self::Traversal,
            "ip" if overload == "cidr_ip" => Self::Fixed(1),
            "url"
            | "lowerAscii"
            | "upperAscii"
            | "substring"
            | "trim"
            | "jsonpatch.escapeKey"
            | "cidr"
            | "isIP"
            | "isCIDR"
            | "ip"
            | "quantity"
            | "isQuantity"
            | "semver"
            | "isSemver" => Self::Size(0, STRING_FACTOR),
            "replace" | "split" | "ip.isCanonical" => Self::Size(0, 2.0 * STRING_FACTOR),
            "join" => Self::Result(2.0 * STRING_FACTOR),
            "find" | "findAll" => Self::Pattern,
            "containsIP" => Self::Network { parses: overload == "cidr_contains_ip_string", network: false },
            "containsCIDR" => Self::Network { parses: overload == "cidr_contains_cidr_string", network: true },
            "validate" => Self::Format,
            _ => return None,
        })
    }

    fn of_overload(overload: &str) -> Self {
        match overload {
            "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string" | "strings_quote"
            | "string_format" => Self::Size(0, STRING_FACTOR),
            "in_list" => Self::Size(1, 1.0),
            "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes" => Self::Smaller,
            "add_string" | "add_bytes" => Self::Both,
            "matches_string" => Self::Pattern,
            "contains_string" => Self::Contains,
            _ => Self::Fixed(1),
        }
    }

    /// What the call costs before its result is known.
    pub fn of_arguments(self, values: &[Value<'_>], meter: &Meter) -> Result<u64, Error> {
        let size = |index: usize| values.get(index).map_or(1, Value::size);
        Ok(match self {
            Self::Fixed(cost) => cost,
            Self::Size(argument, factor) => scaled(size(argument), factor),
            Self::Traversal => traversal(&values[0], meter)?,
            Self::Smaller => scaled(size(0).min(size(1)), STRING_FACTOR),
            Self::Both => scaled(size(0).saturating_add(size(1)), STRING_FACTOR),
            Self::Pattern => {
                scaled(size(0).saturating_add(1), STRING_FACTOR).saturating_mul(scaled(size(1), PATTERN_FACTOR))
            }
            Self::Contains => scaled(size(0), STRING_FACTOR).saturating_mul(scaled(size(1), STRING_FACTOR)),
            Self::Selector => selector(size(1)),
            Self::Network { parses, network } => {
                let own = size(0);
                let compared = scaled(2 * own, STRING_FACTOR);
                let masked = if network { scaled(own, STRING_FACTOR) + 1 } else { 0 };
                compared + masked + if parses { scaled(size(1), STRING_FACTOR) } else { 0 }
            }
            Self::Format => {
                let pattern = values[0].downcast::<NamedFormat>().map_or(1, NamedFormat::pattern_size);
                scaled(size(1).saturating_add(1), STRING_FACTOR).saturating_mul(scaled(pattern, PATTERN_FACTOR))
            }
            Self::Flatten => {
                let depth = if let Some(Value::Int(depth)) = values.get(1) { (*depth).max(0) as f64 } else { 1.0 };
                made_list(size(0) as f64 * depth)
            }
            Self::SelfCompare(argument) => self_compare(&values[argument]),
            Self::Sets(factor) => 1 + (size(0) as f64 * size(1) as f64 * factor) as u64,
            Self::Result(_) | Self::MakesList => 0,
        })
    }

    /// What is to be paid for the result.
    pub fn of_result(self, result: &Value<'_>) -> u64 {
        match self {
            Self::Result(factor) => scaled(result.size(), factor),
            Self::MakesList => made_list(result.size() as f64),
            _ => 0,
        }
    }
}

pub fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

fn selector(length: u64) -> u64 {
    let requirements = scaled(length, SELECTOR_REQUIREMENTS);
    LIST_COST + scaled(length, STRING_FACTOR) + scaled(requirements, SELECTOR_REQUIREMENT_COST)
}

fn made_list(size: f64) -> u64 {
    (size as u64).saturating_add(1 + LIST_COST)
}

fn self_compare(value: &Value<'_>) -> u64 {
    let size = value.size() as f64;
    let texts = match value {
        Value::List(list) if !list.is_empty() => matches!(list.get(0), Ok(Value::String(_) | Value::Bytes(_))),
        _ => false,
    };
    let factor = if texts { 2.0 + STRING_FACTOR } else { 2.0 };
    made_list(size * size * factor)
}

/// One for each scalar, a tenth for each byte of a text.
fn traversal(value: &Value<'_>, meter: &Meter) -> Result<u64, Error> {
    meter.step(1)?;
    Ok(match value {
        Value::String(text) => (text.len() as f64 * STRING_FACTOR) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * STRING_FACTOR) as u64,
        Value::List(list) => {
            let mut cost = 0_u64;
            for element in list.iter() {
                cost = cost.saturating_add(traversal(&element?, meter)?);
            }
            cost
        }
        Value::Map(map) => {
            let mut cost = 0_u64;
            for key in map.keys(meter)? {
                cost = cost.saturating_add(traversal(&key, meter)?);
                if let Some(value) = map.find(&key)? {
                    cost = cost.saturating_add(traversal(&value, meter)?);
                }
            }
            cost
        }
        _ => 1,
    })
}

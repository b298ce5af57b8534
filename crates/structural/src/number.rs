//! Numbers within their bounds, and how Go prints them.

use serde_json::{Number, Value};

use crate::schema::{Checks, Type};

/// As `%v` prints it.
pub(crate) fn print(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value}")
}

/// Whether a float is a whole number to JSON.
pub(crate) fn is_whole(value: f64) -> bool {
    value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_991.0
}

/// What is wrong with a number; the flag says that it is no error of the value but of the schema or its range.
pub(crate) fn check(number: &Number, of: Option<Type>, checks: &Checks, path: &str) -> Vec<(String, bool)> {
    let format = checks.format.as_ref().map_or("", |format| &*format.name);
    let value = number.as_f64().unwrap_or(f64::NAN);
    let mut problems = Vec::new();
    let out_of_range = |whole: Option<i64>, value: f64, what: &str| {
        range(whole, value, of, format).then(|| {
            let of = of.map_or("", Type::name);
            let of_format =
                if format.is_empty() { "(default format)".to_owned() } else { format!("with format {format}") };
            (format!("{what} value must be of type {of} {of_format} in {path}"), true)
        })
    };
    problems.extend(out_of_range(number.as_i64(), value, "Checked"));
    let bound = |limit: f64| match number.as_i64() {
        Some(_) => (limit as i64).to_string(),
        None => print(limit),
    };
    if let Some(factor) = checks.multiple_of {
        match out_of_range(None, factor, "MultipleOf") {
            Some(problem) => problems.push(problem),
            None => problems.extend(multiple_of(number, factor, path).map(|text| (text, false))),
        }
    }
    if let Some(minimum) = checks.minimum {
        problems.extend(out_of_range(None, minimum, "Minimum boundary"));
        let is_below = compare(number, minimum, |value, limit| value < limit, |value, limit| value < limit);
        let is_equal = compare(number, minimum, |value, limit| value == limit, |value, limit| value == limit);
        if is_below || (checks.exclusive_minimum && is_equal) {
            let than = if checks.exclusive_minimum { "greater than" } else { "greater than or equal to" };
            problems.push((format!("{path} in body should be {than} {}", bound(minimum)), false));
        }
    }
    if let Some(maximum) = checks.maximum {
        problems.extend(out_of_range(None, maximum, "Maximum boundary"));
        let is_above = compare(number, maximum, |value, limit| value > limit, |value, limit| value > limit);
        let is_equal = compare(number, maximum, |value, limit| value == limit, |value, limit| value == limit);
        if is_above || (checks.exclusive_maximum && is_equal) {
            let than = if checks.exclusive_maximum { "less than" } else { "less than or equal to" };
            problems.push((format!("{path} in body should be {than} {}", bound(maximum)), false));
        }
    }
    problems
}

/// Whole numbers are compared as such, with the bound cut.
fn compare(number: &Number, limit: f64, whole: fn(i64, i64) -> bool, float: fn(f64, f64) -> bool) -> bool {
    match number.as_i64() {
        Some(value) => whole(value, limit as i64),
        None => float(number.as_f64().unwrap_or(f64::NAN), limit),
    }
}

fn range(whole: Option<i64>, value: f64, of: Option<Type>, format: &str) -> bool {
    match (of, format) {
        (Some(Type::Integer), "int32") => whole
            .map_or(!is_whole(value) || i32::try_from(value as i64).is_err(), |whole| i32::try_from(whole).is_err()),
        (Some(Type::Integer), _) => whole.is_none() && (value.fract() != 0.0 || value.abs() >= 9.3e18),
        (Some(Type::Number), "float") => value.abs() > f64::from(f32::MAX),
        _ => false,
    }
}

fn multiple_of(number: &Number, factor: f64, path: &str) -> Option<String> {
    let refused = |factor: String| Some(format!("{path} in body should be a multiple of {factor}"));
    match number.as_i64() {
        Some(value) => match factor as i64 {
            factor if factor <= 0 => Some(format!("factor MultipleOf declared for {path} must be positive: {factor}")),
            factor if value % factor != 0 => refused(factor.to_string()),
            _ => None,
        },
        None if factor <= 0.0 => {
            Some(format!("factor MultipleOf declared for {path} must be positive: {}", print(factor)))
        }
        None => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            let times = if factor < 1.0 { 1.0 / factor * value } else { value / factor };
            if is_nearly_whole(times) { None } else { refused(print(factor)) }
        }
    }
}

/// As go-openapi's swag tells whether a float is a whole number.
fn is_nearly_whole(value: f64) -> bool {
    const EPSILON: f64 = 1e-9;
    if !value.is_finite() || value.abs() > 9_007_199_254_740_991.0 {
        return false;
    }
    let difference = (value - value.round()).abs();
    difference == 0.0 || difference < EPSILON * value.abs().max(1.0)
}

/// Whether two values are equal, numbers by what they say.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left == right,
            _ => left.as_f64() == right.as_f64(),
        },
        (left, right) => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_go() {
        for (value, text) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (0.00001, "1e-05"),
            (0.0, "0"),
            (-2.5e-7, "-2.5e-07"),
        ] {
            assert_eq!(print(value), text);
        }
    }
}

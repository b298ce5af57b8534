//! Expressions that select devices.
//!
//! upstream: dynamic-resource-allocation/cel

use std::sync::{Arc, LazyLock};

use expression::{CompileError, Environment, Form, PER_CALL_LIMIT, Shape, Type};
use machinery::field::Error;

use crate::check::At;

const DRIVER_MAX: u64 = 63;
const DOMAIN_MAX: u64 = 63;
const ID_MAX: u64 = 32;
const VALUE_MAX: u64 = 64;
/// Attributes and capacities of a device.
const PROPERTIES_MAX: u64 = 32;

static ENVIRONMENT: LazyLock<Environment> =
    LazyLock::new(|| Environment::new().with_bind().with_shape("device", Arc::new(device())));

/// A device: who drives it, and by domain and name what it is and what there is of it.
fn device() -> Shape {
    let map =
        |values: Shape, keys_max| Shape::of(Form::Map(Arc::new(values))).at_most(PROPERTIES_MAX).with_keys_of(keys_max);
    let by_domain = |values: Shape| map(map(values, ID_MAX), DOMAIN_MAX);
    let fields = [
        ("driver", Shape::of(Form::String).at_most(DRIVER_MAX)),
        ("attributes", by_domain(Shape::of(Form::Dyn).at_most(VALUE_MAX))),
        ("capacity", by_domain(Shape::of(Form::Quantity))),
    ];
    Shape::object("kubernetes.DRADevice", fields)
}

/// What upstream says of an expression that does not tell whether a device is selected, or costs too much to ask.
pub fn validate_expression(at: &At) -> Option<Error> {
    let program = match ENVIRONMENT.compile(at.text()) {
        Ok(program) => program,
        Err(CompileError::Invalid(issues)) => return Some(at.invalid(format!("compilation failed: {issues}"))),
        Err(CompileError::Program(reason)) => {
            return Some(Error::internal(&at.path, format!("program instantiation failed: {reason}")));
        }
    };
    if ![Type::Bool, Type::Dyn].contains(program.result()) {
        return Some(at.invalid(format!("must evaluate to bool or the unknown type, not {}", program.result())));
    }
    (program.cost().max > PER_CALL_LIMIT).then(|| at.forbidden("too complex, exceeds cost limit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an expression can cost at most, as upstream's own tests have it.
    #[test]
    fn expressions_on_devices_cost_what_they_cost_upstream() {
        let table = [
            ("true", 0),
            (r#"device.attributes["no-such-domain"].noSuchAttr.isGreaterThan(quantity("0"))"#, 6),
            (r#"device.attributes["no-such-domain"]["noSuchAttr"].isGreaterThan(quantity("0"))"#, 6),
            (r#""dra.example.com" in device.attributes"#, 3),
            (r#"device.driver == """#, 2),
            (r#"device.driver == "dra.example.com""#, 4),
            (r#"device.attributes["dra.example.com"].name"#, 4),
            (r#"device.attributes["dra.example.com"]["name"]"#, 4),
            (r#"cel.bind(dra, device.attributes["dra.example.com"], dra.name)"#, 15),
            (r#"device.attributes["dra.example.com"].name > 0"#, 5),
            (r#"device.attributes["dra.example.com"].name == "fish""#, 5),
            (r#"device.attributes["dra.example.com"].name.isGreaterThan(semver("0.0.1"))"#, 6),
            (r#"device.capacity["dra.example.com"].name.isGreaterThan(quantity("1Ki"))"#, 6),
            (r#"device.attributes.exists_one(x, x == "dra.example.com")"#, 164),
            (r#"device.attributes["dra.example.com"].exists_one(x, x == "services")"#, 133),
            (r#"device.attributes["dra.example.com"].services.split("example").size() >= 2"#, 19),
            (r#"device.attributes["dra.example.com"].services.matches("[^a]?sym")"#, 18),
            (r#"device.capacity["dra.example.com"].exists_one(x, x == "memory")"#, 133),
        ];
        let found: Vec<(&str, u64)> =
            table.iter().map(|(text, _)| (*text, ENVIRONMENT.compile(text).expect(text).cost().max)).collect();
        assert_eq!(found, table);
    }
}

use expression::{Environment, Error, PER_CALL_LIMIT, Program, Type, Value};
use serde_json::json;

use crate::{environment, failure, outcome};

/// Why an evaluation ended before its end.
fn stopped(program: &Program, variables: &[(&str, Value<'_>)], limit: u64) -> Error {
    program.evaluate(variables, limit).value.expect_err("the budget is too small")
}

#[test]
fn a_rule_of_four_million_turns_ends_by_its_budget() {
    let list: Vec<i64> = (0..2000).collect();
    let object = json!(list);
    let environment = Environment::new().with_variable("list", Type::Dyn);
    let program = environment.compile("list.all(x, list.all(y, x + y >= 0))").expect("the expression compiles");
    let error = stopped(&program, &[("list", Value::any(&object))], PER_CALL_LIMIT);
    assert_eq!(error, Error::CostLimit);
    assert_eq!(error.to_string(), "operation cancelled: actual cost limit exceeded");
}

#[test]
fn nothing_absorbs_the_end_of_the_budget() {
    let program = environment().compile("[1].all(x, x > 0) || true").expect("the expression compiles");
    assert_eq!(program.evaluate(&[] as &[(&str, Value<'_>)], 3).value.expect_err("it costs more"), Error::CostLimit);
}

#[test]
fn work_that_costs_little_is_bounded_too() {
    let bind = Environment::new().with_bind();
    let doubled = |count: usize, inner: &str| {
        let mut expression = inner.replace('?', &format!("x{count}"));
        for at in (1..=count).rev() {
            expression = format!("cel.bind(x{at}, x{0} + x{0}, {expression})", at - 1);
        }
        format!("cel.bind(x0, ['a', 'b'], {expression})")
    };
    for inner in ["? == ?", "?.join()", "?.reverse().size()", "sets.contains(?, ?)", "'%s'.format([?])"] {
        let program = bind.compile(&doubled(24, inner)).expect("the expression compiles");
        assert_eq!(stopped(&program, &[], 10_000), Error::CostLimit, "{inner}");
    }
    let nested = |count: usize, inner: &str| {
        let mut expression = inner.replace('?', &format!("x{count}"));
        for at in (1..=count).rev() {
            let list = vec![format!("x{}", at - 1); 8].join(", ");
            expression = format!("cel.bind(x{at}, [{list}], {expression})");
        }
        format!("cel.bind(x0, [dyn(1)], {expression})")
    };
    for inner in ["? == ?", "'%s'.format([?])"] {
        let program = bind.compile(&nested(12, inner)).expect("the expression compiles");
        assert_eq!(stopped(&program, &[], 10_000), Error::CostLimit, "{inner}");
    }
    let huge = "cel.bind(t, 'a'.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), \
                cel.bind(u, t.replace('a', t + t + t + t), cel.bind(v, u.replace('a', u), \
                cel.bind(w, v.replace('a', v), w.size()))))";
    let program = bind.compile(huge).expect("the expression compiles");
    assert_eq!(stopped(&program, &[], 10_000), Error::CostLimit);
    let program = bind.compile("lists.range(9000000000).size()").expect("the expression compiles");
    assert_eq!(stopped(&program, &[], 10_000), Error::CostLimit);
}

#[test]
fn messages_repeat_no_large_values() {
    let message = failure("[lists.range(5000)].map(x, {'a': x})[9]").to_string();
    assert_eq!(message, "index out of bounds: 9");
    let message = failure("dyn([lists.range(5000)]).join()").to_string();
    assert!(message.starts_with("join: invalid input: [0, 1, 2") && message.len() < 1100, "{message}");
}

#[test]
fn a_pattern_is_compiled_once_and_many_are_too_many() {
    let evaluated = |turns: usize, pattern: &str| {
        let text = format!("lists.range({turns}).all(x, 'a'.matches({pattern}) || true)");
        let program = Environment::new().compile(&text).expect("the expression compiles");
        program.evaluate(&[] as &[(&str, Value<'_>)], PER_CALL_LIMIT).value.map(|value| value.to_string())
    };
    assert_eq!(evaluated(5000, "'[a-z]' + string(x % 10)"), Ok("true".to_owned()));
    assert_eq!(evaluated(5000, "'[a-z]' + string(x)"), Err(Error::CostLimit));
    assert_eq!(evaluated(100, "r'\\pL{' + string(500 + x) + '}'"), Err(Error::CostLimit));
}

#[test]
fn macros_that_repeat_what_they_are_called_on_end() {
    let mapped = |times: usize| format!("optional.of(1){}.hasValue()", ".optMap(x, x)".repeat(times));
    assert!(Environment::new().compile(&mapped(3)).is_ok());
    let error = outcome(&Environment::new().compile(&mapped(60)));
    assert_eq!(error, "ERROR: <input>:-1:0: expression expands to more than 262144 nodes");
}

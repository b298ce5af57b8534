use expression::{CompileError, Environment, Error, Value};
use proptest::prelude::*;

/// Arithmetic of two widths at once: what the expression says, and what it is worth.
#[derive(Clone, Debug)]
enum Sum {
    Number(i64),
    Apply(Box<Sum>, char, Box<Sum>),
    Negate(Box<Sum>),
    Choose(Box<Sum>, Box<Sum>, Box<Sum>),
    Fold(Vec<Sum>),
}

impl Sum {
    fn text(&self) -> String {
        match self {
            Self::Number(value) => value.to_string(),
            Self::Apply(left, operator, right) => format!("({} {operator} {})", left.text(), right.text()),
            Self::Negate(inner) => format!("-({})", inner.text()),
            Self::Choose(a, b, c) => format!("({} < {} ? {} : {})", a.text(), b.text(), c.text(), a.text()),
            Self::Fold(parts) => {
                let parts: Vec<String> = parts.iter().map(Self::text).collect();
                format!("[0, {}].map(x, x + 1).sum()", parts.join(", "))
            }
        }
    }

    fn value(&self) -> Option<i64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Apply(left, operator, right) => {
                let (left, right) = (left.value()?, right.value()?);
                match operator {
                    '+' => left.checked_add(right),
                    '-' => left.checked_sub(right),
                    '*' => left.checked_mul(right),
                    '/' => left.checked_div(right),
                    _ => left.checked_rem(right),
                }
            }
            Self::Negate(inner) => inner.value()?.checked_neg(),
            Self::Choose(a, b, c) => {
                let chosen = a.value()? < b.value()?;
                if chosen { c.value() } else { a.value() }
            }
            Self::Fold(parts) => {
                parts.iter().try_fold(1_i64, |sum, part| sum.checked_add(part.value()?.checked_add(1)?))
            }
        }
    }
}

fn sums() -> impl Strategy<Value = Sum> {
    let leaf = prop_oneof![any::<i64>().prop_map(Sum::Number), (-9_i64..9).prop_map(Sum::Number)];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operator = prop::sample::select(vec!['+', '-', '*', '/', '%']);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(left, operator, right)| Sum::Apply(
                Box::new(left),
                operator,
                Box::new(right)
            )),
            inner.clone().prop_map(|inner| Sum::Negate(Box::new(inner))),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| Sum::Choose(
                Box::new(a),
                Box::new(b),
                Box::new(c)
            )),
            prop::collection::vec(inner, 1..3).prop_map(Sum::Fold),
        ]
    })
}

fn fragments() -> impl Strategy<Value = String> {
    let words = [
        "1",
        "'a'",
        "x",
        "x.y",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ".",
        ",",
        ":",
        "?",
        "+",
        "-",
        "&&",
        "||",
        "!",
        "==",
        "in",
        ".all(i, ",
        ".map(i, ",
        "has(",
        "dyn(",
        "size(",
        ".?",
        "[?",
        "optional.of(",
        "1.5",
        "2u",
        "b'z'",
        "i",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn arithmetic_is_as_it_should_be(sum in sums()) {
        let program = Environment::new().compile(&sum.text()).expect("sums are well typed");
        let evaluated = program.evaluate(&[] as &[(&str, Value<'_>)], 1_000_000);
        match (evaluated.value, sum.value()) {
            (Ok(Value::Int(found)), Some(expected)) => prop_assert_eq!(found, expected),
            (Err(Error::Failed(_)), None) => {}
            (found, expected) => prop_assert!(false, "{found:?} is not {expected:?}"),
        }
        prop_assert!(evaluated.cost <= program.cost().max);
    }

    #[test]
    fn any_text_is_compiled_or_refused(text in fragments()) {
        let environment = Environment::new().with_variable("x", expression::Type::Dyn);
        match environment.compile(&text) {
            Ok(program) => {
                let object = serde_json::json!({"y": [1, 2]});
                let evaluated = program.evaluate(&[("x", Value::any(&object))], 10_000);
                prop_assert!(evaluated.value.is_err() || evaluated.cost <= 10_000);
            }
            Err(CompileError::Invalid(issues)) => prop_assert!(issues.to_string().starts_with("ERROR: <input>:")),
            Err(CompileError::Program(message)) => prop_assert!(!message.is_empty()),
        }
    }
}

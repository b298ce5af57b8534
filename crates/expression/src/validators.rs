//! Checks of literals that their types do not make: patterns, durations, timestamps, and collections of one type.

use crate::ast::{Builder, Expr, Kind, Literal};
use crate::checker::Checked;
use crate::pattern::Pattern;
use crate::source::Issues;
use crate::time;
use crate::types::Type;

pub fn validate(expr: &Expr, builder: &Builder, checked: &Checked, issues: &mut Issues) {
    let mut validator = Validator { builder, checked, issues };
    validator.visit(expr, false);
}

struct Validator<'v> {
    builder: &'v Builder,
    checked: &'v Checked,
    issues: &'v mut Issues,
}

impl Validator<'_> {
    /// `mixed` where collections may hold what they like: below `format`.
    fn visit(&mut self, expr: &Expr, mixed: bool) {
        match &expr.kind {
            Kind::Call(call) => {
                let first = call.arguments.first();
                if let Some(Expr { id, kind: Kind::Literal(Literal::String(text)), .. }) = first
                    && !is_valid_argument(&call.function, text, call.target.is_some())
                {
                    self.issues.report(self.builder.offset(*id), format!("invalid {} argument", call.function));
                }
            }
            Kind::List(elements) if !mixed => {
                let typed = elements.iter().map(|element| (&element.value, element.optional));
                self.one_type(typed.collect());
            }
            Kind::Map(entries) if !mixed => {
                self.one_type(entries.iter().map(|entry| (&entry.key, false)).collect());
                self.one_type(entries.iter().map(|entry| (&entry.value, entry.optional)).collect());
            }
            _ => {}
        }
        let mixed = mixed || matches!(&expr.kind, Kind::Call(call) if call.function == "format");
        expr.kind.each_child(&mut |child| self.visit(child, mixed));
    }

    fn one_type(&mut self, values: Vec<(&Expr, bool)>) {
        let mut values = values.into_iter().map(|(value, optional)| {
            let of = self.checked.type_of(value.id);
            let inner = of.unwrap_optional().filter(|_| optional);
            (value, inner.unwrap_or(of))
        });
        let Some((_, first)) = values.next() else { return };
        if let Some((value, of)) = values.find(|(_, of)| !is_equivalent(first, of)) {
            self.issues.report(self.builder.offset(value.id), format!("expected type '{first}' but found '{of}'"));
        }
    }
}

fn is_valid_argument(function: &str, text: &str, member: bool) -> bool {
    match function {
        "duration" => time::parse_duration(text).is_some(),
        "timestamp" => time::parse_timestamp(text).is_some(),
        "matches" if member => Pattern::new(text).is_ok(),
        _ => true,
    }
}

/// The same type, whatever its parameters that are still free.
fn is_equivalent(left: &Type, right: &Type) -> bool {
    let (of_left, of_right) = (left.parameters(), right.parameters());
    std::mem::discriminant(left) == std::mem::discriminant(right)
        && left.name() == right.name()
        && of_left.len() == of_right.len()
        && of_left.into_iter().zip(of_right).all(|(left, right)| is_equivalent(left, right))
}

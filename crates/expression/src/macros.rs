//! Macros: calls that the parser writes out as folds and presence tests.

use crate::ast::{ACCUMULATOR, Builder, Call, Entry, Expr, Fold, Id, Kind, Literal, Select, operator};

/// Which macros there are beside those that every environment has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Macros {
    /// `cel.bind(name, value, expression)`
    pub bind: bool,
}

/// What no expression may name its variables.
const RESERVED_ACCUMULATOR: &str = "__result__";
const UNUSED: &str = "#unused";
const SORT_INPUT: &str = "@__sortBy_input__";
const MAP_INSERT: &str = "cel.@mapInsert";

type Fault = (Id, String);
type Expanded = Result<Expr, Fault>;
pub type Expand = fn(&mut Expansion<'_>, &mut Call) -> Expanded;

/// The macro that `call` is, if it is one.
pub fn find(call: &Call, known: Macros) -> Option<Expand> {
    let Some(target) = &call.target else {
        return (call.function == "has" && call.arguments.len() == 1).then_some(has);
    };
    let bind = matches!(&target.kind, Kind::Ident(name) if name == "cel");
    Some(match (call.function.as_str(), call.arguments.len()) {
        ("all", 2 | 3) => all,
        ("exists", 2 | 3) => exists,
        ("exists_one" | "existsOne", 2 | 3) => exists_one,
        ("map", 2 | 3) => map,
        ("filter", 2) => filter,
        ("transformList", 3 | 4) => transform_list,
        ("transformMap", 3 | 4) => transform_map,
        ("transformMapEntry", 3 | 4) => transform_map_entry,
        ("optMap", 2) => optional_map,
        ("optFlatMap", 2) => optional_flat_map,
        ("sortBy", 2) => sort_by,
        ("bind", 3) if known.bind && bind => cel_bind,
        _ => return None,
    })
}

/// Makes the nodes of one expansion, all of which stand where the call stood.
pub struct Expansion<'b> {
    pub builder: &'b mut Builder,
    pub call: Id,
}

impl Expansion<'_> {
    fn make(&mut self, kind: Kind) -> Expr {
        let offset = self.builder.offset(self.call);
        self.builder.at(offset, kind)
    }

    fn literal(&mut self, literal: Literal) -> Expr {
        self.make(Kind::Literal(literal))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.make(Kind::Ident(name.to_owned()))
    }

    fn accumulator(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn call(&mut self, function: &str, arguments: Vec<Expr>) -> Expr {
        self.make(Kind::call(function, arguments))
    }

    /// `condition ? step : accumulator`
    fn only_if(&mut self, condition: Option<Expr>, step: Expr) -> Expr {
        let Some(condition) = condition else { return step };
        let unchanged = self.accumulator();
        self.call(operator::CONDITIONAL, vec![condition, step, unchanged])
    }

    fn append(&mut self, element: Expr) -> Expr {
        let accumulator = self.accumulator();
        let list = self.make(Kind::list(vec![element]));
        self.call(operator::ADD, vec![accumulator, list])
    }

    /// Goes on to the end, with the accumulator as the result.
    fn collect(&mut self, range: Expr, variables: Variables, initial: Expr, step: Expr) -> Expr {
        let condition = self.literal(Literal::Bool(true));
        let result = self.accumulator();
        self.fold(range, variables, initial, condition, step, result)
    }

    fn fold(
        &mut self,
        range: Expr,
        variables: Variables,
        initial: Expr,
        condition: Expr,
        step: Expr,
        result: Expr,
    ) -> Expr {
        let Variables { first, second } = variables;
        let accumulator = ACCUMULATOR.to_owned();
        let fold = Fold { range, variable: first, second, accumulator, initial, condition, step, result };
        self.make(Kind::Fold(Box::new(fold)))
    }

    /// `result`, in which `name` stands for `value`.
    fn bind(&mut self, name: &str, value: Expr, result: Expr) -> Expr {
        let fold = Fold {
            range: self.make(Kind::list(Vec::new())),
            variable: UNUSED.to_owned(),
            second: None,
            accumulator: name.to_owned(),
            initial: value,
            condition: self.literal(Literal::Bool(false)),
            step: self.ident(name),
            result,
        };
        self.make(Kind::Fold(Box::new(fold)))
    }
}

struct Variables {
    first: String,
    second: Option<String>,
}

/// What a call of a macro over a range is made of.
struct Parts {
    range: Expr,
    variables: Variables,
    /// Behind the variables.
    rest: Vec<Expr>,
}

fn parts(call: &mut Call, two: bool, fault: &str) -> Result<Parts, Fault> {
    let names = if two { 2 } else { 1 };
    let rest = call.arguments.split_off(names);
    let first = variable(&call.arguments[0], fault)?;
    let second = if two { Some(variable(&call.arguments[1], fault)?) } else { None };
    if second.as_ref() == Some(&first) {
        return Err((call.arguments[1].id, format!("duplicate variable name: {first}")));
    }
    Ok(Parts { range: target(call), variables: Variables { first, second }, rest })
}

fn variable(argument: &Expr, fault: &str) -> Result<String, Fault> {
    match &argument.kind {
        Kind::Ident(name) if name == RESERVED_ACCUMULATOR => {
            Err((argument.id, "iteration variable overwrites accumulator variable".to_owned()))
        }
        Kind::Ident(name) => Ok(name.clone()),
        _ => Err((argument.id, fault.to_owned())),
    }
}

fn target(call: &mut Call) -> Expr {
    *call.target.take().expect("a macro of this kind has a receiver")
}

const SIMPLE_NAME: &str = "argument must be a simple name";
const IDENTIFIER: &str = "argument is not an identifier";

fn has(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    let argument = call.arguments.remove(0);
    match argument.kind {
        Kind::Select(Select { operand, field, test: false }) => {
            Ok(expansion.make(Kind::Select(Select { operand, field, test: true })))
        }
        _ => Err((argument.id, "invalid argument to has() macro".to_owned())),
    }
}

fn all(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    quantifier(expansion, call, true)
}

fn exists(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    quantifier(expansion, call, false)
}

fn quantifier(expansion: &mut Expansion<'_>, call: &mut Call, every: bool) -> Expanded {
    let Parts { range, variables, mut rest } = parts(call, call.arguments.len() == 3, SIMPLE_NAME)?;
    let initial = expansion.literal(Literal::Bool(every));
    let mut undecided = expansion.accumulator();
    if !every {
        undecided = expansion.call(operator::NOT, vec![undecided]);
    }
    let condition = expansion.call(operator::NOT_STRICTLY_FALSE, vec![undecided]);
    let accumulator = expansion.accumulator();
    let function = if every { operator::AND } else { operator::OR };
    let step = expansion.call(function, vec![accumulator, rest.remove(0)]);
    let result = expansion.accumulator();
    Ok(expansion.fold(range, variables, initial, condition, step, result))
}

fn exists_one(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    let Parts { range, variables, mut rest } = parts(call, call.arguments.len() == 3, SIMPLE_NAME)?;
    let initial = expansion.literal(Literal::Int(0));
    let condition = expansion.literal(Literal::Bool(true));
    let (accumulator, one) = (expansion.accumulator(), expansion.literal(Literal::Int(1)));
    let counted = expansion.call(operator::ADD, vec![accumulator, one]);
    let step = expansion.only_if(Some(rest.remove(0)), counted);
    let (accumulator, one) = (expansion.accumulator(), expansion.literal(Literal::Int(1)));
    let result = expansion.call(operator::EQUALS, vec![accumulator, one]);
    Ok(expansion.fold(range, variables, initial, condition, step, result))
}

fn map(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    let Parts { range, variables, rest } = parts(call, false, IDENTIFIER)?;
    Ok(mapped(expansion, range, variables, rest))
}

fn transform_list(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    let Parts { range, variables, rest } = parts(call, true, SIMPLE_NAME)?;
    Ok(mapped(expansion, range, variables, rest))
}

/// `rest` is an optional filter and what becomes of each element.
fn mapped(expansion: &mut Expansion<'_>, range: Expr, variables: Variables, mut rest: Vec<Expr>) -> Expr {
    let element = rest.pop().expect("the macro has this argument");
    let initial = expansion.make(Kind::list(Vec::new()));
    let appended = expansion.append(element);
    let step = expansion.only_if(rest.pop(), appended);
    expansion.collect(range, variables, initial, step)
}

fn filter(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    let name = call.arguments[0].clone();
    let Parts { range, variables, mut rest } = parts(call, false, IDENTIFIER)?;
    let initial = expansion.make(Kind::list(Vec::new()));
    let appended = expansion.append(name);
    let step = expansion.only_if(rest.pop(), appended);
    Ok(expansion.collect(range, variables, initial, step))
}

fn transform_map(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    let Parts { range, variables, mut rest } = parts(call, true, SIMPLE_NAME)?;
    let value = rest.pop().expect("the macro has this argument");
    let key = expansion.ident(&variables.first);
    Ok(inserted(expansion, range, variables, vec![key, value], rest.pop()))
}

fn transform_map_entry(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    let Parts { range, variables, mut rest } = parts(call, true, SIMPLE_NAME)?;
    let entry = rest.pop().expect("the macro has this argument");
    Ok(inserted(expansion, range, variables, vec![entry], rest.pop()))
}

fn inserted(
    expansion: &mut Expansion<'_>,
    range: Expr,
    variables: Variables,
    what: Vec<Expr>,
    condition: Option<Expr>,
) -> Expr {
    let initial = expansion.make(Kind::Map(Vec::<Entry>::new()));
    let mut arguments = vec![expansion.accumulator()];
    arguments.extend(what);
    let insert = expansion.call(MAP_INSERT, arguments);
    let step = expansion.only_if(condition, insert);
    expansion.collect(range, variables, initial, step)
}

fn optional_map(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    optional(expansion, call, true)
}

fn optional_flat_map(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    optional(expansion, call, false)
}

/// `target.hasValue() ? result : optional.none()`
fn optional(expansion: &mut Expansion<'_>, call: &mut Call, wrap: bool) -> Expanded {
    let Kind::Ident(name) = &call.arguments[0].kind else {
        let message = format!("{}() variable name must be a simple identifier", call.function);
        return Err((call.arguments[0].id, message));
    };
    let name = name.clone();
    let result = call.arguments.remove(1);
    let target = target(call);
    let copy = expansion.builder.copy(&target);
    let has_value = expansion.make(Kind::member("hasValue", target, Vec::new()));
    let value = expansion.make(Kind::member("value", copy, Vec::new()));
    let mut bound = expansion.bind(&name, value, result);
    if wrap {
        bound = expansion.call("optional.of", vec![bound]);
    }
    let none = expansion.call("optional.none", Vec::new());
    Ok(expansion.call(operator::CONDITIONAL, vec![has_value, bound, none]))
}

fn sort_by(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    if matches!(call.target.as_deref(), Some(Expr { kind: Kind::Literal(_) | Kind::Map(_) | Kind::Struct(_), .. })) {
        let message = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
        return Err((target(call).id, message.to_owned()));
    }
    let Parts { range, variables, rest } = parts(call, false, IDENTIFIER)?;
    let input = expansion.ident(SORT_INPUT);
    let keys = mapped(expansion, input, variables, rest);
    let input = expansion.ident(SORT_INPUT);
    let sorted = expansion.make(Kind::member("@sortByAssociatedKeys", input, vec![keys]));
    Ok(expansion.bind(SORT_INPUT, range, sorted))
}

fn cel_bind(expansion: &mut Expansion<'_>, call: &mut Call) -> Expanded {
    let result = call.arguments.remove(2);
    let value = call.arguments.remove(1);
    let Kind::Ident(name) = &call.arguments[0].kind else {
        let message = "cel.bind() variable names must be simple identifiers";
        return Err((call.arguments[0].id, message.to_owned()));
    };
    Ok(expansion.bind(name, value, result))
}

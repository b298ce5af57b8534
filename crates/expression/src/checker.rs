//! Finds the type of every node, and the overloads that each call may mean.

use std::collections::HashMap;

use crate::ast::{ACCUMULATOR, Builder, Call, Element, Entry, Expr, Fold, Id, Kind, Literal, Select, Struct, operator};
use crate::declarations::Overload;
use crate::environment::Environment;
use crate::source::{Issues, Offset};
use crate::types::{Substitution, Type};

/// What is known of each node.
#[derive(Debug)]
pub struct Checked {
    types: Vec<Option<Type>>,
    overloads: HashMap<Id, Vec<&'static Overload>>,
    /// Names that stand for types.
    type_names: HashMap<Id, Type>,
}

impl Checked {
    pub fn type_of(&self, id: Id) -> &Type {
        self.types[id as usize].as_ref().unwrap_or(&Type::Dyn)
    }

    pub fn overloads(&self, id: Id) -> &[&'static Overload] {
        self.overloads.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn type_name(&self, id: Id) -> Option<&Type> {
        self.type_names.get(&id)
    }
}

/// Checks `expr`, and resolves qualified names in it.
pub fn check(expr: &mut Expr, builder: &Builder, environment: &Environment, issues: &mut Issues) -> Checked {
    let mut checker = Checker {
        builder,
        environment,
        issues,
        scopes: Vec::new(),
        substitution: Substitution::default(),
        types: vec![None; builder.count()],
        overloads: HashMap::new(),
        type_names: HashMap::new(),
    };
    checker.check(expr);
    let Checker { mut types, overloads, type_names, substitution, .. } = checker;
    for of in types.iter_mut().flatten() {
        *of = substitution.apply(of, true);
    }
    Checked { types, overloads, type_names }
}

struct Checker<'c> {
    builder: &'c Builder,
    environment: &'c Environment,
    issues: &'c mut Issues,
    /// Variables of the folds around, innermost last.
    scopes: Vec<(String, Type)>,
    substitution: Substitution,
    types: Vec<Option<Type>>,
    overloads: HashMap<Id, Vec<&'static Overload>>,
    type_names: HashMap<Id, Type>,
}

impl Checker<'_> {
    fn check(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let of = match &mut expr.kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Ident(name) => self.ident(id, name),
            Kind::Select(_) => self.select(expr),
            Kind::Call(_) => self.call(expr),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct(made) => self.message(id, made),
            Kind::Fold(fold) => self.fold(fold),
        };
        self.types[id as usize] = Some(of);
    }

    fn type_of(&self, expr: &Expr) -> Type {
        self.types[expr.id as usize].clone().unwrap_or(Type::Error)
    }

    fn checked(&mut self, expr: &mut Expr) -> Type {
        self.check(expr);
        self.type_of(expr)
    }

    fn ident(&mut self, id: Id, name: &mut String) -> Type {
        if let Some(of) = self.lookup(id, name) {
            *name = name.trim_start_matches('.').to_owned();
            return of;
        }
        self.undeclared(id, name);
        Type::Error
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        let name = name.trim_start_matches('.');
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
    }

    /// A variable, or the name of a type.
    fn lookup(&mut self, id: Id, name: &str) -> Option<Type> {
        let global = name.strip_prefix('.');
        let local = self.scopes.iter().rev().find(|(known, _)| known == name);
        if let Some((_, of)) = local.filter(|_| global.is_none()) {
            return Some(of.clone());
        }
        let name = global.unwrap_or(name);
        if let Some(variable) = self.environment.variable(name) {
            return Some(variable.of.clone());
        }
        let named = self.environment.type_named(name)?;
        self.type_names.insert(id, named.clone());
        Some(Type::of(named))
    }

    fn select(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        if let Some(name) = qualified(expr)
            && let Some(of) = self.lookup(id, &name)
        {
            expr.kind = Kind::Ident(name);
            return of;
        }
        let Kind::Select(select) = &mut expr.kind else { unreachable!("only called on selections") };
        if select.test && self.is_variable(select) {
            expr.kind = Kind::Literal(Literal::Bool(true));
            return Type::Bool;
        }
        let of = self.field(id, &mut select.operand, &select.field, false);
        if select.test { Type::Bool } else { self.substitution.apply(&of, false) }
    }

    /// Whether the tested field is a variable with a name of several parts.
    fn is_variable(&self, select: &Select) -> bool {
        let operand = qualified(&select.operand);
        operand.is_some_and(|operand| self.environment.variable(&format!("{operand}.{}", select.field)).is_some())
    }

    fn field(&mut self, id: Id, operand: &mut Expr, field: &str, optional: bool) -> Type {
        let operand = self.checked(operand);
        let operand = self.substitution.apply(&operand, false);
        let inner = operand.unwrap_optional();
        let target = inner.unwrap_or(&operand);
        let result = match target {
            Type::Map(pair) => pair.1.clone(),
            Type::Object(name) => match self.environment.field_type(name, field) {
                Some(of) => of,
                None => {
                    self.report(id, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Variable(_) => {
                self.substitution.assign(&Type::Dyn, target);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    self.report(id, format!("type '{other}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if inner.is_some() || optional { Type::optional(result) } else { result }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        let Kind::Call(call) = &mut expr.kind else { unreachable!("only called on calls") };
        if call.function == operator::OPTIONAL_SELECT {
            return self.optional_select(id, call);
        }
        for argument in &mut call.arguments {
            self.check(argument);
        }
        if let Some(target) = &mut call.target {
            // `a.b.c()` is a function `a.b.c`, or `c` on `a.b`.
            let name = qualified(target).map(|prefix| format!("{prefix}.{}", call.function));
            let whole = name.as_deref().map(|name| name.trim_start_matches('.'));
            if let Some((name, functions)) = whole.and_then(|name| Some((name, self.environment.function(name)?))) {
                call.function = name.to_owned();
                call.target = None;
                return self.resolve(id, call, functions);
            }
            self.check(target);
        } else {
            call.function = call.function.trim_start_matches('.').to_owned();
        }
        match self.environment.function(&call.function) {
            Some(functions) => self.resolve(id, call, functions),
            None => {
                self.undeclared(id, &call.function);
                Type::Error
            }
        }
    }

    fn optional_select(&mut self, id: Id, call: &mut Call) -> Type {
        let [operand, field] = call.arguments.as_mut_slice() else {
            unreachable!("the parser gives an optional selection two arguments")
        };
        let Kind::Literal(Literal::String(name)) = &field.kind else {
            unreachable!("the parser gives an optional selection a name")
        };
        let of = self.field(id, operand, name, true);
        self.types[field.id as usize] = Some(Type::String);
        let overload = self.environment.function(operator::OPTIONAL_SELECT).and_then(<[Overload]>::first);
        self.overloads.insert(id, overload.into_iter().collect());
        self.substitution.apply(&of, false)
    }

    fn resolve(&mut self, id: Id, call: &Call, candidates: &'static [Overload]) -> Type {
        let arguments: Vec<Type> =
            call.target.as_deref().into_iter().chain(&call.arguments).map(|of| self.type_of(of)).collect();
        if call.function == operator::AND || call.function == operator::OR {
            return self.logic(id, call, &arguments, &candidates[0]);
        }
        let mut result: Option<Type> = None;
        let mut found = Vec::new();
        for overload in candidates.iter().filter(|overload| overload.member == call.target.is_some()) {
            let mut signature = overload.arguments.clone();
            signature.push(overload.result.clone());
            let mut expected = self.substitution.instantiate(&signature);
            let returned = expected.pop().expect("the result was pushed");
            if !self.substitution.assign_all(&arguments, &expected) {
                continue;
            }
            found.push(overload);
            let returned = self.substitution.apply(&returned, false);
            result = Some(match result {
                None => returned,
                Some(first) if first == Type::Dyn || first == returned => first,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            self.no_overload(id, call, &arguments);
            return Type::Error;
        };
        self.overloads.insert(id, found);
        result
    }

    fn logic(&mut self, id: Id, call: &Call, arguments: &[Type], overload: &'static Overload) -> Type {
        self.overloads.insert(id, vec![overload]);
        let mut result = Type::Bool;
        for (argument, of) in call.arguments.iter().zip(arguments) {
            if !self.substitution.assign(of, &Type::Bool) {
                self.mismatch(argument.id, &Type::Bool, of);
                result = Type::Error;
            }
        }
        result
    }

    fn no_overload(&mut self, id: Id, call: &Call, arguments: &[Type]) {
        let mut arguments: Vec<String> =
            arguments.iter().map(|of| self.substitution.apply(of, true).to_string()).collect();
        let receiver = if call.target.is_some() { format!("{}.", arguments.remove(0)) } else { String::new() };
        let applied = format!("{receiver}({})", arguments.join(", "));
        self.report(id, format!("found no matching overload for '{}' applied to '{applied}'", call.function));
    }

    fn list(&mut self, elements: &mut [Element]) -> Type {
        let mut joined = None;
        for Element { value, optional } in elements {
            let of = self.initializer(value, *optional);
            joined = Some(self.join(value.id, joined, of));
        }
        Type::list(joined.unwrap_or_else(|| self.substitution.fresh()))
    }

    fn map(&mut self, entries: &mut [Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for Entry { key, value, optional } in entries {
            let of = self.checked(key);
            keys = Some(self.join(key.id, keys, of));
            let of = self.initializer(value, *optional);
            values = Some(self.join(value.id, values, of));
        }
        let keys = keys.unwrap_or_else(|| self.substitution.fresh());
        let values = values.unwrap_or_else(|| self.substitution.fresh());
        Type::map(keys, values)
    }

    /// The type of an element or field; of what is in it if it is given as an optional.
    fn initializer(&mut self, value: &mut Expr, optional: bool) -> Type {
        let of = self.checked(value);
        if !optional {
            return of;
        }
        match of.unwrap_optional() {
            Some(inner) => inner.clone(),
            None => {
                if of != Type::Dyn {
                    self.mismatch(value.id, &Type::optional(of.clone()), &of);
                }
                of
            }
        }
    }

    fn join(&mut self, id: Id, previous: Option<Type>, current: Type) -> Type {
        let Some(previous) = previous else { return current };
        if self.substitution.assign(&previous, &current) {
            return Substitution::most_general(&previous, &current);
        }
        self.mismatch(id, &previous, &current);
        Type::Error
    }

    fn message(&mut self, id: Id, made: &mut Struct) -> Type {
        let name = made.name.trim_start_matches('.').to_owned();
        let result = match self.environment.type_named(&name) {
            Some(Type::Object(name)) => Type::Object(name),
            Some(other) => {
                self.report(id, format!("'{}' is not a message type", other.name()));
                Type::Error
            }
            None if self.environment.variable(&name).is_some() => {
                self.report(id, format!("'{name}' is not a type"));
                Type::Error
            }
            None => {
                self.undeclared(id, &name);
                return Type::Error;
            }
        };
        for field in &mut made.fields {
            let of = self.initializer(&mut field.value, field.optional);
            let Type::Object(object) = &result else { continue };
            match self.environment.field_type(object, &field.name) {
                None => self.report(field.id, format!("undefined field '{}'", field.name)),
                Some(expected) if !self.substitution.assign(&expected, &of) => {
                    let name = &field.name;
                    let message =
                        format!("expected type of field '{name}' is '{expected}' but provided type is '{of}'");
                    self.report(field.id, message);
                }
                Some(_) => {}
            }
        }
        made.name = name;
        result
    }

    fn fold(&mut self, fold: &mut Fold) -> Type {
        let range = self.checked(&mut fold.range);
        let accumulated = self.checked(&mut fold.initial);
        let range = self.substitution.apply(&range, false);
        let (first, second) = self.iterated(&range, fold.second.is_some(), fold.range.id);
        let outer = self.scopes.len();
        self.scopes.push((fold.accumulator.clone(), accumulated.clone()));
        let inner = self.scopes.len();
        self.scopes.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.scopes.push((name.clone(), second));
        }
        self.check(&mut fold.condition);
        self.expect(&fold.condition, &Type::Bool);
        self.check(&mut fold.step);
        self.expect(&fold.step, &accumulated);
        self.scopes.truncate(inner);
        let result = self.checked(&mut fold.result);
        self.scopes.truncate(outer);
        self.substitution.apply(&result, false)
    }

    /// What the variables of a fold over `range` are.
    fn iterated(&mut self, range: &Type, two: bool, id: Id) -> (Type, Type) {
        match range {
            Type::List(element) if two => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Error),
            Type::Map(pair) => (pair.0.clone(), pair.1.clone()),
            Type::Dyn | Type::Error | Type::Variable(_) => {
                self.substitution.assign(&Type::Dyn, range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let must = "(must be list, map, or dynamic)";
                self.report(id, format!("expression of type '{other}' cannot be range of a comprehension {must}"));
                (Type::Error, Type::Error)
            }
        }
    }

    fn expect(&mut self, expr: &Expr, expected: &Type) {
        let of = self.type_of(expr);
        if !self.substitution.assign(expected, &of) {
            self.mismatch(expr.id, expected, &of);
        }
    }

    fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn report(&mut self, id: Id, message: String) {
        let offset: Offset = self.builder.offset(id);
        self.issues.report(offset, message);
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// `a.b.c` as one name, if it is nothing but names.
fn qualified(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) if name != ACCUMULATOR => Some(name.clone()),
        Kind::Select(Select { operand, field, test: false }) => Some(format!("{}.{field}", qualified(operand)?)),
        _ => None,
    }
}

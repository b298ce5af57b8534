//! Evaluates programs, and charges what upstream charges.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cost::{LIST_COST, MAP_COST, MESSAGE_COST};
use crate::declarations::{Implementation, Overload};
use crate::error::Error;
use crate::list::List;
use crate::map::{Entries, Key, Map};
use crate::meter::Meter;
use crate::plan::{Attribute, By, Call, Fold, MapEntry, Node, Qualifier, Root};
use crate::program::Bindings;
use crate::types::Type;
use crate::value::{Message, Value};

type Outcome<'a> = Result<Value<'a>, Error>;

pub struct Run<'r, 'a, B: ?Sized> {
    bindings: &'r B,
    meter: &'r Meter,
    /// Variables of the folds around. An accumulator may hold an error that the next step absorbs.
    slots: Vec<Outcome<'a>>,
}

impl<'r, 'a, B: Bindings<'a> + ?Sized> Run<'r, 'a, B> {
    pub fn new(bindings: &'r B, meter: &'r Meter) -> Self {
        Self { bindings, meter, slots: Vec::new() }
    }

    pub fn eval(&mut self, node: &Node) -> Outcome<'a> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Attribute(attribute) => self.attribute(attribute),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Conditional(parts) => {
                let [condition, truthy, falsy] = &**parts;
                match self.eval(condition)? {
                    Value::Bool(true) => self.eval(truthy),
                    Value::Bool(false) => self.eval(falsy),
                    _ => Err(Error::NoOverload),
                }
            }
            Node::Equal { sides, negated } => {
                let (left, right) = (self.eval(&sides[0])?, self.eval(&sides[1])?);
                self.meter.charge(equality_cost(&left, &right))?;
                Ok(Value::Bool(left.equals(&right, self.meter)? != *negated))
            }
            Node::NotStrictlyFalse(inner) => {
                let value = self.eval(inner);
                self.meter.charge(1)?;
                match value {
                    Ok(Value::Bool(value)) => Ok(Value::Bool(value)),
                    Err(Error::CostLimit) => Err(Error::CostLimit),
                    _ => Ok(Value::Bool(true)),
                }
            }
            Node::OneOf { item, keys } => {
                let item = self.eval(item)?;
                // A key that lives shorter is found all the same.
                let keys: &std::collections::BTreeSet<Key<'_>> = keys;
                Ok(Value::Bool(Key::of(&item).is_some_and(|key| keys.contains(&key))))
            }
            Node::Call(call) => self.call(call),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Message { name, fields } => self.message(name, fields),
            Node::Fold(fold) => self.fold(fold),
            Node::Append { slot, elements } => self.append(*slot, elements),
            Node::Insert { slot, what } => self.insert(*slot, what),
        }
    }

    /// `&&` and `||`: a side that decides makes up for an error on the other.
    fn logic(&mut self, terms: &[Node; 2], decides: bool) -> Outcome<'a> {
        let mut fault = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Err(Error::CostLimit) => return Err(Error::CostLimit),
                Ok(_) => fault = fault.or(Some(Error::NoOverload)),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        match fault {
            None => Ok(Value::Bool(!decides)),
            Some(error) => Err(error),
        }
    }

    fn attribute(&mut self, attribute: &Attribute) -> Outcome<'a> {
        let mut value = match &attribute.root {
            Root::Slot(slot) => self.slots[*slot].clone()?,
            Root::Node(node) => self.eval(node)?,
            Root::Variable(name) => match self.bindings.variable(name) {
                Some(value) => value?,
                None => return Err(Error::failed(format!("no such attribute(s): {name}"))),
            },
        };
        self.meter.charge(attribute.cost)?;
        if attribute.qualifiers.is_empty() {
            return Ok(value);
        }
        let mut optional = false;
        if let Value::Optional(inner) = value {
            optional = true;
            match inner {
                None => return Ok(Value::Optional(None)),
                Some(inner) => value = Value::clone(&inner),
            }
        }
        let last = attribute.qualifiers.len() - 1;
        for (index, qualifier) in attribute.qualifiers.iter().enumerate() {
            optional |= qualifier.optional;
            let test = attribute.test && index == last;
            let found = self.qualify(&value, qualifier)?;
            if test || !optional || matches!(found, Found::Value(_)) {
                self.meter.charge(1)?;
            }
            value = match found {
                found if test => return Ok(Value::Bool(matches!(found, Found::Value(_)))),
                Found::Value(value) => value,
                Found::Missing(_) if optional => return Ok(Value::Optional(None)),
                Found::Missing(error) => return Err(error),
            };
        }
        Ok(if optional { Value::optional(Some(value)) } else { value })
    }

    fn qualify(&mut self, value: &Value<'a>, qualifier: &Qualifier) -> Result<Found<'a>, Error> {
        match &qualifier.by {
            By::Field(name) => field(value, name),
            By::Index(node) => {
                let index = self.eval(node)?;
                element(value, &index)
            }
        }
    }

    fn call(&mut self, call: &Call) -> Outcome<'a> {
        match call.arguments.as_slice() {
            [only] => {
                let only = self.eval(only)?;
                self.apply(call, &[only])
            }
            [first, second] => {
                let first = self.eval(first)?;
                let second = self.eval(second)?;
                self.apply(call, &[first, second])
            }
            arguments => {
                let values = arguments.iter().map(|node| self.eval(node)).collect::<Result<Vec<_>, _>>()?;
                self.apply(call, &values)
            }
        }
    }

    fn apply(&mut self, call: &Call, values: &[Value<'a>]) -> Outcome<'a> {
        self.meter.charge(call.price.of_arguments(values, self.meter)?)?;
        let result = match implementation(call, values) {
            Some(carry_out) => carry_out(self.meter, values),
            None => Err(Error::NoOverload),
        };
        let result = result.map_err(|error| match error {
            Error::NoOverload => no_overload(&call.function, values),
            other => other,
        })?;
        self.meter.charge(call.price.of_result(&result))?;
        Ok(result)
    }

    fn list(&mut self, elements: &[(Node, bool)]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(elements.len());
        for (node, optional) in elements {
            match self.eval(node)? {
                value if !optional => values.push(value),
                Value::Optional(inner) => values.extend(inner.map(|inner| Value::clone(&inner))),
                value => {
                    let message = format!("cannot initialize optional list element from non-optional value {value}");
                    return Err(Error::failed(message));
                }
            }
        }
        self.meter.charge(LIST_COST)?;
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &[MapEntry]) -> Outcome<'a> {
        let mut values = Entries::new();
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let Some(value) = self.initializer(&entry.value, entry.optional, &key.to_string())? else { continue };
            let Some(place) = Key::of(&key) else {
                return Err(Error::failed(format!("unsupported key type: {}", key.to_type().name())));
            };
            if values.insert(place, (key.clone(), value)).is_some() {
                return Err(Error::failed(format!("Failed with repeated key: {key}")));
            }
        }
        self.meter.charge(MAP_COST)?;
        Ok(Value::Map(Map::Values(Arc::new(values))))
    }

    fn message(&mut self, name: &Arc<str>, fields: &[(Arc<str>, Node, bool)]) -> Outcome<'a> {
        let mut values = BTreeMap::new();
        for (field, node, optional) in fields {
            if let Some(value) = self.initializer(node, *optional, field)? {
                values.insert(field.clone(), value);
            }
        }
        self.meter.charge(MESSAGE_COST)?;
        Ok(Value::Message(Arc::new(Message { name: name.clone(), fields: values })))
    }

    /// The value of an entry or field; none if it is left out.
    fn initializer(&mut self, node: &Node, optional: bool, name: &str) -> Result<Option<Value<'a>>, Error> {
        match self.eval(node)? {
            value if !optional => Ok(Some(value)),
            Value::Optional(inner) => Ok(inner.map(|inner| Value::clone(&inner))),
            value => {
                let message = format!("cannot initialize optional entry '{name}' from non-optional value {value}");
                Err(Error::failed(message))
            }
        }
    }

    fn fold(&mut self, fold: &Fold) -> Outcome<'a> {
        let range = self.eval(&fold.range)?;
        let initial = self.eval(&fold.initial);
        let outer = self.slots.len();
        self.slots.push(initial);
        let ended = match &range {
            Value::List(list) if list.is_empty() => Ok(()),
            Value::List(list) => self.fold_list(fold, list),
            Value::Map(map) => self.fold_map(fold, map),
            other => Err(Error::failed(format!("got '{}', expected iterable type", other.to_type().name()))),
        };
        self.slots.truncate(outer + 1);
        let result = ended.and_then(|()| self.eval(&fold.result));
        self.slots.truncate(outer);
        result
    }

    fn fold_list(&mut self, fold: &Fold, list: &List<'a>) -> Result<(), Error> {
        for (index, element) in list.iter().enumerate() {
            let goes_on = match fold.two {
                true => self.turn(fold, [Some(Ok(Value::Int(index as i64))), Some(element)])?,
                false => self.turn(fold, [Some(element), None])?,
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    fn fold_map(&mut self, fold: &Fold, map: &Map<'a>) -> Result<(), Error> {
        for key in map.keys(self.meter)? {
            let value =
                if fold.two { map.find(&key).map(|found| found.unwrap_or(Value::Null)) } else { Ok(key.clone()) };
            let goes_on = self.turn(fold, [Some(Ok(key)), fold.two.then_some(value)])?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// One turn with its variables; whether there may be another.
    fn turn(&mut self, fold: &Fold, variables: [Option<Outcome<'a>>; 2]) -> Result<bool, Error> {
        self.meter.step(1)?;
        let accumulator = self.slots.len() - 1;
        self.slots.extend(variables.into_iter().flatten());
        let goes_on = match self.eval(&fold.condition) {
            Ok(Value::Bool(false)) => false,
            Err(Error::CostLimit) => return Err(Error::CostLimit),
            _ => {
                let next = self.eval(&fold.step);
                // Where nothing looks at the accumulator before the end, an error stays there until then.
                let stuck = next.is_err() && matches!(fold.condition, Node::Constant(_));
                if matches!(next, Err(Error::CostLimit)) {
                    return Err(Error::CostLimit);
                }
                self.slots[accumulator] = next;
                !stuck
            }
        };
        self.slots.truncate(accumulator + 1);
        Ok(goes_on)
    }

    fn append(&mut self, slot: usize, elements: &Node) -> Outcome<'a> {
        self.meter.charge(1)?;
        let elements = self.eval(elements)?;
        self.meter.charge(1)?;
        let mut list = self.take(slot)?;
        match (&mut list, elements) {
            (Value::List(list), Value::List(elements)) => {
                for element in elements.iter() {
                    list.push(element?)?;
                }
            }
            _ => return Err(Error::NoOverload),
        }
        Ok(list)
    }

    fn insert(&mut self, slot: usize, what: &[Node]) -> Outcome<'a> {
        self.meter.charge(1)?;
        let values = what.iter().map(|node| self.eval(node)).collect::<Result<Vec<_>, _>>()?;
        self.meter.charge(1)?;
        let mut taken = self.take(slot)?;
        let Value::Map(map) = &mut taken else { return Err(Error::NoOverload) };
        match values.as_slice() {
            [key, value] => map.insert(key.clone(), value.clone(), self.meter)?,
            [Value::Map(entries)] => {
                for key in entries.keys(self.meter)? {
                    let value = entries.find(&key)?.unwrap_or(Value::Null);
                    map.insert(key, value, self.meter)?;
                }
            }
            _ => return Err(Error::NoOverload),
        }
        Ok(taken)
    }

    /// Takes an accumulator out of its slot, which the end of the step fills again.
    fn take(&mut self, slot: usize) -> Outcome<'a> {
        std::mem::replace(&mut self.slots[slot], Ok(Value::Null))
    }
}

enum Found<'a> {
    Value(Value<'a>),
    Missing(Error),
}

impl<'a> Found<'a> {
    fn or_missing(found: Option<Value<'a>>, message: impl FnOnce() -> String) -> Self {
        found.map_or_else(|| Self::Missing(Error::failed(message())), Self::Value)
    }
}

fn field<'a>(value: &Value<'a>, name: &str) -> Result<Found<'a>, Error> {
    let found = match value {
        Value::Map(map) => map.field(name)?,
        Value::Message(message) => message.fields.get(name).cloned(),
        Value::List(_) => return Err(Error::failed("unsupported index type 'string' in list")),
        _ => None,
    };
    Ok(Found::or_missing(found, || format!("no such key: {name}")))
}

fn element<'a>(value: &Value<'a>, index: &Value<'a>) -> Result<Found<'a>, Error> {
    let found = match (value, index) {
        (Value::List(list), _) => {
            let at = list_index(index)?;
            let at = usize::try_from(at).ok().filter(|at| *at < list.len());
            let found = at.map(|at| list.get(at)).transpose()?;
            return Ok(Found::or_missing(found, || format!("index out of bounds: {index}")));
        }
        (Value::Map(map), index) => map.find(index)?,
        (Value::Message(message), Value::String(name)) => message.fields.get(&**name).cloned(),
        _ => None,
    };
    Ok(Found::or_missing(found, || format!("no such key: {index}")))
}

fn list_index(index: &Value<'_>) -> Result<i64, Error> {
    match index {
        Value::Int(at) => Ok(*at),
        Value::Uint(at) if i64::try_from(*at).is_ok() => Ok(*at as i64),
        Value::Double(at) if at.fract() == 0.0 => Ok(*at as i64),
        Value::Uint(_) | Value::Double(_) => Err(Error::failed(format!("unsupported index value {index} in list"))),
        other => Err(Error::failed(format!("unsupported index type '{}' in list", other.to_type().name()))),
    }
}

/// A tenth of the smaller side; one for values that libraries bring.
pub fn equality_cost(left: &Value<'_>, right: &Value<'_>) -> u64 {
    match left {
        Value::Foreign(_) => 1,
        _ => left.size().min(right.size()).div_ceil(10),
    }
}

fn implementation(call: &Call, values: &[Value<'_>]) -> Option<Implementation> {
    if call.uniform {
        return call.overloads.first().map(|overload| overload.implementation);
    }
    call.overloads.iter().find(|overload| takes(overload, values)).map(|overload| overload.implementation)
}

fn takes(overload: &Overload, values: &[Value<'_>]) -> bool {
    overload.arguments.len() == values.len()
        && overload.arguments.iter().zip(values).all(|(expected, value)| fits(expected, value))
}

fn fits(expected: &Type, value: &Value<'_>) -> bool {
    match (expected, value) {
        (Type::Dyn | Type::Variable(_), _) => true,
        (Type::List(element), Value::List(list)) => {
            // The first element tells which overload of a list is meant.
            list.is_empty() || list.get(0).is_ok_and(|first| fits(element, &first))
        }
        (expected, value) => expected.name() == value.to_type().name(),
    }
}

fn no_overload(function: &str, values: &[Value<'_>]) -> Error {
    if !function.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Error::NoOverload;
    }
    let types: Vec<String> = values.iter().map(|value| value.to_type().name().to_owned()).collect();
    Error::failed(format!("no such overload: {function}({})", types.join(", ")))
}

//! The types that the checker knows, how they print, and when one may stand for another.

use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    Dyn,
    /// Of what was already reported.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    List(Arc<Type>),
    Map(Arc<(Type, Type)>),
    /// Has fields, or functions of its own, by name.
    Object(Arc<str>),
    /// Known by name and parameters alone.
    Opaque(Arc<str>, Arc<[Type]>),
    /// The type of types.
    Type(Arc<Type>),
    /// To be found out.
    Variable(u32),
}

const OPTIONAL: &str = "optional_type";

impl Type {
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    pub fn object(name: &str) -> Self {
        Self::Object(name.into())
    }

    pub fn optional(inner: Self) -> Self {
        Self::Opaque(OPTIONAL.into(), [inner].into())
    }

    pub fn of(inner: Self) -> Self {
        Self::Type(Arc::new(inner))
    }

    /// What is in an optional.
    pub fn unwrap_optional(&self) -> Option<&Self> {
        match self {
            Self::Opaque(name, parameters) if &**name == OPTIONAL => parameters.first(),
            _ => None,
        }
    }

    pub fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// The types that it is made of.
    pub fn parameters(&self) -> Vec<&Self> {
        match self {
            Self::List(inner) | Self::Type(inner) => vec![inner],
            Self::Map(pair) => vec![&pair.0, &pair.1],
            Self::Opaque(_, parameters) => parameters.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Its name without parameters, as `type(x)` has it.
    pub fn name(&self) -> &str {
        match self {
            Self::Dyn => "dyn",
            Self::Error => "!error!",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "google.protobuf.Duration",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Object(name) | Self::Opaque(name, _) => name,
            Self::Type(_) => "type",
            Self::Variable(_) => "variable",
        }
    }

    /// Whether its values all have the same size.
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Bool | Self::Double | Self::Duration | Self::Int | Self::Timestamp | Self::Uint => true,
            _ => self.unwrap_optional().is_some_and(Self::is_scalar),
        }
    }

    /// The same type with each variable replaced.
    fn replace(&self, with: &dyn Fn(u32) -> Self) -> Self {
        match self {
            Self::Variable(number) => with(*number),
            Self::List(inner) => Self::list(inner.replace(with)),
            Self::Map(pair) => Self::map(pair.0.replace(with), pair.1.replace(with)),
            Self::Type(inner) => Self::of(inner.replace(with)),
            Self::Opaque(name, parameters) => {
                Self::Opaque(name.clone(), parameters.iter().map(|of| of.replace(with)).collect())
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => return f.write_str("null"),
            Self::Duration => return f.write_str("duration"),
            Self::Timestamp => return f.write_str("timestamp"),
            Self::Variable(number) => return write!(f, "_var{number}"),
            _ => f.write_str(self.name())?,
        }
        let parameters = self.parameters();
        if parameters.is_empty() {
            return Ok(());
        }
        let parameters: Vec<String> = parameters.into_iter().map(Self::to_string).collect();
        write!(f, "({})", parameters.join(", "))
    }
}

/// What the type variables turned out to be so far.
#[derive(Clone, Debug, Default)]
pub struct Substitution(Vec<Option<Type>>);

impl Substitution {
    /// A type that is not known yet.
    pub fn fresh(&mut self) -> Type {
        self.0.push(None);
        Type::Variable((self.0.len() - 1) as u32)
    }

    /// `types` with their own variables, numbered from zero, replaced by fresh ones.
    pub fn instantiate(&mut self, types: &[Type]) -> Vec<Type> {
        let base = self.0.len() as u32;
        let count = types.iter().map(variables).max().unwrap_or(0);
        self.0.resize((base + count) as usize, None);
        types.iter().map(|of| of.replace(&|number| Type::Variable(base + number))).collect()
    }

    /// `of` with all variables that are known replaced; the others become `dyn` if `to_dyn`.
    pub fn apply(&self, of: &Type, to_dyn: bool) -> Type {
        of.replace(&|number| match self.find(number) {
            Some(known) => self.apply(known, to_dyn),
            None if to_dyn => Type::Dyn,
            None => Type::Variable(number),
        })
    }

    /// Whether each of `from` may stand where `to` is expected; then this remembers what that takes.
    pub fn assign_all(&mut self, from: &[Type], to: &[Type]) -> bool {
        let before = self.0.clone();
        let fits = from.len() == to.len() && from.iter().zip(to).all(|(from, to)| self.unify(from, to));
        if !fits {
            self.0 = before;
        }
        fits
    }

    pub fn assign(&mut self, from: &Type, to: &Type) -> bool {
        self.assign_all(std::slice::from_ref(from), std::slice::from_ref(to))
    }

    fn find(&self, number: u32) -> Option<&Type> {
        self.0.get(number as usize)?.as_ref()
    }

    fn unify(&mut self, from: &Type, to: &Type) -> bool {
        if let Type::Variable(number) = to {
            if self.stands_for(from, *number) {
                return true;
            }
            if self.find(*number).is_some() {
                return false;
            }
        }
        if let Type::Variable(number) = from {
            return self.stands_for(to, *number);
        }
        if from.is_dyn_or_error() || to.is_dyn_or_error() {
            return true;
        }
        match (from, to) {
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(from), Type::List(to)) => self.unify(from, to),
            (Type::Map(from), Type::Map(to)) => self.unify(&from.0, &to.0) && self.unify(&from.1, &to.1),
            (Type::Opaque(name, from), Type::Opaque(other, to)) => {
                name == other
                    && from.len() == to.len()
                    && from.iter().zip(to.iter()).all(|(from, to)| self.unify(from, to))
            }
            (from, to) => from == to,
        }
    }

    /// Whether the variable can be `of`, given what is known of it.
    fn stands_for(&mut self, of: &Type, number: u32) -> bool {
        let variable = Type::Variable(number);
        if *of == variable {
            return true;
        }
        let Some(known) = self.find(number).cloned() else {
            let free = !self.occurs(number, of);
            if free {
                self.0[number as usize] = Some(of.clone());
            }
            return free;
        };
        if known == *of {
            return true;
        }
        let fits = self.unify(of, &known);
        if fits {
            let general = if is_less_specific(of, &known) { of.clone() } else { known };
            if !self.occurs(number, &general) {
                self.0[number as usize] = Some(general);
            }
        }
        fits
    }

    fn occurs(&self, number: u32, within: &Type) -> bool {
        match within {
            Type::Variable(other) if *other == number => true,
            Type::Variable(other) => self.find(*other).is_some_and(|known| self.occurs(number, known)),
            other => other.parameters().into_iter().any(|of| self.occurs(number, of)),
        }
    }

    /// The more general of two types that fit each other.
    pub fn most_general(left: &Type, right: &Type) -> Type {
        if is_less_specific(left, right) { left.clone() } else { right.clone() }
    }
}

/// One more than the highest variable in it.
fn variables(of: &Type) -> u32 {
    match of {
        Type::Variable(number) => number + 1,
        other => other.parameters().into_iter().map(variables).max().unwrap_or(0),
    }
}

fn is_nullable(of: &Type) -> bool {
    matches!(of, Type::Null | Type::Opaque(..) | Type::Object(_) | Type::Duration | Type::Timestamp)
}

fn is_less_specific(left: &Type, right: &Type) -> bool {
    match (left, right) {
        (Type::Dyn | Type::Variable(_), _) => true,
        (_, Type::Dyn | Type::Variable(_)) => false,
        (Type::Type(_), Type::Type(_)) => true,
        (Type::List(_), Type::List(_)) | (Type::Map(_), Type::Map(_)) | (Type::Opaque(..), Type::Opaque(..)) => {
            let (of_left, of_right) = (left.parameters(), right.parameters());
            left.name() == right.name()
                && of_left.len() == of_right.len()
                && of_left.into_iter().zip(of_right).all(|(left, right)| is_less_specific(left, right))
        }
        _ => left == right,
    }
}

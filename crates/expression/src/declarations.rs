//! Functions: their overloads, written as one line each, and what carries them out.
//!
//! A line reads `id name(arguments) -> result`, or `id receiver:name(arguments) -> result`. Capital letters
//! stand for any type.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::error::Error;
use crate::library;
use crate::meter::Meter;
use crate::types::Type;
use crate::value::Value;

/// Carries out a function on arguments, the receiver first.
pub type Implementation = for<'a> fn(&Meter, &[Value<'a>]) -> Result<Value<'a>, Error>;

/// A line as above, and what carries it out.
pub type Declaration = (&'static str, Implementation);

#[derive(Debug)]
pub struct Overload {
    pub id: &'static str,
    pub member: bool,
    /// The receiver first.
    pub arguments: Vec<Type>,
    pub result: Type,
    pub implementation: Implementation,
}

/// All functions by name.
#[derive(Debug, Default)]
pub struct Functions(HashMap<&'static str, Vec<Overload>>);

impl Functions {
    /// Those of Kubernetes 1.35.
    pub fn all() -> &'static Self {
        static ALL: LazyLock<Functions> = LazyLock::new(|| {
            let mut functions = Functions::default();
            library::ALL.iter().flat_map(|library| library.iter()).for_each(|line| functions.declare(line));
            functions
        });
        &ALL
    }

    pub fn find(&self, name: &str) -> Option<&[Overload]> {
        self.0.get(name).map(Vec::as_slice)
    }

    fn declare(&mut self, (line, implementation): &'static Declaration) {
        let (id, signature) = line.split_once(' ').expect("a line begins with its id");
        let (call, result) = signature.split_once(" -> ").expect("a line ends with its result");
        // Operators have no receivers, but one has a colon.
        let (receiver, call) = match call.split_once(':').filter(|_| !call.starts_with('_')) {
            Some((receiver, call)) => (Some(receiver), call),
            None => (None, call),
        };
        let (name, arguments) = call.split_once('(').expect("a function has brackets");
        let arguments = arguments.strip_suffix(')').expect("a function's bracket is closed");
        let overload = Overload {
            id,
            member: receiver.is_some(),
            arguments: receiver.into_iter().chain(split(arguments)).map(read_type).collect(),
            result: read_type(result),
            implementation: *implementation,
        };
        self.0.entry(name).or_default().push(overload);
    }
}

/// Splits at commas that are in no brackets.
fn split(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let at_comma = |c: char| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    };
    list.split(at_comma).map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn read_type(text: &str) -> Type {
    if let Some((name, rest)) = text.split_once('(') {
        let parameters = split(rest.strip_suffix(')').expect("a type's bracket is closed"));
        let mut parameters = parameters.into_iter().map(read_type);
        let mut next = || parameters.next().expect("a type has its parameters");
        return match name {
            "list" => Type::list(next()),
            "map" => Type::map(next(), next()),
            "type" => Type::of(next()),
            "optional" => Type::optional(next()),
            other => unreachable!("there is no type {other}"),
        };
    }
    match text {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "A" | "K" => Type::Variable(0),
        "B" | "V" => Type::Variable(1),
        opaque if opaque.starts_with("net.") => Type::Opaque(opaque.into(), [].into()),
        object => Type::object(object),
    }
}

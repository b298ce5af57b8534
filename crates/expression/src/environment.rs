//! What an expression may refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checker;
use crate::cost::estimate::{self, CostEstimate};
use crate::declarations::{Functions, Overload};
use crate::escape::is_identifier;
use crate::macros::Macros;
use crate::parser;
use crate::plan;
use crate::program::Program;
use crate::shape::{Field, Form, Object, Shape};
use crate::source::Issues;
use crate::types::Type;
use crate::validators;

/// Variables and their types, and which extensions there are beside what Kubernetes 1.35 offers everywhere.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, Variable>,
    objects: BTreeMap<Arc<str>, Object>,
    macros: Macros,
    mutation: bool,
}

#[derive(Clone, Debug)]
pub struct Variable {
    pub of: Type,
    /// What is known of its size.
    pub shape: Option<Arc<Shape>>,
}

/// Why an expression gave no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("{0}")]
    Invalid(Issues),
    /// It is well typed, but a constant in it cannot be worked out.
    #[error("{0}")]
    Program(String),
}

impl Environment {
    pub fn new() -> Self {
        Self::default()
    }

    /// A variable that is read along `shape`.
    pub fn with_shape(mut self, name: &str, shape: Arc<Shape>) -> Self {
        shape.each_object(&mut |object| {
            self.objects.insert(object.name.clone(), object.clone());
        });
        self.variables.insert(name.to_owned(), Variable { of: shape.to_type(), shape: Some(shape) });
        self
    }

    /// A variable of a type alone. A name with a dot is found where its parts are selected one by one.
    pub fn with_variable(mut self, name: &str, of: Type) -> Self {
        self.variables.insert(name.to_owned(), Variable { of, shape: None });
        self
    }

    /// Adds a field, of a type of its own, to a variable that is an object. What no expression can name is left out.
    pub fn add_field(&mut self, variable: &str, field: &str, of: Type) {
        let object = self.variables.get(variable).and_then(|variable| match &variable.of {
            Type::Object(name) => self.objects.get_mut(name),
            _ => None,
        });
        if let Some(object) = object.filter(|_| is_identifier(field)) {
            let shape = Arc::new(Shape::of(Form::Dyn));
            object.fields.insert(field.to_owned(), Field { name: field.to_owned(), shape });
            self.variables.insert(format!("{variable}.{field}"), Variable { of, shape: None });
        }
    }

    /// Adds `cel.bind`.
    pub fn with_bind(mut self) -> Self {
        self.macros.bind = true;
        self
    }

    /// Adds `Object{}`, `JSONPatch{}` and `jsonpatch.escapeKey`.
    pub fn with_mutation(mut self) -> Self {
        self.mutation = true;
        self
    }

    /// Reads, checks and plans an expression.
    pub fn compile(&self, text: &str) -> Result<Program, CompileError> {
        let (mut expr, builder) = parser::parse(text, self.macros).map_err(CompileError::Invalid)?;
        let mut issues = Issues::new(text);
        let checked = checker::check(&mut expr, &builder, self, &mut issues);
        if issues.is_empty() {
            validators::validate(&expr, &builder, &checked, &mut issues);
        }
        if !issues.is_empty() {
            return Err(CompileError::Invalid(issues));
        }
        let cost = estimate::estimate(&expr, &checked, self);
        plan::plan(&expr, &checked, cost).map_err(|error| CompileError::Program(error.to_string()))
    }

    /// What evaluating `text` can cost, if it compiles.
    pub fn estimate(&self, text: &str) -> Result<CostEstimate, CompileError> {
        self.compile(text).map(|program| program.cost())
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(name)
    }

    pub(crate) fn function(&self, name: &str) -> Option<&'static [Overload]> {
        if name.starts_with("jsonpatch.") && !self.mutation {
            return None;
        }
        Functions::all().find(name)
    }

    /// The type that a name stands for.
    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "null_type" => Type::Null,
            "type" => Type::of(Type::Dyn),
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "optional_type" => Type::optional(Type::Dyn),
            "google.protobuf.Duration" => Type::Duration,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "net.IP" | "net.CIDR" => Type::Opaque(name.into(), [].into()),
            "JSONPatch" if self.mutation => Type::object(name),
            _ if self.mutation && (name == "Object" || name.starts_with("Object.")) => Type::object(name),
            _ => Type::Object(self.objects.get_key_value(name)?.0.clone()),
        })
    }

    /// The type of a field of an object type; none if it has no such field.
    pub(crate) fn field_type(&self, object: &str, field: &str) -> Option<Type> {
        if let Some(known) = self.objects.get(object) {
            return known.field(field).map(|field| field.shape.to_type());
        }
        if !self.mutation {
            return None;
        }
        match (object, field) {
            ("JSONPatch", "op" | "path" | "from") => Some(Type::String),
            ("JSONPatch", "value") => Some(Type::Dyn),
            ("JSONPatch", _) => None,
            _ if object == "Object" || object.starts_with("Object.") => Some(Type::Dyn),
            _ => None,
        }
    }

    /// How many elements, characters or entries there are at most at a path that begins with a variable.
    pub(crate) fn max_elements_at(&self, path: &[String]) -> Option<u64> {
        let (variable, rest) = path.split_first()?;
        let mut shape = self.variable(variable)?.shape.as_deref()?;
        for step in rest {
            shape = match (step.as_str(), &shape.form) {
                ("@items", Form::List(inner, _)) | ("@values", Form::Map(inner)) => inner,
                ("@keys", Form::Map(_)) => return Some(shape.keys_max),
                (name, Form::Object(object)) => &object.field(name)?.shape,
                // What may be anything is of one size, whatever its name.
                (_, Form::Map(inner)) if inner.form == Form::Dyn => inner,
                _ => return None,
            };
        }
        Some(shape.max_elements)
    }
}

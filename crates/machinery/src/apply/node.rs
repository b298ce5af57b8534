//! Forms of values that are compiled while the process runs: what schemas of custom resources say of merging.

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::{Message, Type};
use serde_json::Value;

use super::form::{Fields, Form, Of, Told};

/// How objects of a kind merge, and what keeps that in memory.
#[derive(Clone, Debug)]
pub enum Layout {
    Message(&'static Message),
    Node(Arc<Node>),
}

impl Layout {
    /// Of objects without a schema.
    pub fn unknown() -> Self {
        Self::Node(Node::Deduced.into())
    }

    pub fn form(&self) -> Form<'_> {
        match self {
            Self::Message(message) => Form::of_message(message),
            Self::Node(node) => node.form(),
        }
    }
}

/// How a value of a custom resource merges.
#[derive(Debug)]
pub enum Node {
    Scalar(Type),
    /// A part of every object, such as its metadata.
    Message(&'static Message),
    Struct {
        fields: BTreeMap<Box<str>, Node>,
        /// What absent fields mean that tell items of a list apart.
        defaults: BTreeMap<Box<str>, Value>,
        /// There may be other fields, of which nothing is known.
        open: bool,
        atomic: bool,
    },
    Map {
        of: Box<Node>,
        atomic: bool,
    },
    List {
        of: Box<Node>,
        told: Told,
    },
    Deduced,
}

impl Node {
    pub(super) fn form(&self) -> Form<'_> {
        match self {
            Self::Scalar(of) => Form::Scalar(*of),
            Self::Message(message) => Form::of_message(message),
            Self::Struct { atomic, .. } => Form::Struct { fields: Fields::Node(self), atomic: *atomic },
            Self::Map { of, atomic } => Form::Map { of: Of::Node(of), atomic: *atomic },
            Self::List { of, told } => Form::List { of: Of::Node(of), told: *told },
            Self::Deduced => Form::Deduced,
        }
    }

    pub(super) fn entry(&self, name: &str) -> Option<Form<'_>> {
        let Self::Struct { fields, open, .. } = self else { return Some(Form::Deduced) };
        fields.get(name).map(Self::form).or_else(|| open.then_some(Form::Deduced))
    }

    pub(super) fn names(&self, name: &str) -> bool {
        matches!(self, Self::Struct { fields, .. } if fields.contains_key(name))
    }

    pub(super) fn default(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Struct { defaults, .. } => defaults.get(key),
            _ => None,
        }
    }
}

//! What the schema says about how a value merges.

use schema::{Field, ListType, Message, Shape, Type};
use serde_json::Value;

use super::node::Node;
use super::path::{Element, Pair};

/// How a value merges. Built-in schemas and those compiled for custom resources have the same form.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// A text, a number, a boolean, or one of several of these.
    Scalar(Type),
    /// Anything, as a whole.
    Any,
    /// An object whose fields are known.
    Struct {
        fields: Fields<'a>,
        atomic: bool,
    },
    /// An object with arbitrary names.
    Map {
        of: Of<'a>,
        atomic: bool,
    },
    List {
        of: Of<'a>,
        told: Told,
    },
    /// There is no schema: objects merge entry by entry, anything else as a whole.
    Deduced,
}

/// The fields of an object.
#[derive(Clone, Copy, Debug)]
pub enum Fields<'a> {
    Message(&'static Message),
    /// A [`Node::Struct`].
    Node(&'a Node),
}

/// What the values of a map or the items of a list are.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    Type(Type),
    Node(&'a Node),
}

/// How the items of a list are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// They are not: the list merges as a whole.
    Not,
    ByValue,
    ByKeys(&'static [&'static str]),
}

/// What lies below a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// Nothing that merges by itself.
    Nothing,
    Entries,
    Items,
}

/// Keys of items whose absence means this value (upstream: `+default`).
const KEY_DEFAULTS: &[(&str, &str)] = &[("protocol", "TCP")];

impl<'a> Form<'a> {
    pub fn of_message(message: &'static Message) -> Self {
        Self::Struct { fields: Fields::Message(message), atomic: message.atomic }
    }

    fn of_field(field: &Field) -> Self {
        match (field.shape, field.of) {
            (Shape::List, of) => Self::List {
                of: Of::Type(of),
                told: match field.list {
                    ListType::Unsaid | ListType::Atomic => Told::Not,
                    ListType::Set => Told::ByValue,
                    ListType::Map => Told::ByKeys(field.map_keys),
                },
            },
            (Shape::Map, of) => Self::Map { of: Of::Type(of), atomic: field.atomic },
            (Shape::One, Type::Message(message)) => Self::Struct {
                fields: Fields::Message(message),
                atomic: (message.atomic || field.atomic) && !field.granular,
            },
            (Shape::One, of) => Self::of_type(of),
        }
    }

    fn of_type(of: Type) -> Self {
        match of {
            Type::Message(message) => Self::of_message(message),
            Type::Strings => Self::List { of: Of::Type(Type::String), told: Told::Not },
            Type::RawExtension | Type::FieldsV1 => Self::Deduced,
            Type::Any | Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => Self::Any,
            scalar => Self::Scalar(scalar),
        }
    }

    /// The form of an entry or field; nothing when there is no such field.
    pub fn entry(self, name: &str) -> Option<Self> {
        match self {
            Self::Struct { fields: Fields::Message(message), .. } => message.field(name).map(Self::of_field),
            Self::Struct { fields: Fields::Node(node), .. } => node.entry(name),
            Self::Map { of, .. } => Some(of.form()),
            _ => Some(Self::Deduced),
        }
    }

    /// Whether `name` is a field of its own, not one entry of many.
    pub fn names(self, name: &str) -> bool {
        match self {
            Self::Struct { fields: Fields::Message(message), .. } => message.field(name).is_some(),
            Self::Struct { fields: Fields::Node(node), .. } => node.names(name),
            _ => false,
        }
    }

    pub fn item(self) -> Self {
        match self {
            Self::List { of, .. } => of.form(),
            _ => Self::Deduced,
        }
    }

    /// What merges by itself below values of this form.
    pub fn parts(self, values: [Option<&Value>; 2]) -> Below {
        match self {
            Self::Struct { atomic: false, .. } | Self::Map { atomic: false, .. } => Below::Entries,
            Self::List { told: Told::ByValue | Told::ByKeys(_), .. } => Below::Items,
            Self::Deduced if values.into_iter().flatten().all(Value::is_object) => Below::Entries,
            _ => Below::Nothing,
        }
    }

    /// The same for the values that stand at one place in two objects. Where there is nothing in either, how
    /// that is said (null, or an empty object or list) counts as a whole.
    pub fn below(self, left: Option<&Value>, right: Option<&Value>) -> Below {
        let nothing = left.is_none_or(is_empty) && right.is_none_or(is_empty);
        if nothing { Below::Nothing } else { self.parts([left, right]) }
    }

    /// What tells an item of this list from the others; the error is upstream's text.
    pub fn element(self, item: &Value) -> Result<Element, String> {
        match self {
            Self::List { told: Told::ByKeys(keys), .. } => self.keyed(keys, item),
            _ => told_by_value(item),
        }
    }

    fn keyed(self, keys: &[&str], item: &Value) -> Result<Element, String> {
        let fields = match item {
            Value::Object(fields) => fields,
            Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        };
        let pair = |key: &&str| {
            let value = fields.get(*key).cloned().or_else(|| self.key_default(key))?;
            Some(((*key).into(), value))
        };
        let pairs: Vec<Pair> = keys.iter().filter_map(pair).collect();
        if pairs.is_empty() {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
                 values for any key fields)",
                keys.join(" ")
            ));
        }
        Ok(Element::key(pairs))
    }

    fn key_default(self, key: &str) -> Option<Value> {
        if let Self::Struct { fields: Fields::Node(node), .. } = self.item() {
            return node.default(key).cloned();
        }
        let default = KEY_DEFAULTS.iter().find(|(name, _)| *name == key)?;
        self.item().names(key).then(|| default.1.into())
    }
}

impl<'a> Of<'a> {
    fn form(self) -> Form<'a> {
        match self {
            Self::Type(of) => Form::of_type(of),
            Self::Node(node) => node.form(),
        }
    }
}

pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

fn told_by_value(item: &Value) -> Result<Element, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        value => Ok(Element::Value(value.clone())),
    }
}

/// The items of a list with what tells them apart; items that nothing tells apart are left out.
pub fn items<'a>(form: Form<'_>, value: Option<&'a Value>) -> Vec<(Element, &'a Value)> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| Some((form.element(item).ok()?, item))).collect()
}

//! What a field is: one table of facts for every built-in type of the API.
//!
//! The table ([`message`]) is static data without prose: it costs neither start-up time nor heap.
//! `cargo xtask schema` generates it; nothing else may change the folder `table`.

mod documents;
#[rustfmt::skip]
mod table;

use std::fmt;

/// A JSON object with known fields.
pub struct Message {
    /// As OpenAPI names it: `io.k8s.api.core.v1.Pod`.
    pub name: &'static str,
    /// Merged as a whole wherever it stands (`structType=atomic`).
    pub atomic: bool,
    /// Positions in `fields` of those that protobuf has, in the order in which it writes them.
    pub wire: &'static [u8],
    /// Sorted by JSON name.
    pub fields: &'static [Field],
}

/// One field of a [`Message`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub json: &'static str,
    pub shape: Shape,
    /// The type of the value, or of each item or value when it is a list or a map.
    pub of: Type,
    pub required: bool,
    /// Go holds a pointer: a zero is something else than nothing.
    pub pointer: bool,
    /// Go's JSON shows it even when it is zero, though it is not required.
    pub always: bool,
    /// The tag in protobuf; zero where protobuf has no such field (`apiVersion` and `kind`).
    pub tag: u32,
    /// Tags of the messages which this field lies in on the wire but not in JSON, outermost first.
    pub outer: &'static [u32],
    /// How protobuf encodes the value, or each item, or each map value. A list of texts whose wire type is
    /// [`Wire::Message`] is a message whose field 1 repeats.
    pub wire: Wire,
    pub list: ListType,
    /// What tells items of a [`ListType::Map`] apart.
    pub map_keys: &'static [&'static str],
    /// A map or object that is merged as a whole.
    pub atomic: bool,
    /// Merged field by field even though its message is atomic.
    pub granular: bool,
    /// What tells list items apart in a strategic merge patch; empty if nothing does.
    pub merge_key: &'static str,
    /// The strategies of a strategic merge patch: `merge`, `replace`, `retainKeys`, parted by commas.
    pub strategy: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    One,
    List,
    /// An object with arbitrary names.
    Map,
}

/// What a value is.
#[derive(Clone, Copy)]
pub enum Type {
    String,
    /// Base64 in JSON.
    Bytes,
    Bool,
    Int32,
    Int64,
    Double,
    /// A list of texts as a map's value.
    Strings,
    /// `resource.Quantity`: a text, or a number that becomes one.
    Quantity,
    /// RFC 3339 with whole seconds.
    Time,
    /// RFC 3339 with six fractional digits.
    MicroTime,
    /// `metav1.Duration`: Go's text, such as `1m0s`; nanoseconds in protobuf.
    Duration,
    IntOrString,
    /// `metav1.FieldsV1`: an object.
    FieldsV1,
    /// `runtime.RawExtension`: any object.
    RawExtension,
    /// Any JSON.
    Any,
    /// `JSONSchemaProps` or a list of them.
    SchemaOrArray,
    /// `JSONSchemaProps` or a boolean.
    SchemaOrBool,
    /// `JSONSchemaProps` or a list of texts.
    SchemaOrStrings,
    Message(&'static Message),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Varint,
    Double,
    /// Texts and bytes.
    Bytes,
    Message,
}

/// How items of a list are told apart (`listType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Not said: as [`ListType::Atomic`] in a merge.
    Unsaid,
    Atomic,
    Set,
    Map,
}

/// The message of this name, such as `io.k8s.api.core.v1.Pod`.
pub fn message(name: &str) -> Option<&'static Message> {
    [table::ALL, documents::ALL].into_iter().find_map(|messages| {
        let found = messages.binary_search_by(|message| message.name.cmp(name));
        found.ok().map(|index| messages[index])
    })
}

/// Every message that kinds are made of, sorted by name.
pub fn messages() -> &'static [&'static Message] {
    table::ALL
}

impl Message {
    /// The field with this JSON name, spelt exactly so.
    pub fn field(&self, json: &str) -> Option<&'static Field> {
        let found = self.fields.binary_search_by(|field| field.json.cmp(json));
        found.ok().map(|index| &self.fields[index])
    }

    /// Whether it is an object of its own, with `apiVersion`, `kind` and `metadata`.
    pub fn is_object(&self) -> bool {
        ["apiVersion", "kind", "metadata"].iter().all(|json| self.field(json).is_some())
    }
}

impl Field {
    const TEXT: Self = Self {
        json: "",
        shape: Shape::One,
        of: Type::String,
        required: false,
        pointer: false,
        always: false,
        tag: 0,
        outer: &[],
        wire: Wire::Bytes,
        list: ListType::Unsaid,
        map_keys: &[],
        atomic: false,
        granular: false,
        merge_key: "",
        strategy: "",
    };

    /// Whether a strategic merge patch has this strategy for the field.
    pub fn has_strategy(&self, strategy: &str) -> bool {
        self.strategy.split(',').any(|one| one == strategy)
    }

    /// Whether Go's JSON shows a zero value, rather than leaving the field out (`omitempty`).
    pub fn shows_zero(&self) -> bool {
        self.required || self.pointer || self.always
    }

    /// The message that Go holds in place, so that its JSON always shows it, if only as `{}`.
    pub fn in_place(&self) -> Option<&'static Message> {
        self.message().filter(|_| self.shape == Shape::One && !self.pointer)
    }

    /// The message the field holds, or holds a list or map of.
    pub fn message(&self) -> Option<&'static Message> {
        match self.of {
            Type::Message(message) => Some(message),
            _ => None,
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.definition().rsplit('.').next().unwrap_or_default())
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        self.definition() == other.definition()
    }
}

impl Type {
    /// The name of its definition in OpenAPI; scalars have one word for a name.
    pub fn definition(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Bool => "boolean",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Double => "double",
            Self::Strings => "strings",
            Self::Quantity => "io.k8s.apimachinery.pkg.api.resource.Quantity",
            Self::Time => "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
            Self::MicroTime => "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
            Self::Duration => "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
            Self::IntOrString => "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
            Self::FieldsV1 => "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
            Self::RawExtension => "io.k8s.apimachinery.pkg.runtime.RawExtension",
            Self::Any => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
            Self::SchemaOrArray => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
            Self::SchemaOrBool => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
            Self::SchemaOrStrings => {
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray"
            }
            Self::Message(message) => message.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(message_name: &str, json: &str) -> &'static Field {
        message(message_name).and_then(|message| message.field(json)).expect("the table has the field")
    }

    #[test]
    fn the_table_is_sorted_for_look_ups() {
        for messages in [table::ALL, documents::ALL] {
            assert!(messages.is_sorted_by(|a, b| a.name < b.name));
            for message in messages {
                assert!(message.fields.is_sorted_by(|a, b| a.json < b.json), "{message:?}");
            }
        }
    }

    #[test]
    fn service_ports_are_told_apart_by_port_and_protocol() {
        let ports = field("io.k8s.api.core.v1.ServiceSpec", "ports");
        assert_eq!((ports.shape, ports.list, ports.map_keys), (Shape::List, ListType::Map, &["port", "protocol"][..]));
        assert_eq!((ports.merge_key, ports.strategy, ports.tag), ("port", "merge", 1));
        assert_eq!(ports.message().map(|message| message.name), Some("io.k8s.api.core.v1.ServicePort"));
    }

    #[test]
    fn inlined_messages_keep_their_tags() {
        let host_path = field("io.k8s.api.core.v1.Volume", "hostPath");
        assert_eq!((host_path.outer, host_path.tag), (&[2][..], 1));
        let groups = field("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", "apiGroups");
        assert_eq!(groups.outer.len(), 2);
    }

    #[test]
    fn the_wire_s_order_is_that_of_the_tags() {
        for message in table::ALL {
            let place = |at: &u8| {
                let field = &message.fields[usize::from(*at)];
                [field.outer, &[field.tag]].concat()
            };
            assert!(message.wire.is_sorted_by_key(place), "{message:?}");
            assert_eq!(message.wire.len(), message.fields.iter().filter(|field| field.tag > 0).count(), "{message:?}");
        }
    }

    #[test]
    fn a_zero_is_shown_where_go_shows_it() {
        let shown = |message, json| field(message, json).shows_zero();
        assert!(shown("io.k8s.api.apps.v1.DeploymentSpec", "replicas"));
        assert!(shown("io.k8s.api.apps.v1.StatefulSetStatus", "availableReplicas"));
        assert!(!shown("io.k8s.api.apps.v1.DeploymentStatus", "updatedReplicas"));
        assert!(!shown("io.k8s.api.core.v1.Probe", "timeoutSeconds"));
    }

    #[test]
    fn what_is_required_is_what_upstream_requires() {
        assert!(field("io.k8s.api.core.v1.ServicePort", "port").required);
        assert!(!field("io.k8s.api.core.v1.Pod", "metadata").required);
        assert!(!field("io.k8s.api.core.v1.LocalObjectReference", "name").required);
    }
}

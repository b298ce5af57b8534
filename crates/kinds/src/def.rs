//! What a kind is.

use std::cmp::Ordering;

use jiff::Timestamp;
use machinery::validation::dns1123_subdomain;
use machinery::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource, Object, field};
use serde_json::{Map, Value};

use crate::custom::Custom;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// Verbs as discovery lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Delete,
    DeleteCollection,
    Get,
    List,
    Patch,
    Update,
    Watch,
}

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// What a path below an object addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subresource {
    /// `status`: writes touch nothing but `status` (and some metadata).
    Status,
    /// `scale`: the object seen as `autoscaling/v1` Scale.
    Scale(ScalePaths),
    /// A write of another kind that changes the object, or a call that makes something: binding, eviction,
    /// token, ephemeralcontainers, resize, approval, finalize. Who serves it is known by its name.
    Other(OtherSubresource),
    /// A connection to the node: log, exec, attach, portforward, proxy.
    Connect { name: &'static str, kind: &'static str, verbs: &'static [&'static str] },
}

impl Subresource {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale(_) => "scale",
            Self::Other(other) => other.name,
            Self::Connect { name, .. } => name,
        }
    }
}

/// Where a kind keeps what `autoscaling/v1` Scale shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalePaths {
    pub spec_replicas: &'static [&'static str],
    pub status_replicas: &'static [&'static str],
    /// A LabelSelector object or a plain map of labels.
    pub selector: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OtherSubresource {
    pub name: &'static str,
    /// Group and version of the body; both empty when they are the parent's.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub verbs: &'static [Verb],
}

/// A printed column: `meta.k8s.io/v1` TableColumnDefinition and how its cell is filled.
#[derive(Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub of_type: &'static str,
    pub format: &'static str,
    pub description: Description,
    /// Zero: always shown; one: only by `-o wide`.
    pub priority: i32,
    pub cell: fn(&Object) -> Value,
}

/// What the header of a column says of it.
#[derive(Clone, Copy, Debug)]
pub enum Description {
    Text(&'static str),
    /// What the API's documentation says of the field at this path of the stored version: `spec.nodeName`.
    Field(&'static str),
}

impl Column {
    pub const fn string(name: &'static str, description: Description, cell: fn(&Object) -> Value) -> Self {
        Self { name, of_type: "string", format: "", description, priority: 0, cell }
    }

    pub const fn integer(name: &'static str, description: Description, cell: fn(&Object) -> Value) -> Self {
        Self::string(name, description, cell).of_type("integer")
    }

    pub const fn of_type(self, of_type: &'static str) -> Self {
        Self { of_type, ..self }
    }

    pub const fn format(self, format: &'static str) -> Self {
        Self { format, ..self }
    }

    /// Shown only by `-o wide`.
    pub const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

/// A field that field selectors may name, besides `metadata.name` and `metadata.namespace`.
#[derive(Clone, Copy)]
pub struct SelectableField {
    pub name: &'static str,
    pub value: fn(&Object) -> String,
}

/// The hooks of a kind. All are pure; times and random values come from `clock`.
#[derive(Clone, Copy)]
pub struct Strategy {
    /// Fills in what upstream's defaulting fills in. Applying it twice changes nothing.
    pub default: fn(&mut Object),
    /// Clears what a client may not set at creation, such as `status`.
    pub prepare_create: fn(&mut Object),
    /// Carries over from the old object what an update may not touch (spec writes keep the old status).
    pub prepare_update: fn(&mut Object, &Object),
    /// The same for writes of `status`, which keep everything else.
    pub prepare_status_update: fn(&mut Object, &Object),
    pub validate: fn(&Object) -> field::ErrorList,
    /// Called besides `validate` at creation: what older objects are forgiven.
    pub validate_create: fn(&Object) -> field::ErrorList,
    /// Called besides `validate`, with the new object and the old.
    pub validate_update: fn(&Object, &Object) -> field::ErrorList,
    pub validate_status_update: fn(&Object, &Object) -> field::ErrorList,
    /// The same for subresources whose body is the object itself: `ephemeralcontainers`, `resize`, `approval`,
    /// `finalize`. The last argument names the subresource.
    pub prepare_subresource_update: fn(&mut Object, &Object, &str),
    pub validate_subresource_update: fn(&Object, &Object, &str) -> field::ErrorList,
    /// How `metadata.name` is checked, a DNS subdomain unless said otherwise; the answer holds upstream's messages.
    pub validate_name: fn(&str) -> Vec<String>,
    /// Whether finalizers without a domain may have any name, not just those that the system has given.
    pub any_finalizers: bool,
    /// Whether `metadata.generation` counts changes of everything but metadata and status.
    pub generation: bool,
    /// A PUT for an absent object creates it.
    pub create_on_update: bool,
    /// A PUT without a resource version overwrites.
    pub unconditional_update: bool,
    /// Seconds of grace when deletion is asked for without saying how many; nothing: deleted at once.
    /// The second argument is what the client asked for.
    pub grace: fn(&Object, Option<i64>) -> Option<i64>,
    /// Marks more than metadata when deletion begins but the object has to wait.
    pub prepare_delete: fn(&mut Object),
    /// A finalizer that an object gets when its deletion begins: what belongs to it goes first.
    pub cleanup_finalizer: Option<&'static str>,
    /// What besides `metadata.finalizers` keeps a deleted object in place.
    pub deletion_blocked: fn(&Object) -> bool,
    /// Deletion answers the object as it was rather than a Status (upstream: `ReturnDeletedObject`).
    pub returns_deleted: bool,
    /// What deletion does to dependents when the client does not say.
    pub default_propagation: Propagation,
    /// What clients are told who leave it at that; empty: nothing.
    pub propagation_warning: &'static str,
    /// Warnings for the client about an accepted object.
    pub warnings: fn(&Object) -> Vec<String>,
    /// What writes of `status` leave as it is, besides `spec`.
    pub kept_by_status: &'static [FieldPath],
    /// What writes of a subresource, or of the object itself by no name, give no manager to; nothing where that is
    /// what such writes leave as it is.
    pub reset: fn(&str) -> Option<Reset>,
}

/// Names of fields, outermost first.
pub type FieldPath = &'static [&'static str];

/// Fields that get no manager by a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Reset {
    /// These and all below them.
    Fields(Vec<FieldPath>),
    /// All that does not lie on one of these paths or below it; `*` stands for any item of a list.
    AllBut(&'static [FieldPath]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl Propagation {
    /// As `propagationPolicy` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

impl Strategy {
    /// A kind with a spec and nothing special: no defaults, no status, no further validation.
    pub const PLAIN: Self = Self {
        default: |_| {},
        prepare_create: |_| {},
        prepare_update: |_, _| {},
        prepare_status_update: keep_all_but_status,
        validate: |_| Vec::new(),
        validate_create: |_| Vec::new(),
        validate_update: |_, _| Vec::new(),
        validate_status_update: |_, _| Vec::new(),
        prepare_subresource_update: |_, _, _| {},
        validate_subresource_update: |_, _, _| Vec::new(),
        validate_name: dns1123_subdomain,
        any_finalizers: false,
        generation: false,
        create_on_update: false,
        unconditional_update: true,
        grace: |_, _| None,
        prepare_delete: |_| {},
        cleanup_finalizer: None,
        deletion_blocked: |_| false,
        returns_deleted: false,
        default_propagation: Propagation::Background,
        propagation_warning: "",
        warnings: |_| Vec::new(),
        kept_by_status: &[],
        reset: |_| None,
    };

    /// A kind whose status belongs to its controller: clients can not create it, and spec updates keep it.
    pub const WITH_STATUS: Self =
        Self { prepare_create: drop_status, prepare_update: keep_status, generation: true, ..Self::PLAIN };
}

/// Leaves an empty status behind, as upstream's encoding does: patches may rely on its presence.
pub fn drop_status(object: &mut Object) {
    object.0.insert("status".to_owned(), Value::Object(Map::new()));
}

pub fn keep_status(new: &mut Object, old: &Object) {
    copy_field(new, old, "status");
}

/// A status write: everything but `status` and `metadata` comes from the old object, and of the metadata
/// what upstream lets through is decided by the pipeline.
pub fn keep_all_but_status(new: &mut Object, old: &Object) {
    let status = new.0.remove("status");
    let metadata = new.0.remove("metadata");
    new.0 = old.0.clone();
    for (field, value) in [("status", status), ("metadata", metadata)] {
        match value {
            Some(value) => new.0.insert(field.to_owned(), value),
            None => new.0.remove(field),
        };
    }
}

/// Makes `field` what it is in the old object.
pub fn copy_field(new: &mut Object, old: &Object, field: &str) {
    match old.0.get(field) {
        Some(value) => new.0.insert(field.to_owned(), value.clone()),
        None => new.0.remove(field),
    };
}

/// How a version of a kind that is not the stored one becomes it, and back.
#[derive(Clone, Copy)]
pub struct Conversion {
    /// Group and version of what is stored; the key of the stored object is made from that kind's resource.
    pub storage: (&'static str, &'static str),
    pub to_storage: fn(&mut Object),
    pub from_storage: fn(&mut Object),
}

/// A version that is served no longer, but in which upstream's servers store a kind, as JSON.
#[derive(Clone, Copy)]
pub struct Retired {
    pub version: &'static str,
    pub to_storage: fn(&mut Object),
}

/// A version that will go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecation {
    /// Minor releases: `1.34`.
    pub since: &'static str,
    pub removed: &'static str,
    /// `group/version Kind`; empty where nothing is named.
    pub replacement: &'static str,
}

/// One served kind of one version.
#[derive(Clone, Copy)]
pub struct KindDef {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// Plural, lower case, as paths name it.
    pub resource: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub scope: Scope,
    /// The message in the schema table: `io.k8s.api.core.v1.Pod`.
    pub schema: &'static str,
    pub verbs: &'static [Verb],
    pub subresources: &'static [Subresource],
    pub selectable_fields: &'static [SelectableField],
    /// What is said of a field that can not be selected by, where it is not the usual text.
    pub unknown_field: Option<fn(&str) -> String>,
    /// Empty: name and time of creation.
    pub columns: &'static [Column],
    /// In which order a table lists objects, where it is not that of their names.
    pub row_order: Option<fn(&Object, &Object) -> Ordering>,
    /// Reason and message of a row whose object has run its course.
    pub completed: fn(&Object) -> Option<[&'static str; 2]>,
    pub strategy: Strategy,
    /// Nothing when this version is the stored one.
    pub conversion: Option<Conversion>,
    pub retired: Option<Retired>,
    /// Objects name addresses and ports that are the cluster's to give: they are taken when one is written, and given
    /// back when it goes.
    pub takes_addresses: bool,
    /// When what an object tells last happened; such objects do not last. Nothing for kinds that last.
    pub happened: Option<fn(&Object) -> Option<Timestamp>>,
    pub deprecation: Option<Deprecation>,
    /// Only created, never stored: reviews and the like. The apiserver answers them by name.
    pub virtual_kind: bool,
    /// What a definition says of a custom kind.
    pub custom: Option<&'static Custom>,
}

/// Verbs of streams to a container, as discovery lists them.
pub const STREAM_VERBS: &[&str] = &["create", "get"];

/// Verbs of proxied connections, as discovery lists them.
pub const PROXY_VERBS: &[&str] = &["create", "delete", "get", "patch", "update"];

pub const ALL_VERBS: &[Verb] = &[
    Verb::Create,
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Update,
    Verb::Watch,
];

impl KindDef {
    pub const PLAIN: Self = Self {
        group: "",
        version: "v1",
        kind: "",
        resource: "",
        singular: "",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        schema: "",
        verbs: ALL_VERBS,
        subresources: &[],
        selectable_fields: &[],
        unknown_field: None,
        columns: &[],
        row_order: None,
        completed: |_| None,
        strategy: Strategy::PLAIN,
        conversion: None,
        retired: None,
        takes_addresses: false,
        happened: None,
        deprecation: None,
        virtual_kind: false,
        custom: None,
    };

    /// The same in another version, where objects look as they do in the stored one.
    pub const fn again_as(self, version: &'static str, schema: &'static str) -> Self {
        let storage = (self.group, self.version);
        let conversion = Some(Conversion { storage, to_storage: |_| {}, from_storage: |_| {} });
        Self { version, schema, conversion, ..self }
    }

    /// What clients are told who use a version that will go. (upstream: endpoints/deprecation)
    pub fn deprecation_warning(&self) -> Option<String> {
        if let Some(custom) = self.custom {
            return custom.deprecation.clone();
        }
        let Deprecation { since, removed, replacement } = self.deprecation?;
        let (of, kind) = (self.group_version(), self.kind);
        let mut warning = format!("{of} {kind} is deprecated in v{since}+");
        if !removed.is_empty() {
            warning += &format!(", unavailable in v{removed}+");
        }
        if !replacement.is_empty() {
            warning += &format!("; use {replacement}");
        }
        Some(warning)
    }

    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.group, self.version, self.kind)
    }

    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::new(self.group, self.version, self.resource)
    }

    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(self.group, self.version)
    }

    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group, self.resource)
    }

    pub fn list_kind(&self) -> String {
        self.custom.map_or_else(|| format!("{}List", self.kind), |custom| custom.list_kind.to_owned())
    }

    /// Whether objects are stored in this version.
    pub fn is_stored(&self) -> bool {
        match self.custom {
            Some(custom) => custom.family().storage.version == self.version,
            None => self.conversion.is_none() && !self.virtual_kind,
        }
    }

    /// The values of the fields that selectors may name, besides name and namespace.
    pub fn selectable_values(&self, object: &Object) -> Vec<(&'static str, String)> {
        let own = self.selectable_fields.iter().map(|field| (field.name, (field.value)(object)));
        let custom = self.custom.map_or(&[][..], |custom| &custom.selectable);
        if custom.is_empty() {
            return own.collect();
        }
        let value = Value::Object(object.0.clone());
        own.chain(custom.iter().map(|field| (field.name, field.value(&value)))).collect()
    }

    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name() == name)
    }

    /// The fields that get no manager by a write of the object itself (by no name) or of a subresource.
    pub fn reset(&self, subresource: &str) -> Reset {
        let usual = || match subresource {
            "status" => [&[&["spec"] as FieldPath], self.strategy.kept_by_status].concat(),
            _ if self.subresource("status").is_some() => vec![&["status"] as FieldPath],
            _ => Vec::new(),
        };
        (self.strategy.reset)(subresource).unwrap_or_else(|| Reset::Fields(usual()))
    }

    /// What is wrong with selecting by a field; nothing when it can be done.
    ///
    /// upstream: the field label conversions of each version. Kinds without one know names and namespaces, whatever
    /// their scope.
    pub fn field_fault(&self, field: &str) -> Option<String> {
        let own = self.selectable_fields;
        let known = match (field, self.custom) {
            ("metadata.name", _) => true,
            ("metadata.namespace", None) => self.namespaced() || own.is_empty(),
            ("metadata.namespace", Some(_)) => self.namespaced(),
            (_, Some(custom)) => custom.selectable.iter().any(|selectable| selectable.name == field),
            (_, None) => own.iter().any(|selectable| selectable.name == field),
        };
        let text = || match self.unknown_field {
            _ if self.custom.is_some() => format!("field label not supported: {field}"),
            Some(text) => text(field),
            None if own.is_empty() => {
                format!(r#""{field}" is not a known field selector: only "metadata.name", "metadata.namespace""#)
            }
            None => format!("field label not supported: {field}"),
        };
        (!known).then(text)
    }

    /// Whether a subresource's body is the object itself.
    pub fn is_whole(&self, subresource: &str) -> bool {
        matches!(self.subresource(subresource), Some(Subresource::Other(other)) if other.kind == self.kind)
    }

    pub fn shown_columns(&self) -> &'static [Column] {
        if self.columns.is_empty() { crate::columns::IMPLIED } else { self.columns }
    }

    pub fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}

/// Stage (stable 3, beta 2, alpha 1, anything else 0), major and minor number.
pub fn stability(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    match (rest.split_once("beta"), rest.split_once("alpha")) {
        (Some((major, minor)), _) => (2, number(major), number(minor)),
        (_, Some((major, minor))) => (1, number(major), number(minor)),
        _ => (3, number(rest), 0),
    }
}

impl std::fmt::Debug for KindDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.gvk())
    }
}

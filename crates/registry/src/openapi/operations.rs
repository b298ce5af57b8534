//! What can be done at a path, whichever version of OpenAPI says it.

use kinds::{KindDef, Verb};
use machinery::GroupVersionKind;
use serde_json::{Value, json};

use super::definitions::{DELETE_OPTIONS, PATCH_BODY, STATUS, definition_name};
use super::parameters::{self, Parameter};

#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// `get`, `post` and so on.
    pub method: &'static str,
    pub id: String,
    pub description: String,
    pub tag: String,
    /// Upstream's word: `list`, `deletecollection`, `connect`.
    pub action: &'static str,
    pub gvk: Value,
    pub parameters: &'static [Parameter],
    pub body: Option<Body>,
    /// The definition of what is sent and answered; empty for a text.
    pub object: String,
    pub answer: String,
    pub codes: &'static [u16],
    /// Of a custom kind, which has fewer forms.
    pub custom: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Object,
    Patch,
    DeleteOptions,
}

impl Body {
    pub fn definition(self, operation: &Operation) -> &str {
        match self {
            Self::Object => &operation.object,
            Self::Patch => PATCH_BODY,
            Self::DeleteOptions => DELETE_OPTIONS,
        }
    }

    pub fn is_required(self) -> bool {
        self != Self::DeleteOptions
    }
}

/// What an operation is about: a kind, or a subresource of it that may have a kind of its own.
pub(super) struct Subject<'a> {
    pub kind: &'a KindDef,
    pub gvk: GroupVersionKind,
    /// The definition of the object.
    pub definition: String,
    /// Empty, or the subresource's name.
    pub subresource: &'a str,
    pub namespaced: bool,
}

impl<'a> Subject<'a> {
    pub fn kind(kind: &'a KindDef) -> Self {
        Self {
            kind,
            gvk: kind.gvk(),
            definition: definition_name(kind),
            subresource: "",
            namespaced: kind.namespaced(),
        }
    }

    pub fn subresource(kind: &'a KindDef, name: &'a str) -> Self {
        Self { subresource: name, ..Self::kind(kind) }
    }

    /// The operation of a verb on one object or, where the verb says so, on a collection.
    pub fn operation(&self, verb: Verb) -> Option<Operation> {
        let Self { kind, definition, .. } = self;
        let name = &self.gvk.kind;
        let what = if self.subresource.is_empty() {
            name.clone()
        } else {
            format!("{} of the specified {}", self.subresource, kind.kind)
        };
        let base = Operation {
            method: "get",
            id: String::new(),
            description: String::new(),
            tag: format!("{}_{}", group_word(kind), kind.version),
            action: "get",
            gvk: json!({"group": self.gvk.group, "version": self.gvk.version, "kind": self.gvk.kind}),
            parameters: &[],
            body: None,
            object: definition.clone(),
            answer: definition.clone(),
            codes: &[200],
            custom: kind.custom.is_some(),
        };
        let whole = |verb: &str| self.id(verb, "");
        let operation = match verb {
            Verb::Get => Operation { id: whole("read"), description: format!("read {}", specified(&what)), ..base },
            Verb::List => Operation {
                id: whole("list"),
                description: format!("list or watch objects of kind {name}"),
                action: "list",
                parameters: parameters::LIST,
                answer: format!("{definition}List"),
                ..base
            },
            Verb::Create => Operation {
                method: "post",
                id: whole("create"),
                description: format!("create a {what}"),
                action: "post",
                parameters: parameters::WRITE,
                body: Some(Body::Object),
                codes: &[200, 201, 202],
                ..base
            },
            Verb::Update => Operation {
                method: "put",
                id: whole("replace"),
                description: format!("replace {}", specified(&what)),
                action: "put",
                parameters: parameters::WRITE,
                body: Some(Body::Object),
                codes: &[200, 201],
                ..base
            },
            Verb::Patch => Operation {
                method: "patch",
                id: whole("patch"),
                description: format!("partially update {}", specified(&what)),
                action: "patch",
                parameters: parameters::PATCH,
                body: Some(Body::Patch),
                codes: &[200, 201],
                ..base
            },
            Verb::Delete => Operation {
                method: "delete",
                id: whole("delete"),
                description: format!("delete a {what}"),
                action: "delete",
                parameters: parameters::DELETE,
                body: Some(Body::DeleteOptions),
                answer: if kind.strategy.returns_deleted { definition.clone() } else { STATUS.to_owned() },
                codes: &[200, 202],
                ..base
            },
            Verb::DeleteCollection => Operation {
                method: "delete",
                id: self.id("delete", "Collection"),
                description: format!("delete collection of {name}"),
                action: "deletecollection",
                parameters: parameters::DELETE_COLLECTION,
                body: Some(Body::DeleteOptions),
                answer: STATUS.to_owned(),
                ..base
            },
            Verb::Watch => return None,
        };
        Some(operation)
    }

    /// A list over all namespaces.
    pub fn list_everywhere(&self) -> Option<Operation> {
        let list = self.operation(Verb::List)?;
        let name = &self.gvk.kind;
        Some(Operation { id: format!("list{}{name}ForAllNamespaces", group_version_word(self.kind)), ..list })
    }

    /// A connection to the node or behind it; nothing for a verb that is no method.
    pub fn connection(&self, verb: &str) -> Option<Operation> {
        let method = match verb {
            "get" => "get",
            "create" => "post",
            "update" => "put",
            "patch" => "patch",
            "delete" => "delete",
            _ => return None,
        };
        let (upper, name, subresource) = (capital(method), self.kind.kind, self.subresource);
        let get = self.operation(Verb::Get)?;
        Some(Operation {
            method,
            id: self.id("connect", &upper),
            description: format!("connect {} requests to {subresource} of {name}", method.to_uppercase()),
            action: "connect",
            answer: String::new(),
            ..get
        })
    }

    /// `readCoreV1NamespacedPodStatus`
    fn id(&self, verb: &str, middle: &str) -> String {
        let scope = if self.namespaced { "Namespaced" } else { "" };
        let words: String = self.subresource.split('/').map(capital).collect();
        format!("{verb}{}{middle}{scope}{}{words}", group_version_word(self.kind), self.kind.kind)
    }
}

fn specified(what: &str) -> String {
    if what.contains(' ') { what.to_owned() } else { format!("the specified {what}") }
}

pub(super) fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

/// `core`, `apps`, `rbacAuthorization`: the group without its common ending.
fn group_word(kind: &KindDef) -> String {
    if kind.group.is_empty() {
        return "core".to_owned();
    }
    let short = kind.group.strip_suffix(".k8s.io").unwrap_or(kind.group);
    let mut words = short.split('.');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| text + &capital(word))
}

fn group_version_word(kind: &KindDef) -> String {
    format!("{}{}", capital(&group_word(kind)), capital(kind.version))
}

//! Custom kinds: those that a CustomResourceDefinition defines while the server runs.
//!
//! Each version of a definition is a [`KindDef`] like any other, with a [`Custom`] besides. They are made once for each
//! content of a definition and live as long as the process, but for their schemas, which rest while nobody serves them
//! (docs/decisions/0009).

mod columns;
mod compile;
mod content;
mod form;
mod read;
mod serve;
mod validate;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use machinery::jsonpath::JsonPath;
use serde_json::Value;

use crate::def::KindDef;

pub use columns::PrinterColumn;
pub use compile::family;
use content::{Content, Packed};
pub use serve::{is_served, is_terminating};

/// All versions of what one definition defines.
#[derive(Debug)]
pub struct Family {
    /// The definition's name: `widgets.example.com`.
    pub definition: &'static str,
    /// In the definition's order, those that are not served too.
    pub versions: Vec<&'static KindDef>,
    pub served: Vec<&'static KindDef>,
    pub storage: &'static KindDef,
    /// How versions become each other; nothing where they differ by name alone.
    pub webhook: Option<Webhook>,
}

/// A conversion webhook, as `spec.conversion.webhook` has it.
#[derive(Debug)]
pub struct Webhook {
    /// `WebhookClientConfig`.
    pub client: Value,
    /// Versions of ConversionReview that it takes, the preferred one first.
    pub reviews: Vec<String>,
}

impl Family {
    /// Gives back the memory of schemas that are not served any more.
    pub fn rest(&self) {
        self.each(|kept| match kept {
            Kept::Whole(content) => Some(Kept::Resting(content.pack())),
            Kept::Resting(_) => None,
        });
    }

    fn wake(&self) {
        self.each(|kept| match kept {
            Kept::Whole(_) => None,
            Kept::Resting(packed) => Some(Kept::Whole(packed.unpack().into())),
        });
    }

    fn each(&self, change: fn(&Kept) -> Option<Kept>) {
        for custom in self.versions.iter().filter_map(|kind| kind.custom) {
            let mut kept = custom.schema.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(changed) = change(&kept) {
                *kept = changed;
            }
        }
    }

    /// The version that an object says it is of.
    pub fn version(&self, api_version: &str) -> Option<&'static KindDef> {
        let version = api_version.strip_prefix(self.storage.group)?.strip_prefix('/')?;
        self.versions.iter().copied().find(|kind| kind.version == version)
    }
}

/// What a version of a definition says besides names.
pub struct Custom {
    pub list_kind: &'static str,
    /// Shown behind the name.
    pub columns: Vec<PrinterColumn>,
    pub selectable: Vec<SelectableField>,
    /// What clients are told who use this version.
    pub deprecation: Option<String>,
    /// Where `autoscaling/v1` Scale is, as the definition writes it: replicas wanted, those there are, and the selector.
    scale: Option<[String; 3]>,
    /// All unknown fields stay, as long ago.
    pub preserves: bool,
    schema: RwLock<Kept>,
    family: OnceLock<&'static Family>,
}

/// What is kept of a version's schema.
enum Kept {
    Whole(Arc<Content>),
    /// Not much: it is not served.
    Resting(Packed),
}

/// A field that selectors may name.
pub struct SelectableField {
    /// `spec.color`
    pub name: &'static str,
    path: JsonPath,
}

impl Custom {
    pub fn family(&self) -> &'static Family {
        self.family.get().expect("a family is known before its kinds are")
    }

    /// The schema. Whoever still has the kind when it is served no more can go on.
    pub fn content(&self) -> Arc<Content> {
        match &*self.schema.read().unwrap_or_else(PoisonError::into_inner) {
            Kept::Whole(content) => content.clone(),
            Kept::Resting(packed) => packed.unpack().into(),
        }
    }

    /// Whether objects become other versions by a webhook.
    pub fn webhook(&self) -> Option<&'static Webhook> {
        self.family().webhook.as_ref()
    }
}

impl SelectableField {
    /// The value as selectors compare it; empty where there is none.
    pub fn value(&self, object: &Value) -> String {
        match self.path.find(object).first() {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

impl std::fmt::Debug for Custom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custom").field("list_kind", &self.list_kind).finish_non_exhaustive()
    }
}

//! Custom kinds: those that a CustomResourceDefinition defines while the server runs.
//!
//! Each version of a definition is a [`KindDef`] like any other, with a [`Custom`] besides. They are made once for each
//! content of a definition and live as long as the process (docs/decisions/0009).

mod columns;
mod compile;
mod form;
mod read;
mod serve;
mod validate;

use std::sync::OnceLock;

use machinery::jsonpath::JsonPath;
use serde_json::Value;
use structural::Schema;

use crate::def::KindDef;

pub use columns::PrinterColumn;
pub use compile::family;
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
    /// `openAPIV3Schema`, compiled when it is first asked for: most definitions of a cluster rest.
    source: Box<str>,
    schema: OnceLock<Schema>,
    form: OnceLock<machinery::apply::Node>,
    family: OnceLock<&'static Family>,
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

    /// The same as text.
    pub fn source_text(&self) -> &str {
        &self.source
    }

    /// The schema as the definition has it.
    pub fn source(&self) -> Value {
        serde_json::from_str(&self.source).expect("it was printed when the definition was compiled")
    }

    pub fn schema(&self) -> &Schema {
        self.schema.get_or_init(|| Schema::root(&self.source()))
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

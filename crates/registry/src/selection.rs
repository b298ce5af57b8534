//! Which objects a list or watch is about.

use std::sync::Arc;

use kinds::KindDef;
use machinery::ApiError;
use machinery::selector::{FieldSelector, LabelSelector};

use crate::conversion::converts_by_webhook;
use crate::convert::view;
use crate::entry::Entry;
use crate::keys::object_key;

/// A kind, a namespace or all, and selectors.
#[derive(Clone, Debug)]
pub struct Selection {
    kind: &'static KindDef,
    /// Empty for all.
    namespace: Box<str>,
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
}

impl Selection {
    pub fn new(kind: &'static KindDef, namespace: &str, labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = LabelSelector::parse(labels).map_err(|error| unparsable(&error))?;
        let fields = FieldSelector::parse(fields).map_err(|error| unparsable(&error))?;
        for requirement in fields.requirements() {
            kind.field_fault(&requirement.field).map_or(Ok(()), |fault| Err(ApiError::bad_request(fault)))?;
        }
        Ok(Self {
            kind,
            namespace: if kind.namespaced() { namespace.into() } else { "".into() },
            labels: Some(labels).filter(|labels| !labels.is_everything()),
            fields: Some(fields).filter(|fields| !fields.is_everything()),
        })
    }

    pub fn kind(&self) -> &'static KindDef {
        self.kind
    }

    /// Whether every object of the namespace is selected.
    pub fn takes_all(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    /// The one name that can be selected, if the field selector says so.
    pub fn exact_name(&self) -> Option<&str> {
        self.fields.as_ref()?.exact("metadata.name")
    }

    /// The key of the one object that can be selected, if that is known; `stored` is the stored version.
    pub fn exact_key(&self, stored: &KindDef) -> Option<Box<str>> {
        let name = self.exact_name().filter(|_| !stored.namespaced() || !self.namespace.is_empty())?;
        Some(object_key(stored, &self.namespace, name).into())
    }

    /// The same without what the version may matter to: only a name that is asked for stays.
    pub fn of_any_version(&self) -> Self {
        let name = self.exact_name().and_then(|name| FieldSelector::parse(&format!("metadata.name={name}")).ok());
        Self { labels: None, fields: name, ..self.clone() }
    }

    /// The object, if it is selected: in the version asked for, unless a webhook is yet to make that of it.
    pub fn pick(&self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        if !self.namespace.is_empty() && entry.namespace() != &*self.namespace {
            return None;
        }
        let seen = if converts_by_webhook(self.kind) { entry.clone() } else { view(entry, self.kind) };
        self.matches(&seen).then_some(seen)
    }

    fn matches(&self, entry: &Entry) -> bool {
        self.labels.as_ref().is_none_or(|labels| labels.matches_map(entry.labels()))
            && self.fields.as_ref().is_none_or(|fields| fields.matches(&|field| entry.field(field)))
    }
}

fn unparsable(error: &machinery::selector::Error) -> ApiError {
    ApiError::bad_request(error.to_string())
}

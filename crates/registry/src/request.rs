//! What a caller asks of the registry, in typed form. HTTP is parsed into this by the apiserver.

use std::collections::BTreeMap;

use kinds::Propagation;
use machinery::{ApiError, Object, UserInfo};
use tokio::time::Instant;

use crate::conversion::Conversions;

/// Who asks, and what holds for the whole request.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub user: UserInfo,
    /// Everything but the write happens.
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    /// Recorded with the write; the user agent's first word when the client names none.
    pub field_manager: String,
    /// Why the caller may not create objects, for writes that make what is not there.
    pub create_denied: Option<ApiError>,
    /// Warnings for the client, collected on the way.
    pub warnings: Warnings,
    /// What admission wants the audit log to say of the request.
    pub annotations: Annotations,
    pub conversions: Conversions,
}

impl Context {
    /// The API server itself, which acts for nobody.
    pub fn of_server() -> Self {
        let user = UserInfo::new("system:apiserver", &[UserInfo::MASTERS]);
        Self { user, field_manager: "kube-apiserver".to_owned(), ..Self::default() }
    }

    /// Asked where a write turns out to make the object.
    pub fn may_create(&self) -> Result<(), ApiError> {
        self.create_denied.clone().map_or(Ok(()), Err)
    }
}

/// `fieldValidation`: what becomes of unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

impl FieldValidation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::Warn => "Warn",
            Self::Strict => "Strict",
        }
    }
}

/// Warnings of one answer; who is told so many does not read more.
const WARNINGS_MAX: usize = 100;

/// Warnings collected while a request is served; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Warnings(std::sync::Arc<parking_lot::Mutex<Vec<String>>>);

impl Warnings {
    pub fn add(&self, warning: impl Into<String>) {
        let warning = warning.into();
        if warning.is_empty() {
            return;
        }
        let mut warnings = self.0.lock();
        if warnings.len() < WARNINGS_MAX && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Audit annotations of one request; what would be more is left out.
const ANNOTATIONS_MAX: usize = 1000;

/// Audit annotations collected while a request is served; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Annotations(std::sync::Arc<parking_lot::Mutex<BTreeMap<String, Annotation>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub value: String,
    /// Tells what is in the request: for audit logs that record its body.
    pub of_body: bool,
}

impl Annotations {
    /// The first value of a key stays.
    pub fn add(&self, key: impl Into<String>, value: impl Into<String>) {
        self.insert(key.into(), Annotation { value: value.into(), of_body: false });
    }

    pub fn add_of_body(&self, key: impl Into<String>, value: impl Into<String>) {
        self.insert(key.into(), Annotation { value: value.into(), of_body: true });
    }

    fn insert(&self, key: String, annotation: Annotation) {
        let mut annotations = self.0.lock();
        if annotations.len() < ANNOTATIONS_MAX {
            annotations.entry(key).or_insert(annotation);
        }
    }

    pub fn take(&self) -> BTreeMap<String, Annotation> {
        std::mem::take(&mut self.0.lock())
    }
}

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    NotOlderThan,
    Exact,
}

#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// As sent; empty selects everything.
    pub label_selector: String,
    pub field_selector: String,
    /// Zero: no limit.
    pub limit: usize,
    /// The token of an earlier page.
    pub continue_token: String,
    /// Empty: the newest. `"0"`: anything at hand.
    pub resource_version: String,
    pub version_match: Option<VersionMatch>,
}

#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    pub label_selector: String,
    pub field_selector: String,
    /// Empty or `"0"`: begins with an ADDED event for everything at hand.
    pub resource_version: String,
    pub allow_bookmarks: bool,
    /// `sendInitialEvents`: whether it begins with what is there, and then ends that with a bookmark that says so.
    pub send_initial_events: Option<bool>,
    /// When the watch will be ended; a bookmark comes shortly before.
    pub deadline: Option<Instant>,
}

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub propagation: Option<Propagation>,
}

/// A patch, by its content type.
#[derive(Clone, Debug)]
pub enum Patch {
    /// `application/json-patch+json`
    Json(serde_json::Value),
    /// `application/merge-patch+json`
    Merge(serde_json::Value),
    /// `application/strategic-merge-patch+json`
    Strategic(serde_json::Value),
    /// `application/apply-patch+yaml`; `force` takes what others own.
    Apply { config: Object, force: bool },
}

/// What a write touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    #[default]
    Main,
    Status,
    Scale,
    /// Another subresource whose body is the object itself: `ephemeralcontainers`, `resize`, `approval`.
    Other(&'static str),
}

/// One write as admission sees it.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionRequest<'a> {
    pub context: &'a Context,
    pub kind: &'static kinds::KindDef,
    /// `create`, `update`, `delete`, `connect`.
    pub operation: Operation,
    /// Empty for the object itself.
    pub subresource: &'a str,
    pub namespace: &'a str,
    /// May be empty on creation with `generateName`.
    pub name: &'a str,
    /// The object as it was, on update and delete.
    pub old: Option<&'a Object>,
    /// What a deletion was asked for with.
    pub deletion: Option<&'a DeleteOptions>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

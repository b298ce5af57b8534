//! One request on its way through the server.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{EXPECT, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Version};
use kinds::KindDef;
use machinery::{ApiError, Reason, UserInfo};
use parking_lot::Mutex;
use registry::{Annotations, Context, FieldValidation, Warnings};
use trace::attribute;

use crate::audit::{AUDIT_ID, Auditing};
use crate::body::{self, Body};
use crate::fairness::Schema;
use crate::info::RequestInfo;
use crate::negotiate::{self, Accept, Offer};
use crate::options;
use crate::query::Query;

pub struct Call {
    pub parts: Parts,
    pub info: RequestInfo,
    pub query: Query,
    /// The kind that is addressed, if it is one of this server's.
    pub kind: Option<&'static KindDef>,
    /// Who asks; anonymous until authentication has said so.
    pub user: UserInfo,
    /// Made by a component of this process, not read from a connection.
    pub local: bool,
    pub warnings: Warnings,
    /// What admission wants the audit log to say.
    pub annotations: Annotations,
    /// The rules of fairness that the request is under, once they are known.
    pub flow: Option<Arc<Schema>>,
    /// What the audit log will say of the request, if anything.
    pub auditing: Option<Auditing>,
    /// What traces say of the request, if it is sampled.
    pub span: Option<trace::Span>,
    /// How long the body was, once it was read.
    pub body_bytes: usize,
    /// More than its limit, so that some of it was left.
    body_is_too_large: bool,
    /// How long it waited for its turn.
    pub waited: Duration,
    audit_id: OnceLock<String>,
    /// Behind a lock only because bodies are not `Sync` and a request is shared between awaits.
    body: Mutex<Option<Body>>,
}

impl Call {
    pub fn new(parts: Parts, body: Body) -> Self {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let info = RequestInfo::new(&parts.method, parts.uri.path(), &query);
        let (user, warnings) = (UserInfo::anonymous(), Warnings::default());
        let body = Mutex::new(Some(body));
        Self {
            parts,
            info,
            query,
            kind: None,
            user,
            local: false,
            warnings,
            annotations: Annotations::default(),
            flow: None,
            auditing: None,
            span: None,
            body_bytes: 0,
            body_is_too_large: false,
            waited: Duration::ZERO,
            audit_id: OnceLock::new(),
            body,
        }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The body as it comes in; empty when it was taken before.
    pub fn take_body(&mut self) -> Body {
        self.body.get_mut().take().unwrap_or_else(body::empty)
    }

    /// Whether the connection can go on: over HTTP/1.1 a body has to be read before the next request is, asked for or not.
    pub async fn finish_body(&mut self) -> bool {
        if self.local || self.parts.version > Version::HTTP_11 {
            return true;
        }
        match self.body.get_mut().take() {
            Some(body) if http_body::Body::is_end_stream(&body) => true,
            // Who expects to be told whether to send it was not told to.
            Some(body) => !self.parts.headers.contains_key(EXPECT) && body::pass_over(body).await,
            None => !self.body_is_too_large,
        }
    }

    /// By which the audit log and traces know the request: the client's own, if it is one that fits in a header.
    pub fn audit_id(&self) -> &str {
        self.audit_id.get_or_init(|| {
            let given = self.parts.headers.get(AUDIT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
            given.map_or_else(clock::uuid, str::to_owned)
        })
    }

    /// The whole body, within its limit.
    pub async fn read_body(&mut self) -> Result<Bytes, ApiError> {
        let body = self.take_body();
        let read = body::read(&self.parts.headers, body).await;
        let bytes = read.inspect_err(|error| {
            self.body_is_too_large = error.reason == Reason::RequestEntityTooLarge;
            trace::event("limitedReadBody failed", || vec![attribute("err", error.message.as_str())]);
        })?;
        self.body_bytes = bytes.len();
        trace::event("limitedReadBody succeeded", || vec![attribute("len", bytes.len())]);
        if let Some(auditing) = &mut self.auditing {
            auditing.request_body(&bytes);
        }
        Ok(bytes)
    }

    pub fn accept(&self, offer: Offer) -> Result<Accept, ApiError> {
        negotiate::accept(&self.parts.headers, &self.query, offer)
    }

    /// The namespace for the registry: empty for kinds of cluster scope, namespaces among them.
    pub fn namespace(&self, kind: &KindDef) -> &str {
        if kind.namespaced() { &self.info.namespace } else { "" }
    }

    /// What the registry wants to know about a write; deletions have options of their own ([`crate::options::delete`]).
    pub fn context(&self) -> Result<Context, ApiError> {
        let (kind, is_apply) = match self.info.verb.as_str() {
            "create" => ("CreateOptions", None),
            "update" => ("UpdateOptions", None),
            "patch" => ("PatchOptions", Some(negotiate::content_type(self.headers()) == APPLY)),
            _ => ("DeleteOptions", None),
        };
        if kind != "DeleteOptions" {
            options::check(kind, &options::write_problems(&self.query, is_apply))?;
        }
        Ok(Context {
            user: self.user.clone(),
            dry_run: self.query.has("dryRun"),
            field_validation: self.field_validation(),
            field_manager: self.field_manager(),
            create_denied: None,
            warnings: self.warnings.clone(),
            annotations: self.annotations.clone(),
            conversions: registry::Conversions::default(),
        })
    }

    fn field_validation(&self) -> FieldValidation {
        match self.query.get("fieldValidation") {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            _ => FieldValidation::Warn,
        }
    }

    /// The user agent's first word stands in for a manager that is not named, and a component of the cluster needs
    /// no user agent to be known.
    fn field_manager(&self) -> String {
        let manager = self.query.get("fieldManager");
        if !manager.is_empty() {
            return manager.to_owned();
        }
        let agent = self.parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        agent.map_or_else(|| component(&self.user.name).to_owned(), manager_of)
    }
}

/// The media type of configurations to apply.
pub const APPLY: &str = "application/apply-patch+yaml";

/// Characters of a user agent that name a manager.
const MANAGER_MAX: usize = 128;

/// The component that acts as this user; empty when it is none.
fn component(user: &str) -> &str {
    match user.strip_prefix("system:") {
        Some("apiserver") => "kube-apiserver",
        Some(name) if name.starts_with("node:") => "kubelet",
        Some(name) if !name.contains(':') => name,
        _ => "",
    }
}

/// The manager that a user agent stands for: what is before the version, as far as it can be printed.
fn manager_of(agent: &str) -> String {
    let name = agent.split('/').next().unwrap_or_default();
    name.chars().take(MANAGER_MAX).filter(|c| !c.is_control()).collect()
}

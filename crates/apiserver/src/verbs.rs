//! The verbs of objects and collections.

use http::StatusCode;
use kinds::{KindDef, Verb};
use machinery::selector::FieldSelector;
use machinery::{ApiError, Object, Reason};
use registry::{DeleteOptions, Deleted, Entry, FieldValidation, Patch, Target, Written};
use serde_json::{Value, json};

use crate::call::{APPLY, Call};
use crate::decode;
use crate::negotiate::{self, Accept, Format, Offer};
use crate::respond::{self, Answer};
use crate::server::Server;
use crate::{options, spans, watch};

/// Nothing says how lists of custom resources merge strategically.
const CUSTOM_PATCH_TYPES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

impl Server {
    /// A request for objects of `kind` themselves.
    pub(crate) async fn serve_kind(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        check_path(call, kind)?;
        match call.info.verb.as_str() {
            "get" => self.get(call, kind).await,
            "list" => self.list(call, kind).await,
            "watch" => self.watch(call, kind).await,
            "create" => self.create(call, kind).await,
            "update" => self.update(call, kind, Target::Main).await,
            "patch" => self.patch(call, kind, Target::Main).await,
            "delete" => self.delete(call, kind).await,
            "deletecollection" => self.delete_collection(call, kind).await,
            _ => Err(no_such_method()),
        }
    }

    pub(crate) async fn get(&self, call: &Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(kind))?;
        let version = call.query.get("resourceVersion");
        trace::event("About to Get from storage", Vec::new);
        let entry = self.registry().get(kind, call.namespace(kind), &call.info.name, version).await?;
        Ok(respond::entry(call, accept, kind, StatusCode::OK, &entry))
    }

    async fn list(&self, call: &Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(kind))?;
        let options = options::list(&call.query)?;
        trace::event("About to List from storage", Vec::new);
        let list = self.registry().list(kind, call.namespace(kind), &options).await?;
        trace::event("Listing from storage done", Vec::new);
        Ok(respond::list(call, accept, kind, list))
    }

    async fn watch(&self, call: &Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(kind))?;
        let mut wanted = options::watch(&call.query)?;
        select_name(&call.info.name, &mut wanted.field_selector)?;
        let deadline = clock::monotonic() + watch::timeout(&call.query)?;
        wanted.deadline = Some(deadline);
        let events = match self.registry().watch(kind, call.namespace(kind), &wanted).await {
            Err(error) if matches!(error.reason, Reason::Expired | Reason::Timeout) => {
                return Ok(watch::failed(accept, &error));
            }
            events => events?,
        };
        let guard = (self.counts().watched(kind), self.metrics().long_running(&call.info, Some(kind)));
        watch::answer(call, accept, kind, events, deadline, self.closing(), guard)
    }

    async fn create(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(kind))?;
        let context = call.context()?;
        let body = decode::object(call, kind, context.field_validation).await?;
        spans::storing();
        let written = self.registry().create(&context, kind, call.namespace(kind), body).await;
        spans::stored(call, &written);
        Ok(respond::entry(call, accept, kind, StatusCode::CREATED, &*written?))
    }

    pub(crate) async fn update(
        &self,
        call: &mut Call,
        kind: &'static KindDef,
        target: Target,
    ) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(kind))?;
        let mut context = call.context()?;
        if kind.strategy.create_on_update && target == Target::Main {
            context.create_denied = self.may_also(call, "create").await.err();
        }
        let body = decode::object(call, kind, context.field_validation).await?;
        let (namespace, name) = (call.namespace(kind), call.info.name.as_str());
        spans::storing();
        let written = self.registry().update(&context, kind, namespace, name, target, body).await;
        spans::stored(call, &written);
        Ok(answer_written(call, accept, kind, &written?))
    }

    pub(crate) async fn patch(
        &self,
        call: &mut Call,
        kind: &'static KindDef,
        target: Target,
    ) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(kind))?;
        let mut context = call.context()?;
        let patch = read_patch(call, kind).await?;
        if matches!(patch, Patch::Apply { .. }) {
            context.create_denied = self.may_also(call, "create").await.err();
        }
        let (namespace, name) = (call.namespace(kind), call.info.name.as_str());
        trace::event("About to apply patch", Vec::new);
        let written = self.registry().patch(&context, kind, namespace, name, target, &patch).await?;
        trace::event("Object stored in database", Vec::new);
        Ok(answer_written(call, accept, kind, &written))
    }

    async fn delete(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(kind))?;
        let mut context = call.context()?;
        let body = decode::delete_options(call).await?;
        let (wanted, dry_run) = options::delete(&call.query, body.as_ref())?;
        context.dry_run |= dry_run;
        warn_of_propagation(call, kind, &wanted);
        let (namespace, name) = (call.namespace(kind), call.info.name.as_str());
        trace::event("About to delete object from database", Vec::new);
        let deleted = self.registry().delete(&context, kind, namespace, name, &wanted).await?;
        trace::event("Object deleted from database", Vec::new);
        Ok(match &deleted {
            Deleted::Gone(entry) if !kind.strategy.returns_deleted => respond::value(
                call,
                accept,
                StatusCode::OK,
                respond::STATUS,
                &respond::success(deleted_details(kind, entry)),
            ),
            Deleted::Gone(entry) | Deleted::Pending(entry) => respond::entry(call, accept, kind, StatusCode::OK, entry),
        })
    }

    async fn delete_collection(&self, call: &mut Call, kind: &'static KindDef) -> Result<Answer, ApiError> {
        let accept = call.accept(Offer::of(kind))?;
        let mut context = call.context()?;
        let body = decode::delete_options(call).await?;
        let (wanted, dry_run) = options::delete(&call.query, body.as_ref())?;
        context.dry_run |= dry_run;
        warn_of_propagation(call, kind, &wanted);
        let which = options::list(&call.query)?;
        let list = self.registry().delete_collection(&context, kind, call.namespace(kind), &which, &wanted).await?;
        Ok(respond::list(call, accept, kind, list))
    }
}

/// Not everybody expects what becomes of dependents.
fn warn_of_propagation(call: &Call, kind: &KindDef, wanted: &DeleteOptions) {
    let warning = kind.strategy.propagation_warning;
    if wanted.propagation.is_none() && !warning.is_empty() {
        call.warnings.add(warning);
    }
}

/// Narrows a selector to the object that the path names, as the old form of a watch does.
fn select_name(name: &str, field_selector: &mut String) -> Result<(), ApiError> {
    if !name.is_empty() && field_selector.is_empty() {
        *field_selector = format!("metadata.name={name}");
    }
    let selected = FieldSelector::parse(field_selector)?;
    if !name.is_empty() && selected.exact("metadata.name") != Some(name) {
        return Err(ApiError::bad_request("fieldSelector metadata.name doesn't match requested name"));
    }
    Ok(())
}

/// Paths that route to the kind but that upstream does not serve, and verbs that the kind does not have.
fn check_path(call: &Call, kind: &KindDef) -> Result<(), ApiError> {
    let info = &call.info;
    let in_namespace = !info.namespace.is_empty();
    if in_namespace && !kind.namespaced() && kind.resource != "namespaces" {
        return Err(ApiError::no_such_path());
    }
    let named = matches!(info.verb.as_str(), "get" | "update" | "patch" | "delete");
    if kind.namespaced() && !in_namespace {
        match info.verb.as_str() {
            "create" | "deletecollection" => return Err(no_such_method()),
            _ if named => return Err(ApiError::no_such_path()),
            _ => {}
        }
    }
    if named && info.name.is_empty() || info.verb == "create" && !info.name.is_empty() {
        return Err(no_such_method());
    }
    let verb = verb(&info.verb).ok_or_else(no_such_method)?;
    if kind.allows(verb) { Ok(()) } else { Err(no_such_method()) }
}

fn verb(name: &str) -> Option<Verb> {
    kinds::ALL_VERBS.iter().copied().find(|verb| verb.name() == name)
}

pub(crate) fn no_such_method() -> ApiError {
    let why = "the server does not allow this method on the requested resource";
    ApiError { details: Some(Box::default()), ..ApiError::new(Reason::MethodNotAllowed, why) }
}

pub(crate) fn answer_written(call: &Call, accept: Accept, kind: &'static KindDef, written: &Written) -> Answer {
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    respond::entry(call, accept, kind, status, &written.entry)
}

fn deleted_details(kind: &KindDef, entry: &Entry) -> Value {
    let mut details = json!({"name": entry.name(), "kind": kind.resource, "uid": entry.object().uid()});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    details
}

/// The patch in the body, by its content type.
pub(crate) async fn read_patch(call: &mut Call, kind: &KindDef) -> Result<Patch, ApiError> {
    if negotiate::content_type(call.headers()) == APPLY {
        return read_config(call).await;
    }
    let make: fn(Value) -> Patch = match negotiate::content_type(call.headers()) {
        "application/json-patch+json" => Patch::Json,
        "application/merge-patch+json" => Patch::Merge,
        "application/strategic-merge-patch+json" if kind.custom.is_none() => Patch::Strategic,
        _ if kind.custom.is_some() => return Err(negotiate::unsupported_media_type(CUSTOM_PATCH_TYPES)),
        // Upstream's router says so before its handlers are asked.
        _ => {
            let why = "415: Unsupported Media Type";
            let details = Some(Box::default());
            return Err(ApiError { details, ..ApiError::new(Reason::UnsupportedMediaType, why) });
        }
    };
    let bytes = call.read_body().await?;
    let (value, mut problems) = match (machinery::decode::parse_json(&bytes), make(Value::Null)) {
        (Err(error), Patch::Strategic(_)) => return Err(error),
        (Err(error), _) => return Err(ApiError::bad_request(format!("error decoding patch: {}", error.message))),
        (Ok(parsed), _) => parsed,
    };
    let patch = make(value);
    if let Patch::Json(operations) = &patch {
        let repeated = problems.into_iter().map(|problem| format!("json patch {problem}"));
        problems = repeated.chain(machinery::patch::unknown_of_json_patch(operations)).collect();
    }
    match call.context()?.field_validation {
        FieldValidation::Strict if !problems.is_empty() => {
            let why = format!("strict decoding error: {}", problems.join(", "));
            return Err(machinery::decode::invalid_patch(&String::from_utf8_lossy(&bytes), why));
        }
        FieldValidation::Ignore => {}
        _ => problems.into_iter().for_each(|problem| call.warnings.add(problem)),
    }
    Ok(patch)
}

/// A configuration to apply. Repeated fields become warnings or an error, as asked for.
async fn read_config(call: &mut Call) -> Result<Patch, ApiError> {
    let bytes = call.read_body().await?;
    let parsed = machinery::decode::parse_yaml(&bytes);
    let told = |why: &str| ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {why}"));
    let (value, repeats) = parsed.map_err(|error| told(&error.message))?;
    let repeats: Vec<String> =
        repeats.into_iter().map(|told| format!("error converting YAML to JSON: {told}")).collect();
    let config = Object::from_value(value)
        .ok_or_else(|| ApiError::bad_request("error decoding YAML: the configuration is no object"))?;
    match call.context()?.field_validation {
        FieldValidation::Strict if !repeats.is_empty() => {
            return Err(ApiError::bad_request(format!("error strict decoding YAML: {}", repeats.join(", "))));
        }
        FieldValidation::Ignore => {}
        _ => repeats.into_iter().for_each(|problem| call.warnings.add(problem)),
    }
    Ok(Patch::Apply { config, force: call.query.flag("force") })
}

/// The format of an answer that has but one shape.
pub(crate) fn plain_accept(call: &Call) -> Result<Accept, ApiError> {
    let accept = call.accept(Offer::PLAIN)?;
    Ok(Accept { format: accept.format, pretty: accept.pretty && accept.format == Format::Json, ..Accept::default() })
}

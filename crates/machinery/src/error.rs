//! The one error that clients of the API see: `metav1.Status` with status `Failure`.

use serde_json::{Map, Value, json};

use crate::field;
use crate::names::{GroupResource, GroupVersionKind};

/// `metav1.StatusReason`, each with its HTTP code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Expired,
    Invalid,
    Timeout,
    ServerTimeout,
    TooManyRequests,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    ServiceUnavailable,
    /// Upstream has no reason for it either: code 500 and nothing but the message.
    Unknown,
}

impl Reason {
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError | Self::ServerTimeout | Self::Unknown => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// The reason of this name; unknown is what has another.
    pub fn named(name: &str) -> Self {
        ALL.iter().copied().find(|reason| reason.name() == name).unwrap_or(Self::Unknown)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Expired => "Expired",
            Self::Invalid => "Invalid",
            Self::Timeout => "Timeout",
            Self::ServerTimeout => "ServerTimeout",
            Self::TooManyRequests => "TooManyRequests",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::InternalError => "InternalError",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Unknown => "",
        }
    }
}

const ALL: [Reason; 18] = [
    Reason::BadRequest,
    Reason::Unauthorized,
    Reason::Forbidden,
    Reason::NotFound,
    Reason::AlreadyExists,
    Reason::Conflict,
    Reason::Gone,
    Reason::Expired,
    Reason::Invalid,
    Reason::Timeout,
    Reason::ServerTimeout,
    Reason::TooManyRequests,
    Reason::MethodNotAllowed,
    Reason::NotAcceptable,
    Reason::RequestEntityTooLarge,
    Reason::UnsupportedMediaType,
    Reason::InternalError,
    Reason::ServiceUnavailable,
];

/// `metav1.StatusCause`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

/// A failed request, in `metav1.Status`'s terms.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub reason: Reason,
    pub message: String,
    pub details: Option<Box<Details>>,
}

/// `metav1.StatusDetails`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    pub name: String,
    pub group: String,
    /// The resource or the kind, as upstream fills it for the reason.
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
    /// What another server answered, where it is that server's refusal which is passed on.
    pub answered: Option<Answered>,
    /// `metadata.continue` of the status: how a list goes on whose snapshot has expired.
    pub continue_token: String,
}

/// Code and reason of another server's `metav1.Status`, in words that need not be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub code: u16,
    /// May be empty.
    pub reason: String,
}

impl ApiError {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), details: None }
    }

    fn about(mut self, resource: &GroupResource, name: &str) -> Self {
        self.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..Details::default()
        }));
        self
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    pub fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }

    /// `why` follows the resource and name: `pods "web" is forbidden: WHY`.
    pub fn forbidden(resource: &GroupResource, name: &str, why: impl AsRef<str>) -> Self {
        let why = why.as_ref();
        let message = match (resource.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} {name:?} is forbidden: {why}"),
        };
        Self::new(Reason::Forbidden, message).about(resource, name)
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::new(Reason::NotFound, format!("{resource} {name:?} not found")).about(resource, name)
    }

    /// The path itself is not served.
    pub fn no_such_path() -> Self {
        let mut error = Self::new(Reason::NotFound, "the server could not find the requested resource");
        error.details = Some(Box::default());
        error
    }

    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::new(Reason::AlreadyExists, format!("{resource} {name:?} already exists")).about(resource, name)
    }

    pub fn conflict(resource: &GroupResource, name: &str, why: impl AsRef<str>) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {}", why.as_ref());
        Self::new(Reason::Conflict, message).about(resource, name)
    }

    /// The write was made from a version that is no longer the newest.
    pub fn stale(resource: &GroupResource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    pub fn invalid(gvk: &GroupVersionKind, name: &str, errors: &[field::Error]) -> Self {
        let kind = match gvk.group.as_str() {
            "" => gvk.kind.clone(),
            group => format!("{}.{group}", gvk.kind),
        };
        let mut error = Self::new(Reason::Invalid, format!("{kind} {name:?} is invalid: {}", field::aggregate(errors)));
        error.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: gvk.group.clone(),
            kind: gvk.kind.clone(),
            causes: errors.iter().map(field::Error::cause).collect(),
            ..Details::default()
        }));
        error
    }

    /// The revision asked for is compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{resource}\"");
        Self::new(Reason::MethodNotAllowed, message).about(resource, "")
    }

    pub fn internal(message: impl std::fmt::Display) -> Self {
        let mut error = Self::new(Reason::InternalError, format!("Internal error occurred: {message}"));
        let cause = Cause { reason: String::new(), message: message.to_string(), field: String::new() };
        error.details = Some(Box::new(Details { causes: vec![cause], ..Details::default() }));
        error
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Reason::ServiceUnavailable, message)
    }

    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut error = Self::new(Reason::TooManyRequests, message);
        error.details = Some(Box::new(Details { retry_after_seconds, ..Details::default() }));
        error
    }

    /// Another server's refusal: its Status, under a message and a code of the caller's choice.
    pub fn answered(status: &Value, message: String, code: u16) -> Self {
        let name = status["reason"].as_str().unwrap_or_default();
        let answered = Answered { code, reason: name.to_owned() };
        let details = Details { answered: Some(answered), ..Details::from_value(&status["details"]) };
        Self { reason: Reason::named(name), message, details: Some(Box::new(details)) }
    }

    pub fn code(&self) -> u16 {
        let answered = self.details.as_ref().and_then(|details| details.answered.as_ref());
        answered.map_or(self.reason.code(), |answered| answered.code)
    }

    fn reason_text(&self) -> &str {
        let answered = self.details.as_ref().and_then(|details| details.answered.as_ref());
        answered.map_or(self.reason.name(), |answered| &answered.reason)
    }

    /// The `metav1.Status` that clients read.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code(),
        });
        if !self.reason_text().is_empty() {
            status["reason"] = json!(self.reason_text());
        }
        if let Some(details) = &self.details {
            let shown = details.to_value();
            if details.answered.is_none() || shown != json!({}) {
                status["details"] = shown;
            }
            if !details.continue_token.is_empty() {
                status["metadata"]["continue"] = json!(details.continue_token);
            }
        }
        status
    }
}

impl Details {
    fn from_value(value: &Value) -> Self {
        let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let cause = |cause: &Value| Cause {
            reason: text(cause, "reason"),
            message: text(cause, "message"),
            field: text(cause, "field"),
        };
        Self {
            name: text(value, "name"),
            group: text(value, "group"),
            kind: text(value, "kind"),
            uid: text(value, "uid"),
            causes: value["causes"].as_array().into_iter().flatten().map(cause).collect(),
            retry_after_seconds: value["retryAfterSeconds"].as_u64().unwrap_or(0).try_into().unwrap_or(u32::MAX),
            ..Self::default()
        }
    }

    fn to_value(&self) -> Value {
        let mut map = Map::new();
        let texts = [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)];
        for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            map.insert(field.to_owned(), json!(text));
        }
        if !self.causes.is_empty() {
            map.insert("causes".to_owned(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds".to_owned(), json!(self.retry_after_seconds));
        }
        Value::Object(map)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let fields = [("reason", &self.reason), ("message", &self.message), ("field", &self.field)];
        let present = fields.into_iter().filter(|(_, text)| !text.is_empty());
        Value::Object(present.map(|(field, text)| (field.to_owned(), json!(text))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_servers_refusal_keeps_its_words() {
        let of_theirs = json!({"reason": "PolicyViolation", "details": {"name": "web", "retryAfterSeconds": 3}});
        let status = ApiError::answered(&of_theirs, "no".to_owned(), 451).status();
        assert_eq!(
            (&status["code"], &status["reason"], &status["message"]),
            (&json!(451), &json!("PolicyViolation"), &json!("no"))
        );
        assert_eq!(status["details"], json!({"name": "web", "retryAfterSeconds": 3}));
        let plain = ApiError::answered(&Value::Null, "no".to_owned(), 400).status();
        assert_eq!((plain.get("reason"), plain.get("details"), &plain["code"]), (None, None, &json!(400)));
        let known = ApiError::answered(&json!({"reason": "Forbidden"}), "no".to_owned(), 403);
        assert_eq!(known.reason, Reason::Forbidden);
    }

    #[test]
    fn a_status_names_the_object_and_the_field() {
        let gvk = GroupVersionKind::new("apps", "v1", "Deployment");
        let errors = [field::Error::required(&field::Path::new("spec").child("selector"), "")];
        let status = ApiError::invalid(&gvk, "web", &errors).status();
        assert_eq!(status["code"], 422);
        assert_eq!(status["message"], r#"Deployment.apps "web" is invalid: spec.selector: Required value"#);
        assert_eq!(status["details"]["causes"][0]["field"], "spec.selector");
    }
}

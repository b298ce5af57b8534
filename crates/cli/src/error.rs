//! Errors as kubectl words them.

use std::fmt::Write as _;

use kube::core::Status;

use crate::discovery::Resource;

/// What went wrong; its text is all that the user sees of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error("{}", refusal(.0))]
    Server(Box<Status>),
    #[error("{0}")]
    Unreachable(String),
    #[error("error: {0}")]
    Plain(String),
    /// One line for each.
    #[error("{}", lines(.0))]
    Many(Vec<Error>),
    /// Nobody reads the output any more, as after `| head`: no reason to complain.
    #[error("the output is closed")]
    OutputClosed,
}

impl Error {
    pub fn plain(text: impl Into<String>) -> Error {
        Error::Plain(text.into())
    }

    /// As a server words it.
    pub fn not_found(resource: &Resource, name: &str) -> Error {
        let message = format!("{} {name:?} not found", resource.qualified_name());
        Error::Server(Box::new(Status { reason: "NotFound".to_owned(), code: 404, message, ..Status::default() }))
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Server(status) if status.reason == "NotFound")
    }

    pub fn is_already_exists(&self) -> bool {
        matches!(self, Error::Server(status) if status.reason == "AlreadyExists")
    }

    /// Says which file the refused object came from: `verb` is `creating`, `applying patch to` and the like.
    #[must_use]
    pub fn while_doing(self, verb: &str, source: &str) -> Error {
        match self {
            Error::Server(mut status) => {
                status.message = format!("error when {verb} {source:?}: {}", status.message);
                Error::Server(status)
            }
            Error::Plain(text) => Error::Plain(format!("error when {verb} {source:?}: {text}")),
            other => other,
        }
    }

    /// Nothing for no errors, else all of them.
    pub fn all(mut errors: Vec<Error>) -> Result<(), Error> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Error::Many(errors)),
        }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => Error::Server(status),
            other => Error::Unreachable(unreachable(&other)),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Plain(error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::Plain(error.to_string())
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Error {
        Error::Plain(error.to_string())
    }
}

/// The innermost cause tells most.
pub fn unreachable(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return "The connection to the server was refused - did you specify the right host or port?".to_owned();
        }
        cause = inner;
    }
    format!("Unable to connect to the server: {cause}")
}

/// Among others an error has no mark of its own, and an invalid object is no special case.
fn lines(errors: &[Error]) -> String {
    let line = |error: &Error| match error {
        Error::Server(status) => short_refusal(status),
        Error::Plain(text) => text.clone(),
        other => other.to_string(),
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn refusal(status: &Status) -> String {
    match status.reason.as_str() {
        "Invalid" => invalid(status),
        _ => short_refusal(status),
    }
}

fn short_refusal(status: &Status) -> String {
    match status.reason.as_str() {
        "" | "Failed to parse error data" => format!("Error from server: {}", status.message),
        reason => format!("Error from server ({reason}): {}", status.message),
    }
}

/// Names the object and lists the causes, each text once.
fn invalid(status: &Status) -> String {
    let Some(details) = &status.details else { return format!("The request is invalid: {}", status.message) };
    let mut text = match (details.kind.as_str(), details.name.as_str()) {
        ("", "") if details.causes.is_empty() => return format!("The request is invalid: {}", status.message),
        ("", "") => "The request is invalid".to_owned(),
        (kind, name) => format!("The {kind} {name:?} is invalid"),
    };
    let mut causes: Vec<String> = Vec::new();
    for cause in &details.causes {
        let line = format!("{}: {}", cause.field, cause.message);
        if !causes.contains(&line) {
            causes.push(line);
        }
    }
    match causes.as_slice() {
        [] => {}
        [cause] => write!(text, ": {cause}").expect("writing to a string does not fail"),
        causes => write!(text, ": \n* {}", causes.join("\n* ")).expect("writing to a string does not fail"),
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(status: serde_json::Value) -> Error {
        Error::Server(Box::new(serde_json::from_value(status).unwrap()))
    }

    #[test]
    fn refusals_read_as_kubectl_prints_them() {
        let missing = server(json!({"reason": "NotFound", "message": "pods \"x\" not found"}));
        assert_eq!(missing.to_string(), "Error from server (NotFound): pods \"x\" not found");
        assert!(missing.is_not_found());
        assert_eq!(server(json!({"message": "no"})).to_string(), "Error from server: no");
        let from_file = missing.while_doing("creating", "a.yaml");
        assert_eq!(
            from_file.to_string(),
            "Error from server (NotFound): error when creating \"a.yaml\": pods \"x\" not found"
        );
    }

    #[test]
    fn causes_of_invalid_objects_are_listed_once() {
        let status = |causes| json!({"reason": "Invalid", "message": "m", "details": {"kind": "Pod", "name": "p", "causes": causes}});
        let one = json!([{"field": "spec.a", "message": "Required value"}]);
        assert_eq!(server(status(one)).to_string(), "The Pod \"p\" is invalid: spec.a: Required value");
        let two =
            json!([{"field": "a", "message": "x"}, {"field": "a", "message": "x"}, {"field": "b", "message": "y"}]);
        assert_eq!(server(status(two)).to_string(), "The Pod \"p\" is invalid: \n* a: x\n* b: y");
        assert_eq!(server(json!({"reason": "Invalid", "message": "m"})).to_string(), "The request is invalid: m");
    }

    #[test]
    fn several_errors_stand_on_lines_of_their_own() {
        let all = Error::all(vec![Error::plain("a"), Error::plain("b")]);
        assert_eq!(all.unwrap_err().to_string(), "a\nb");
        assert!(Error::all(Vec::new()).is_ok());
    }
}

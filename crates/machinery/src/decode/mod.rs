//! Bytes to objects, checked against the schema table.
//!
//! Values of the wrong type are refused in the words of upstream's decoder. Unknown and duplicate fields
//! are never kept; what is said about them is the caller's [`FieldPolicy`]. What upstream's decoder would
//! not write again (nulls, empty optional lists and maps, zeros that are no pointers) is dropped, and what
//! it always writes (messages that are no pointers) is added, so that two ways to say the same are stored as
//! the same.

mod repeats;
mod report;
mod scalar;
mod syntax;
mod walk;

use serde::de::{DeserializeSeed, Deserializer, Error as _};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::field;
use crate::names::{GroupVersion, GroupVersionKind};
use crate::object::Object;
use crate::strconv::hex;
use report::Report;
pub(crate) use syntax::{misread, no_map};
pub(crate) use walk::{complete, is_zero};

/// What becomes of unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldPolicy {
    /// Nothing is said.
    Ignore,
    /// They are listed with the object.
    #[default]
    Warn,
    /// The request fails.
    Strict,
}

/// Bytes of a body that an error shows.
const SUMMARY_MAX: usize = 30;

/// Reads JSON as the message of this name (see [`schema::message`]).
///
/// Answers with the object and, under [`FieldPolicy::Warn`], with one text for each unknown or duplicate field.
/// The object's `apiVersion` and `kind` are not compared with the message.
pub fn decode_json(bytes: &[u8], message: &str, policy: FieldPolicy) -> Result<(Object, Vec<String>), ApiError> {
    let mut report = Report::default();
    // Go's decoder puts replacement characters where a text is not UTF-8.
    let text = String::from_utf8_lossy(bytes);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let parsed = walk(&mut deserializer, message, &mut report).and_then(|value| deserializer.end().map(|()| value));
    match parsed {
        Ok(value) => finish(value, message, policy, report),
        Err(error) => Err(untyped(bytes, message, &format!("json parse error: {}", fault(bytes, &error)))),
    }
}

/// What is wrong with JSON that could not be read.
fn fault(bytes: &[u8], error: &serde_json::Error) -> String {
    syntax::syntax_error(bytes).unwrap_or_else(|| error.to_string())
}

/// The same for YAML, of which the first document counts.
pub fn decode_yaml(bytes: &[u8], message: &str, policy: FieldPolicy) -> Result<(Object, Vec<String>), ApiError> {
    let mut report = Report::of_yaml();
    let first = first_document(bytes);
    let parsed = serde_saphyr::with_deserializer_from_slice_with_options(first, yaml_options(), |deserializer| {
        walk(deserializer, message, &mut report)
    });
    tell_repeats(first, &mut report);
    match parsed {
        Ok(value) => finish(value, message, policy, report),
        Err(error) => Err(unreadable(bytes, message, &format!("yaml: {error}"))),
    }
}

/// The same for a patched object; what does not fit is an invalid patch.
pub fn decode_patched(value: Value, message: &str, policy: FieldPolicy) -> Result<(Object, Vec<String>), ApiError> {
    let mut report = Report::default();
    let walked = walk(&value, message, &mut report).map_err(|error| error.to_string());
    match walked.and_then(|walked| judge(policy, &report).map_or(Ok(walked), Err)) {
        Ok(walked) => finish(walked, message, policy, report),
        Err(reason) => Err(invalid_patch(&value.to_string(), reason)),
    }
}

/// The answer to a patch whose outcome makes no sense.
pub fn invalid_patch(value: &str, reason: String) -> ApiError {
    let error = field::Error::invalid(&field::Path::new("patch"), value, reason);
    ApiError::invalid(&GroupVersionKind::new("", "", ""), "", &[error])
}

/// What becomes of problems: the warnings that are told, or why the request fails.
pub fn judged(policy: FieldPolicy, problems: Vec<String>) -> Result<Vec<String>, String> {
    match policy {
        FieldPolicy::Strict if !problems.is_empty() => Err(format!("strict decoding error: {}", problems.join(", "))),
        FieldPolicy::Ignore => Ok(Vec::new()),
        FieldPolicy::Strict | FieldPolicy::Warn => Ok(problems),
    }
}

/// Reads options, which are told what is wrong with them and no more.
pub fn options_of_json(bytes: &[u8], message: &str) -> Result<Object, ApiError> {
    let parsed = parse_json(bytes);
    let why = |error: ApiError| format!("couldn't get version/kind; json parse error: {}", error.message);
    options_of(parsed.map_err(|error| ApiError::bad_request(why(error)))?.0, message)
}

/// The same from YAML.
pub fn options_of_yaml(bytes: &[u8], message: &str) -> Result<Object, ApiError> {
    options_of(parse_yaml(bytes)?.0, message)
}

fn options_of(value: Value, message: &str) -> Result<Object, ApiError> {
    let typed = typed(&value, message, "");
    match typed.mismatch {
        Some(mismatch) => Err(ApiError::bad_request(mismatch)),
        None => Ok(Object::from_value(typed.value).unwrap_or_default()),
    }
}

/// Reads an object of a `kind` without a message from JSON, and lists its duplicate fields.
pub fn object_of_json(bytes: &[u8], kind: &str) -> Result<(Map<String, Value>, Vec<String>), ApiError> {
    object_of(parse_json(bytes), bytes, kind, "couldn't get version/kind; json parse error: ")
}

/// The same from YAML.
pub fn object_of_yaml(bytes: &[u8], kind: &str) -> Result<(Map<String, Value>, Vec<String>), ApiError> {
    object_of(parse_yaml(bytes), bytes, kind, "")
}

fn object_of(
    parsed: Result<(Value, Vec<String>), ApiError>,
    bytes: &[u8],
    kind: &str,
    before: &str,
) -> Result<(Map<String, Value>, Vec<String>), ApiError> {
    let untyped = |why: &str| unreadable(bytes, kind, &format!("{before}{why}"));
    match parsed {
        Ok((Value::Object(fields), duplicates)) => Ok((fields, duplicates)),
        Ok((Value::Null, duplicates)) => Ok((Map::new(), duplicates)),
        Ok(_) => Err(untyped("the body is no object")),
        Err(error) => Err(untyped(&error.message)),
    }
}

/// A tree held against a message.
pub struct Typed {
    /// What the message knows of it; null where it is of the wrong type.
    pub value: Value,
    /// One text for each unknown field.
    pub problems: Vec<String>,
    /// The first value of a wrong type, in the words of upstream's decoder.
    pub mismatch: Option<String>,
}

/// Holds a part of an object against the message of this name; problems tell paths that begin with `at`.
pub fn typed(value: &Value, message: &str, at: &str) -> Typed {
    let mut report = Report::at(at);
    let walked = walk(value, message, &mut report);
    let mismatch = report.mismatch.take().or_else(|| walked.as_ref().err().map(ToString::to_string));
    Typed { value: walked.unwrap_or_default(), problems: report.problems, mismatch }
}

/// Reads JSON without a schema, such as a patch or a custom resource, and lists its duplicate fields.
pub fn parse_json(bytes: &[u8]) -> Result<(Value, Vec<String>), ApiError> {
    let mut report = Report::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = walk::Untyped { report: &mut report }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    let value = value.map_err(|error| ApiError::bad_request(fault(bytes, &error)))?;
    Ok((value, report.problems))
}

/// Reads YAML (and so JSON too) without a schema, such as an applied configuration.
pub fn parse_yaml(bytes: &[u8]) -> Result<(Value, Vec<String>), ApiError> {
    let mut report = Report::of_yaml();
    let first = first_document(bytes);
    let value = serde_saphyr::with_deserializer_from_slice_with_options(first, yaml_options(), |deserializer| {
        walk::Untyped { report: &mut report }.deserialize(deserializer)
    });
    tell_repeats(first, &mut report);
    let value = value.map_err(|error| ApiError::bad_request(format!("yaml: {error}")))?;
    Ok((value, report.problems))
}

/// The bytes before the mark that ends the first document of a stream.
fn first_document(bytes: &[u8]) -> &[u8] {
    let (mut begun, mut at) = (false, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let is_mark = |mark: &[u8]| {
            line.strip_prefix(mark).is_some_and(|rest| rest.trim_ascii_start() != rest || rest.is_empty())
        };
        if begun && (is_mark(b"---") || is_mark(b"...")) {
            return &bytes[..at];
        }
        begun |= !matches!(line.trim_ascii_start().first(), None | Some(b'#' | b'%'));
        at += line.len();
    }
    bytes
}

/// Puts the repeated keys of a document, if it has some, before all else that is wrong with it.
fn tell_repeats(bytes: &[u8], report: &mut Report) {
    if report.repeats == Some(true)
        && let Some(told) = repeats::told(bytes)
    {
        report.problems.insert(0, told);
    }
}

fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    }
}

fn walk<'de, D: Deserializer<'de>>(deserializer: D, message: &str, report: &mut Report) -> Result<Value, D::Error> {
    let message = schema::message(message).expect("every kind's schema is in the table");
    let read = walk::Message { message, report: &mut *report }.deserialize(deserializer)?;
    if !read.is_null() {
        return Ok(read);
    }
    // Nothing, in either language, is an object without fields.
    let empty = Value::Object(serde_json::Map::new());
    walk::Message { message, report }.deserialize(empty).map_err(D::Error::custom)
}

/// Turns what was found into upstream's answer.
fn finish(value: Value, message: &str, policy: FieldPolicy, report: Report) -> Result<(Object, Vec<String>), ApiError> {
    let kind = message.rsplit('.').next().unwrap_or_default();
    let mut object = Object::from_value(value).unwrap_or_default();
    if let Some(reason) = judge(policy, &report) {
        if object.api_version().is_empty() {
            object.set(&["apiVersion"], message.rsplit('.').nth(1).unwrap_or_default());
        }
        return Err(mishandled(&object, kind, &reason));
    }
    let problems = if policy == FieldPolicy::Ignore { Vec::new() } else { report.problems };
    Ok((object, problems))
}

/// Why what was read is refused, if it is.
fn judge(policy: FieldPolicy, report: &Report) -> Option<String> {
    let is_strict = policy == FieldPolicy::Strict && !report.problems.is_empty();
    let strict = is_strict.then(|| format!("strict decoding error: {}", report.problems.join(", ")));
    report.mismatch.clone().or(strict)
}

/// The answer to a body whose type is known and whose rest makes no sense.
pub fn mishandled(object: &Object, kind: &str, reason: &str) -> ApiError {
    let said = if object.kind().is_empty() { kind } else { object.kind() };
    let version = GroupVersion::parse(object.api_version()).version;
    ApiError::bad_request(format!("{said} in version {version:?} cannot be handled as a {kind}: {reason}"))
}

fn untyped(bytes: &[u8], message: &str, reason: &str) -> ApiError {
    unreadable(bytes, message, &format!("couldn't get version/kind; {reason}"))
}

/// The answer to a body of which not even the type can be read.
pub fn unreadable(bytes: &[u8], message: &str, reason: &str) -> ApiError {
    let kind = message.rsplit('.').next().unwrap_or_default();
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {reason} ({})",
        summary(bytes)
    ))
}

/// The beginning of a body: as text if it looks like JSON, else in hexadecimal.
fn summary(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SUMMARY_MAX)];
    let text = match bytes.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => hex(shown),
    };
    if bytes.len() > SUMMARY_MAX { format!("{text} ...") } else { text }
}

#[cfg(test)]
mod tests;

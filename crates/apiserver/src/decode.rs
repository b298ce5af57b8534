//! Bodies as objects.

use bytes::Bytes;
use kinds::KindDef;
use machinery::decode::FieldPolicy;
use machinery::{ApiError, GroupVersion, Object};
use registry::FieldValidation;

use crate::call::Call;
use crate::negotiate::{self, BodyFormat};

const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// What a body must be: the kind of the path or of its subresource.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// The message in the schema table.
    pub schema: &'static str,
}

impl From<&KindDef> for Expected {
    fn from(kind: &KindDef) -> Self {
        Self { group: kind.group, version: kind.version, kind: kind.kind, schema: kind.schema }
    }
}

/// Reads the body of a write. What the schema does not know becomes a warning or an error, as asked for.
pub async fn object(call: &mut Call, expected: Expected, validation: FieldValidation) -> Result<Object, ApiError> {
    let format = negotiate::body_format(call.headers())?;
    let bytes = call.read_body().await?;
    trace::event("About to convert to expected version", Vec::new);
    let (mut object, problems) = checked(&bytes, format, expected.schema, policy(validation))?;
    settle_type(&mut object, expected)?;
    trace::event("Conversion done", Vec::new);
    problems.into_iter().for_each(|problem| call.warnings.add(problem));
    Ok(object)
}

fn policy(validation: FieldValidation) -> FieldPolicy {
    match validation {
        FieldValidation::Ignore => FieldPolicy::Ignore,
        FieldValidation::Warn => FieldPolicy::Warn,
        FieldValidation::Strict => FieldPolicy::Strict,
    }
}

fn checked(
    bytes: &Bytes,
    format: BodyFormat,
    schema: &str,
    policy: FieldPolicy,
) -> Result<(Object, Vec<String>), ApiError> {
    match format {
        BodyFormat::Json => machinery::decode::decode_json(bytes, schema, policy),
        BodyFormat::Yaml => machinery::decode::decode_yaml(bytes, schema, policy),
        BodyFormat::Protobuf => Ok((machinery::protobuf::decode_protobuf(bytes, schema)?, Vec::new())),
    }
}

/// A body without a type is of the expected one; a body of another is refused.
fn settle_type(object: &mut Object, expected: Expected) -> Result<(), ApiError> {
    let wanted = GroupVersion::new(expected.group, expected.version);
    if object.kind().is_empty() {
        object.set(&["kind"], expected.kind);
    }
    if object.api_version().is_empty() {
        object.set(&["apiVersion"], wanted.to_string());
    }
    let given = object.gvk();
    if given.kind != expected.kind {
        let message = format!(
            "{} in version {:?} cannot be handled as a {}: converting ({}) to ({}): unknown conversion",
            given.kind, given.version, expected.kind, given, wanted
        );
        return Err(ApiError::bad_request(message));
    }
    if given.group_version() != wanted {
        let message = format!(
            "the API version in the data ({}) does not match the expected API version ({wanted})",
            given.group_version()
        );
        return Err(ApiError::bad_request(message));
    }
    Ok(())
}

/// Reads the `DeleteOptions` of a deletion; nothing for no body.
pub async fn delete_options(call: &mut Call) -> Result<Option<Object>, ApiError> {
    let bytes = call.read_body().await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let format = negotiate::body_format(call.headers())?;
    let (object, _) = checked(&bytes, format, DELETE_OPTIONS, FieldPolicy::Ignore)?;
    Ok(Some(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DEPLOYMENT: Expected = Expected { group: "apps", version: "v1", kind: "Deployment", schema: "" };

    fn settled(value: serde_json::Value) -> Result<Object, String> {
        let mut object = Object::from_value(value).unwrap();
        settle_type(&mut object, DEPLOYMENT).map(|()| object).map_err(|error| error.message)
    }

    #[test]
    fn a_body_without_a_type_takes_that_of_the_path() {
        let object = settled(json!({})).unwrap();
        assert_eq!((object.api_version(), object.kind()), ("apps/v1", "Deployment"));
    }

    #[test]
    fn a_body_of_another_type_is_refused() {
        let error = settled(json!({"apiVersion": "apps/v1beta1", "kind": "Deployment"})).unwrap_err();
        assert_eq!(
            error,
            "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"
        );
        assert!(settled(json!({"kind": "Pod"})).unwrap_err().starts_with("Pod in version \"v1\" cannot be handled"));
    }
}

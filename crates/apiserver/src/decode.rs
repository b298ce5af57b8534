//! Bodies as objects.

use kinds::KindDef;
use machinery::decode::FieldPolicy;
use machinery::{ApiError, Object};
use registry::FieldValidation;

use crate::call::Call;
use crate::negotiate::{self, BodyFormat};

const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Reads the body of a write, which must be of `kind`: that of the path, or of its subresource. What the schema does
/// not know becomes a warning or an error, as asked for.
pub async fn object(call: &mut Call, kind: &KindDef, validation: FieldValidation) -> Result<Object, ApiError> {
    let format = negotiate::body_format(call.headers(), kind.custom.is_none())?;
    let bytes = call.read_body().await?;
    trace::event("About to convert to expected version", Vec::new);
    let policy = policy(validation);
    let (mut object, problems) = match format {
        BodyFormat::Json => kind.read_json(&bytes, policy),
        BodyFormat::Yaml => kind.read_yaml(&bytes, policy),
        BodyFormat::Protobuf => {
            machinery::protobuf::decode_protobuf(&bytes, kind.schema).map(|object| (object, Vec::new()))
        }
    }?;
    settle_type(&mut object, kind)?;
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

/// A body without a type is of the expected one; a body of another is refused.
fn settle_type(object: &mut Object, expected: &KindDef) -> Result<(), ApiError> {
    let wanted = expected.group_version();
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
    let format = negotiate::body_format(call.headers(), true)?;
    let policy = FieldPolicy::Ignore;
    let object = match format {
        BodyFormat::Json => machinery::decode::decode_json(&bytes, DELETE_OPTIONS, policy)?.0,
        BodyFormat::Yaml => machinery::decode::decode_yaml(&bytes, DELETE_OPTIONS, policy)?.0,
        BodyFormat::Protobuf => machinery::protobuf::decode_protobuf(&bytes, DELETE_OPTIONS)?,
    };
    Ok(Some(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DEPLOYMENT: KindDef = KindDef { group: "apps", kind: "Deployment", ..KindDef::PLAIN };

    fn settled(value: serde_json::Value) -> Result<Object, String> {
        let mut object = Object::from_value(value).unwrap();
        settle_type(&mut object, &DEPLOYMENT).map(|()| object).map_err(|error| error.message)
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

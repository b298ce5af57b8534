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
    settle_type(&mut object, kind, &bytes)?;
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

/// A body without a type is of the expected one, but for custom kinds; a body of another is refused.
fn settle_type(object: &mut Object, expected: &KindDef, bytes: &[u8]) -> Result<(), ApiError> {
    let wanted = expected.group_version();
    if expected.custom.is_some() && object.kind().is_empty() {
        let why = format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(bytes));
        return Err(machinery::decode::unreadable(bytes, expected.kind, &why));
    }
    if expected.custom.is_some() && object.api_version() != wanted.to_string() {
        let message = format!(
            "the API version in the data ({}) does not match the expected API version ({wanted})",
            object.api_version()
        );
        return Err(ApiError::bad_request(message));
    }
    if object.kind().is_empty() {
        object.set(&["kind"], expected.kind);
    }
    if object.api_version().is_empty() {
        object.set(&["apiVersion"], wanted.to_string());
    }
    let given = object.gvk();
    if given == expected.gvk() {
        return Ok(());
    }
    match expected.custom {
        Some(_) => Err(registry::other_type(&given, expected, object.name())),
        None => {
            let why = kinds::no_conversion(&given, expected);
            Err(machinery::decode::mishandled(object, expected.kind, &why))
        }
    }
}

/// Reads the `DeleteOptions` of a deletion; nothing for no body.
pub async fn delete_options(call: &mut Call) -> Result<Option<Object>, ApiError> {
    let bytes = call.read_body().await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let object = match negotiate::body_format(call.headers(), true)? {
        BodyFormat::Json => machinery::decode::options_of_json(&bytes, DELETE_OPTIONS)?,
        BodyFormat::Yaml => machinery::decode::options_of_yaml(&bytes, DELETE_OPTIONS)?,
        BodyFormat::Protobuf => machinery::protobuf::decode_protobuf(&bytes, DELETE_OPTIONS)?,
    };
    if !["", "DeleteOptions"].contains(&object.kind()) {
        return Err(ApiError::bad_request(format!(
            "no kind {:?} is registered for version {:?} in scheme \
             \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\"",
            object.kind(),
            object.api_version()
        )));
    }
    Ok(Some(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DEPLOYMENT: KindDef = KindDef { group: "apps", kind: "Deployment", ..KindDef::PLAIN };

    fn settled(value: serde_json::Value) -> Result<Object, String> {
        let mut object = Object::from_value(value).unwrap();
        settle_type(&mut object, &DEPLOYMENT, b"").map(|()| object).map_err(|error| error.message)
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
            "Deployment in version \"v1beta1\" cannot be handled as a Deployment: no kind \"Deployment\" is registered \
             for version \"apps/v1beta1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        );
        let error = settled(json!({"apiVersion": "v1", "kind": "Pod"})).unwrap_err();
        assert_eq!(
            error,
            "Pod in version \"v1\" cannot be handled as a Deployment: converting (v1.Pod) to (apps.Deployment): unknown \
             conversion"
        );
    }
}

//! Answers to AdmissionReviews: what a webhook may say.
//!
//! upstream: apiserver/pkg/admission/plugin/webhook/request/admissionreview.go

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// Versions of `admission.k8s.io` in which reviews are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V1Beta1,
}

impl Version {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// What was answered, checked.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    pub allowed: bool,
    /// The operations of a JSON patch; none where nothing is to change.
    pub patch: Vec<Value>,
    /// A `metav1.Status`; null if there is none.
    pub status: Value,
    pub annotations: BTreeMap<String, String>,
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    allowed: bool,
    #[serde(default)]
    status: Value,
    patch: Option<String>,
    patch_type: Option<String>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

/// Why an answer is none. The text follows "failed calling webhook".
type Fault = String;

/// Reads an answer. Only what mutates may answer a patch.
pub fn read(version: Version, uid: &str, mutates: bool, answered: Value) -> Result<Answer, Fault> {
    let review: Review =
        serde_json::from_value(answered).map_err(|error| format!("failed to call webhook: {error}"))?;
    let response = verify(version, uid, mutates, review).map_err(invalid)?;
    let patch = match response.patch.as_deref().filter(|_| mutates) {
        Some(patch) => decode_patch(patch)?,
        None => Vec::new(),
    };
    if !patch.is_empty() && version == Version::V1 && response.patch_type.as_deref() != Some("JSONPatch") {
        return Err(format!("unsupported patch type {:?}", response.patch_type.unwrap_or_default()));
    }
    Ok(Answer {
        allowed: response.allowed,
        patch,
        status: response.status,
        annotations: response.audit_annotations.unwrap_or_default(),
        warnings: response.warnings.unwrap_or_default(),
    })
}

fn invalid(why: String) -> Fault {
    format!("received invalid webhook response: {why}")
}

fn decode_patch(patch: &str) -> Result<Vec<Value>, Fault> {
    let bytes = STANDARD.decode(patch).map_err(|error| format!("failed to call webhook: {error}"))?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let undecodable = |error| format!("received undecodable patch in webhook response: {error}");
    let patch: Option<Vec<Value>> = serde_json::from_slice(&bytes).map_err(undecodable)?;
    Ok(patch.unwrap_or_default())
}

/// The first version checks more than the one before it did.
fn verify(version: Version, uid: &str, mutates: bool, review: Review) -> Result<Response, String> {
    let Some(response) = review.response else { return Err("webhook response was absent".to_owned()) };
    if version == Version::V1Beta1 {
        return Ok(response);
    }
    if response.uid != uid {
        return Err(format!("expected response.uid={uid:?}, got {:?}", response.uid));
    }
    if (review.api_version.as_str(), review.kind.as_str()) != (version.api_version(), "AdmissionReview") {
        let expected = format!("{}, Kind=AdmissionReview", version.api_version());
        let found = if review.api_version.is_empty() { "/".to_owned() } else { review.api_version };
        return Err(format!("expected webhook response of {expected}, got {found}, Kind={}", review.kind));
    }
    let patched = response.patch.as_deref().is_some_and(|patch| !patch.is_empty());
    match (mutates, patched, response.patch_type.as_deref()) {
        (true, true, None) => Err("webhook returned response.patch but not response.patchType".to_owned()),
        (true, false, Some(_)) => Err("webhook returned response.patchType but not response.patch".to_owned()),
        (true, true, Some("")) => Err("webhook returned invalid response.patchType of \"\"".to_owned()),
        (false, true, _) => Err("validating webhook may not return response.patch".to_owned()),
        (false, false, Some(_)) => Err("validating webhook may not return response.patchType".to_owned()),
        _ => Ok(response),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NO_PATCH: &str =
        "received invalid webhook response: webhook returned response.patchType but not response.patch";

    fn review(response: Value) -> Value {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
    }

    fn answer(mutates: bool, review: &Value) -> Result<usize, String> {
        read(Version::V1, "1", mutates, review.clone()).map(|answer| answer.patch.len())
    }

    #[test]
    fn answers_are_held_to_the_rules_of_their_version() {
        let of_others = json!({"apiVersion": "v1", "kind": "Status", "response": {"uid": "1", "allowed": true}});
        let invalid = |why: &str| Err(format!("received invalid webhook response: {why}"));
        let patch = |text: &str| json!({"uid": "1", "patch": STANDARD.encode(text), "patchType": "JSONPatch"});
        for (mutates, review, expected) in [
            (true, review(json!({"uid": "1", "allowed": true})), Ok(0)),
            (true, review(patch(r#"[{"op":"add","path":"/a","value":1}]"#)), Ok(1)),
            (true, review(patch("[]")), Ok(0)),
            (true, review(patch("null")), Ok(0)),
            (true, review(Value::Null), invalid("webhook response was absent")),
            (true, review(json!({"uid": "2"})), invalid("expected response.uid=\"1\", got \"2\"")),
            (
                true,
                of_others,
                invalid("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got v1, Kind=Status"),
            ),
            (
                true,
                review(json!({"uid": "1", "patch": "e30="})),
                invalid("webhook returned response.patch but not response.patchType"),
            ),
            (true, review(json!({"uid": "1", "patchType": "JSONPatch"})), Err(NO_PATCH.to_owned())),
            (
                true,
                review(json!({"uid": "1", "patch": STANDARD.encode("[{}]"), "patchType": "Merge"})),
                Err("unsupported patch type \"Merge\"".to_owned()),
            ),
            (false, review(patch("[]")), invalid("validating webhook may not return response.patch")),
            (
                false,
                review(json!({"uid": "1", "patchType": "JSONPatch"})),
                invalid("validating webhook may not return response.patchType"),
            ),
        ] {
            assert_eq!(answer(mutates, &review), expected, "{review}");
        }
        for (review, expected) in [
            (json!([]), "failed to call webhook: "),
            (json!({"response": {"allowed": "yes"}}), "failed to call webhook: "),
            (review(patch("{")), "received undecodable patch in webhook response: "),
        ] {
            let error = answer(true, &review).unwrap_err();
            assert!(error.starts_with(expected), "{review}: {error}");
        }
    }

    #[test]
    fn the_first_version_of_reviews_was_not_checked() {
        let review =
            json!({"response": {"allowed": true, "patch": STANDARD.encode(r#"[{"op":"remove","path":"/a"}]"#)}});
        let answer = read(Version::V1Beta1, "1", true, review).unwrap();
        assert_eq!((answer.allowed, answer.patch.len()), (true, 1));
    }
}

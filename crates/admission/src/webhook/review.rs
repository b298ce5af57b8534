//! AdmissionReviews: what a webhook is asked.

use bytes::Bytes;
use kinds::KindDef;
use machinery::Object;
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::Version;
use crate::subject::Subject;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    kind: &'static str,
    api_version: &'static str,
    request: Request<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    uid: &'a str,
    #[serde(flatten)]
    subject: Map<String, Value>,
    object: Option<&'a Object>,
    old_object: Option<&'a Object>,
}

/// The text of what is asked: the request, seen as one for `kind`, with its objects in that version. Many webhooks may
/// be asked at a time, so that the objects are not copied for each.
pub fn ask(
    version: Version,
    uid: &str,
    subject: &Subject<'_>,
    kind: &KindDef,
    [object, old_object]: [Option<&Object>; 2],
) -> Bytes {
    let request = Request { uid, subject: subject.to_value(kind), object, old_object };
    let review = Review { kind: "AdmissionReview", api_version: version.api_version(), request };
    serde_json::to_vec(&review).expect("trees of JSON always print").into()
}

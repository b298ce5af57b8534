//! AdmissionReviews: what a webhook is asked.

use kinds::KindDef;
use machinery::Object;
use serde_json::{Map, Value, json};

use super::answer::Version;
use crate::subject::Subject;

/// What is asked: the request, seen as one for `kind`, with its objects in that version.
pub fn ask(
    version: Version,
    uid: &str,
    subject: &Subject<'_>,
    kind: &KindDef,
    [object, old]: [Option<&Object>; 2],
) -> Value {
    let mut request = Map::from_iter([("uid".to_owned(), json!(uid))]);
    request.append(&mut subject.to_value(kind));
    request.insert("object".to_owned(), json!(object));
    request.insert("oldObject".to_owned(), json!(old));
    json!({"kind": "AdmissionReview", "apiVersion": version.api_version(), "request": request})
}

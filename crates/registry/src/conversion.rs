//! Versions of custom kinds that only a webhook can make of each other.
//!
//! upstream: apiextensions-apiserver pkg/apiserver/conversion

use std::sync::Arc;

use async_trait::async_trait;
use kinds::KindDef;
use kinds::custom::Webhook;
use machinery::field::{Path, aggregate};
use machinery::validation::{validate_annotations, validate_labels};
use machinery::{ApiError, Object};
use serde_json::{Value, json};

use crate::convert::{from_storage, view};
use crate::entry::Entry;
use crate::registry::Registry;

/// Calls webhooks; who does is decided elsewhere.
#[async_trait]
pub trait Converter: Send + Sync {
    /// Posts a ConversionReview and answers with what came back. The error says why nothing did.
    async fn call(&self, webhook: &'static Webhook, review: &Value) -> Result<Value, String>;
}

/// Versions of ConversionReview that this server speaks.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
/// When so many bytes of objects are in a review it is sent.
const REVIEW_BYTES: usize = 1 << 20;

impl Registry {
    /// Once, at start-up; until then nothing can be converted by webhooks.
    pub fn set_converter(&self, converter: Arc<dyn Converter>) {
        if self.0.converter.set(converter).is_err() {
            tracing::error!("the caller of conversion webhooks was set before; the first one stays");
        }
    }

    /// Entries as `kind`, whatever versions they are stored in.
    pub(crate) async fn seen(
        &self,
        entries: Vec<Arc<Entry>>,
        kind: &'static KindDef,
    ) -> Result<Vec<Arc<Entry>>, ApiError> {
        if !converts_by_webhook(kind) {
            return Ok(entries.iter().map(|entry| view(entry, kind)).collect());
        }
        let others = entries.iter().filter(|entry| entry.kind().version != kind.version);
        let converted = self.by_webhook(kind, others.map(|entry| entry.object()).collect()).await?;
        let mut converted = converted.into_iter();
        let seen = |entry: &Arc<Entry>| match entry.kind().version == kind.version {
            true => view(entry, kind),
            false => Arc::new(entry.seen_as(kind, converted.next().expect("one for each that was sent"))),
        };
        Ok(entries.iter().map(seen).collect())
    }

    pub(crate) async fn seen_one(&self, entry: &Arc<Entry>, kind: &'static KindDef) -> Result<Arc<Entry>, ApiError> {
        if !converts_by_webhook(kind) {
            return Ok(view(entry, kind));
        }
        let seen = self.seen(vec![entry.clone()], kind).await?;
        Ok(seen.into_iter().next().expect("one for each that was given"))
    }

    /// A stored object as `kind`.
    pub(crate) async fn read_as(&self, kind: &'static KindDef, object: Object) -> Result<Object, ApiError> {
        if !converts_by_webhook(kind) || object.api_version() == kind.group_version().to_string() {
            return Ok(from_storage(kind, object));
        }
        let converted = self.by_webhook(kind, vec![object]).await?;
        Ok(converted.into_iter().next().expect("one for each that was sent"))
    }

    /// Sends objects of other versions to the webhook of `kind`, so many at a time that a review stays small.
    async fn by_webhook(&self, kind: &'static KindDef, objects: Vec<Object>) -> Result<Vec<Object>, ApiError> {
        let (mut converted, mut some, mut bytes) = (Vec::with_capacity(objects.len()), Vec::new(), 0);
        for object in objects {
            bytes += object.to_bytes().len();
            some.push(object);
            if bytes > REVIEW_BYTES {
                converted.extend(self.review(kind, std::mem::take(&mut some)).await?);
                bytes = 0;
            }
        }
        converted.extend(self.review(kind, some).await?);
        Ok(converted)
    }

    async fn review(&self, kind: &'static KindDef, objects: Vec<Object>) -> Result<Vec<Object>, ApiError> {
        let Some(custom) = kind.custom.filter(|_| !objects.is_empty()) else { return Ok(Vec::new()) };
        let family = custom.family();
        let (Some(webhook), Some(converter)) = (&family.webhook, self.0.converter.get()) else {
            return Err(ApiError::internal("nobody converts custom resources here"));
        };
        let from = objects[0].gvk();
        let failed = |why: String| ApiError::internal(format!("conversion webhook for {from} failed: {why}"));
        let uid = clock::uuid();
        let version = webhook.reviews.iter().find(|version| REVIEWS.contains(&version.as_str()));
        let version = version.ok_or_else(|| failed("no supported conversion review versions".to_owned()))?;
        let review = json!({
            "kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{version}"),
            "request": {"uid": uid, "desiredAPIVersion": kind.group_version().to_string(), "objects": objects},
        });
        let answer = converter.call(webhook, &review).await.map_err(failed)?;
        let converted = converted_objects(&answer, version, &uid).map_err(failed)?;
        let wrong = |why: String| ApiError::internal(format!("conversion webhook for {from} {why}"));
        if converted.len() != objects.len() {
            return Err(wrong(format!("returned {} objects, expected {}", converted.len(), objects.len())));
        }
        let pairs = (0..).zip(objects.iter().zip(converted));
        pairs.map(|(index, (original, made))| accept(kind, index, original, made).map_err(wrong)).collect()
    }
}

/// Whether objects of a kind may have to be converted by a webhook to be seen.
pub(crate) fn converts_by_webhook(kind: &KindDef) -> bool {
    kind.custom.is_some_and(|custom| custom.webhook().is_some())
}

fn converted_objects<'a>(answer: &'a Value, version: &str, uid: &str) -> Result<&'a [Value], String> {
    let response = answer.get("response").filter(|response| response.is_object());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if version == "v1" {
        let (api_version, kind) = (text(&answer["apiVersion"]), text(&answer["kind"]));
        if (api_version.as_str(), kind.as_str()) != ("apiextensions.k8s.io/v1", "ConversionReview") {
            let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
            return Err(format!(
                "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {group}/{version}, \
                 Kind={kind}"
            ));
        }
    }
    let response = response.ok_or("no response provided")?;
    if version == "v1" && response["uid"] != uid {
        return Err(format!("expected response.uid={uid:?}, got {:?}", text(&response["uid"])));
    }
    let result = &response["result"];
    if result["status"] != "Success" {
        let message = text(&result["message"]);
        let status = text(&result["status"]);
        return Err(if message.is_empty() {
            format!("response.result.status was '{status}', not 'Success'")
        } else {
            message
        });
    }
    Ok(response["convertedObjects"].as_array().map_or(&[], Vec::as_slice))
}

/// A converted object: of the version asked for, the same object, and with metadata that only the webhook's labels and
/// annotations change.
fn accept(kind: &KindDef, index: usize, original: &Object, made: &Value) -> Result<Object, String> {
    let at = |why: String| format!("returned invalid converted object at index {index}: {why}");
    let mut made = Object::from_value(made.clone()).ok_or_else(|| at("it is no object".to_owned()))?;
    let wanted = kind.group_version();
    if made.gvk().group_version() != wanted {
        let got = made.gvk().group_version();
        return Err(at(format!("invalid groupVersion (expected {wanted}, received {got})")));
    }
    if made.kind() != original.kind() {
        return Err(at(format!("invalid kind (expected {}, received {})", original.kind(), made.kind())));
    }
    for (name, is, was) in [
        ("name", made.name(), original.name()),
        ("namespace", made.namespace(), original.namespace()),
        ("UID", made.uid(), original.uid()),
    ] {
        if is != was {
            return Err(at(format!("must have the same {name}: {was} != {is}")));
        }
    }
    restore_metadata(&mut made, original)
        .map_err(|why| format!("returned invalid metadata in object at index {index}: {why}"))?;
    kind.read_converted(&mut made).map_err(at)?;
    Ok(made)
}

fn restore_metadata(made: &mut Object, original: &Object) -> Result<(), String> {
    let answered = made.0.get("metadata").cloned().ok_or("missing metadata in converted object")?;
    let mut metadata = original.0.get("metadata").cloned().unwrap_or_else(|| json!({}));
    for field in ["labels", "annotations"] {
        let own = answered.get(field).filter(|own| !own.is_null());
        match (own, metadata.as_object_mut()) {
            (Some(own), Some(metadata)) => metadata.insert(field.to_owned(), own.clone()),
            (None, Some(metadata)) => metadata.remove(field),
            (_, None) => None,
        };
    }
    made.0.insert("metadata".to_owned(), metadata);
    let path = Path::new("metadata");
    let mut errors = validate_labels(&made.labels(), &path.child("labels"));
    errors.extend(validate_annotations(&made.strings(&["metadata", "annotations"]), &path.child("annotation")));
    if errors.is_empty() { Ok(()) } else { Err(aggregate(&errors)) }
}

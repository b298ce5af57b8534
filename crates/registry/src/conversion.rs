//! Versions of custom kinds that only a webhook can make of each other.
//!
//! upstream: apiextensions-apiserver pkg/apiserver/conversion

use std::ptr;
use std::sync::Arc;

use async_trait::async_trait;
use kinds::KindDef;
use kinds::custom::Webhook;
use machinery::field::{Path, aggregate};
use machinery::patch::go_type;
use machinery::validation::{validate_annotations, validate_labels};
use machinery::{ApiError, Object, Reason};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::convert::{from_storage, view};
use crate::entry::{Claim, Entry};
use crate::kind_table::KindTable;
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

    /// Entries as `kind`, whatever versions they are stored in. What a webhook made of an entry is kept with it, and who
    /// wants the same while the webhook is asked waits for that answer.
    pub(crate) async fn seen(
        &self,
        entries: Vec<Arc<Entry>>,
        kind: &'static KindDef,
    ) -> Result<Vec<Arc<Entry>>, ApiError> {
        if !converts_by_webhook(kind) {
            return Ok(entries.iter().map(|entry| view(entry, kind)).collect());
        }
        loop {
            let seen: Option<Vec<Arc<Entry>>> = entries.iter().map(|entry| known_as(entry, kind)).collect();
            match seen {
                Some(seen) => return Ok(seen),
                None => self.make_known(&entries, kind).await?,
            }
        }
    }

    /// Has the webhook asked for what is not known, or waits for whoever asks it. Who asks may give up.
    async fn make_known(&self, entries: &[Arc<Entry>], kind: &'static KindDef) -> Result<(), ApiError> {
        // Dropped with this future: then others ask.
        let (telling, answered) = watch::channel(None);
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for entry in entries.iter().filter(|entry| known_as(entry, kind).is_none()) {
            match entry.claim(kind, &answered) {
                Claim::Known => {}
                Claim::Own => own.push(entry),
                Claim::Others(answered) => others.push(answered),
            }
        }
        match self.by_webhook(kind, own.iter().map(|entry| entry.object()).collect()).await {
            Ok(converted) => own
                .iter()
                .zip(converted)
                .for_each(|(entry, object)| entry.keep_converted(entry.seen_as(kind, object).into())),
            Err(error) => {
                telling.send_replace(Some(error.clone()));
                return Err(error);
            }
        }
        drop(telling);
        for mut answered in others {
            // An error here: it was converted, or who asked gave up.
            if answered.changed().await.is_ok()
                && let Some(error) = answered.borrow().clone()
            {
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) async fn seen_one(&self, entry: &Arc<Entry>, kind: &'static KindDef) -> Result<Arc<Entry>, ApiError> {
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

    /// An object of `from` as `to`, which is another version of the same. Webhooks are not asked about what is empty.
    pub async fn convert(
        &self,
        from: &'static KindDef,
        to: &'static KindDef,
        object: Object,
    ) -> Result<Object, ApiError> {
        match converts_by_webhook(to) && object.0.contains_key("metadata") {
            true => self.read_as(to, object).await,
            false => Ok(self.kinds().convert(from, to, object)),
        }
    }

    /// Runs what converts objects and can not wait, again and again until all its conversions are known.
    pub(crate) async fn knowing<T: Send>(
        &self,
        conversions: &Conversions,
        run: impl Fn() -> T + Send,
    ) -> Result<T, ApiError> {
        loop {
            let done = run();
            let asked = std::mem::take(&mut conversions.0.lock().asked);
            if asked.is_empty() {
                return Ok(done);
            }
            for Asked { object, from, to } in asked {
                let answer = self.convert(from, to, object.clone()).await?;
                conversions.0.lock().known.push((to, object, answer));
            }
        }
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
        let wrong = |why: String| ApiError::new(Reason::Unknown, format!("conversion webhook for {from} {why}"));
        let uid = clock::uuid();
        let version = webhook.reviews.iter().find(|version| REVIEWS.contains(&version.as_str()));
        let unsupported = || ApiError::new(Reason::Unknown, "no supported conversion review versions");
        let version = version.ok_or_else(unsupported)?;
        let review = json!({
            "kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{version}"),
            "request": {"uid": uid, "desiredAPIVersion": kind.group_version().to_string(), "objects": objects},
        });
        let answer = converter.call(webhook, &review).await.map_err(|why| format!("failed: {why}"));
        answer.and_then(|answer| read_review(kind, &objects, (version, &uid), &answer)).map_err(wrong)
    }
}

/// The objects of a webhook's answer, each as `kind`; `asked` is the version and the uid of the review.
pub fn read_review(
    kind: &'static KindDef,
    objects: &[Object],
    asked: (&str, &str),
    answer: &Value,
) -> Result<Vec<Object>, String> {
    let converted = converted_objects(answer, asked).map_err(|why| format!("failed: {why}"))?;
    if converted.len() != objects.len() {
        return Err(format!("returned {} objects, expected {}", converted.len(), objects.len()));
    }
    objects.iter().zip(converted).map(|(original, made)| accept(kind, original, made)).collect()
}

/// `entry` as `kind`, if that takes no webhook any more.
fn known_as(entry: &Arc<Entry>, kind: &'static KindDef) -> Option<Arc<Entry>> {
    if entry.kind().version == kind.version { Some(view(entry, kind)) } else { entry.converted(kind) }
}

/// Conversions of one request that something asks for which can not wait for webhooks; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Conversions(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    known: Vec<(&'static KindDef, Object, Object)>,
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    object: Object,
    from: &'static KindDef,
    to: &'static KindDef,
}

impl Conversions {
    /// An object of `from` as `to`; anything, where that is not known yet.
    pub(crate) fn convert(
        &self,
        kinds: &KindTable,
        from: &'static KindDef,
        to: &'static KindDef,
        object: Object,
    ) -> Object {
        if !converts_by_webhook(to) {
            return kinds.convert(from, to, object);
        }
        let mut answers = self.0.lock();
        let known = answers.known.iter().find(|(kind, asked, _)| ptr::eq(*kind, to) && *asked == object);
        match known.map(|(_, _, answer)| answer.clone()) {
            Some(answer) => answer,
            None => {
                answers.asked.push(Asked { object: object.clone(), from, to });
                object
            }
        }
    }
}

/// Whether objects of a kind may have to be converted by a webhook to be seen.
pub(crate) fn converts_by_webhook(kind: &KindDef) -> bool {
    kind.custom.is_some_and(|custom| custom.webhook().is_some())
}

fn converted_objects<'a>(answer: &'a Value, (version, uid): (&str, &str)) -> Result<&'a [Value], String> {
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
/// annotations change. Errors speak of one object, as upstream's do, which sends each on its own.
fn accept(kind: &KindDef, original: &Object, made: &Value) -> Result<Object, String> {
    let invalid = |why: String| format!("returned invalid object: {why}");
    let mut made = Object::from_value(made.clone()).ok_or_else(|| invalid("it is no object".to_owned()))?;
    let (wanted, got) = (kind.group_version(), made.gvk().group_version());
    if got != wanted {
        return Err(format!(
            "returned invalid object at index 0: invalid groupVersion (expected {wanted}, received {got})"
        ));
    }
    if made.kind() != original.kind() {
        let (wanted, got) = (original.kind(), made.kind());
        return Err(format!("returned invalid object at index 0: invalid kind (expected {wanted}, received {got})"));
    }
    for (name, is, was) in [
        ("name", made.name(), original.name()),
        ("namespace", made.namespace(), original.namespace()),
        ("UID", made.uid(), original.uid()),
    ] {
        if is != was {
            return Err(invalid(format!("must have the same {name}: {was} != {is}")));
        }
    }
    restore_metadata(&mut made, original).map_err(|why| format!("returned invalid metadata: {why}"))?;
    kind.read_converted(&mut made).map_err(invalid)?;
    Ok(made)
}

fn restore_metadata(made: &mut Object, original: &Object) -> Result<(), String> {
    let answered = made.0.get("metadata").cloned().ok_or("missing metadata in converted object")?;
    let of = || format!("invalid metadata of type {} in converted object", go_type(&answered));
    let answered = answered.as_object().ok_or_else(of)?;
    let mut metadata = original.0.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut changed = false;
    for field in ["labels", "annotations"] {
        match answered.get(field).filter(|own| !own.is_null()) {
            None => drop(metadata.remove(field)),
            Some(own) => {
                check_texts(field, own)?;
                let before = metadata.insert(field.to_owned(), own.clone());
                changed |= before.as_ref() != Some(own);
            }
        }
    }
    made.0.insert("metadata".to_owned(), metadata.into());
    if !changed {
        return Ok(());
    }
    let path = Path::new("metadata");
    let mut errors = validate_labels(&made.labels(), &path.child("labels"));
    errors.extend(validate_annotations(&made.strings(&["metadata", "annotations"]), &path.child("annotation")));
    if errors.is_empty() { Ok(()) } else { Err(aggregate(&errors)) }
}

fn check_texts(field: &str, own: &Value) -> Result<(), String> {
    let of = || format!("invalid metadata.{field} of type {} in converted object", go_type(own));
    let texts = own.as_object().ok_or_else(of)?;
    let wrong = texts.iter().find(|(_, value)| !value.is_string());
    wrong.map_or(Ok(()), |(key, value)| {
        Err(format!("metadata.{field}[{key}] must be a string, but is {} in converted object", go_type(value)))
    })
}

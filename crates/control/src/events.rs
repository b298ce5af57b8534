//! Events: what a controller did, told to people as `v1.Event` objects.
//!
//! [`Recorder::event`] never waits and never fails: events go through a bounded channel to one task, which
//! merges repeats into counts as upstream's correlator does (see [`correlate`]) and writes them.

pub mod correlate;

use std::fmt;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::{Instrument, debug, info_span, warn};

use crate::error::ApiErrorExt;
use correlate::{Correlator, Note, Verdict};

/// Events that wait to be written; more than these are dropped.
const QUEUE_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Normal,
    Warning,
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        })
    }
}

/// Records events of one component. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(mpsc::Sender<Note>);

impl Recorder {
    /// Starts the writing task, which ends when the last clone is dropped. `host` may be empty.
    pub fn new(client: Client, component: &str, host: &str) -> Self {
        let (sender, notes) = mpsc::channel(QUEUE_MAX);
        let source = EventSource { component: text(component), host: text(host) };
        let span = info_span!("events", component);
        tokio::spawn(write_all(client, source, notes).instrument(span));
        Self(sender)
    }

    /// A recorder and its notes, for tests of what is recorded.
    pub fn captured() -> (Self, mpsc::Receiver<Note>) {
        let (sender, notes) = mpsc::channel(QUEUE_MAX);
        (Self(sender), notes)
    }

    /// Tells that `reason` (one word, UpperCamelCase) happened to `object`.
    pub fn event<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        type_: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.event_ref(reference(object), type_, reason, message);
    }

    pub fn normal<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, message: impl Into<String>) {
        self.event(object, EventType::Normal, reason, message);
    }

    pub fn warning<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, message: impl Into<String>) {
        self.event(object, EventType::Warning, reason, message);
    }

    /// As [`Self::event`], for an object that is known by reference only, such as one container of a pod.
    pub fn event_ref(&self, object: ObjectReference, type_: EventType, reason: &str, message: impl Into<String>) {
        let at = clock::now();
        let note = Note { object, type_, reason: reason.to_owned(), message: message.into(), at };
        if let Err(error) = self.0.try_send(note) {
            warn!(reason, %error, "event dropped");
        }
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// A reference to `object` for an event.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

async fn write_all(client: Client, source: EventSource, mut notes: mpsc::Receiver<Note>) {
    let mut correlator = Correlator::default();
    while let Some(note) = notes.recv().await {
        let namespace = note.object.namespace.as_deref().unwrap_or("default").to_owned();
        let api = Api::<Event>::namespaced(client.clone(), &namespace);
        let written = match correlator.judge(&note) {
            Verdict::Drop => continue,
            Verdict::Create { message } => create(&api, &mut correlator, &source, &note, message).await,
            Verdict::Count { name, count, message } => {
                match count_up(&api, &name, count, &message, &note).await {
                    // It outlived its hour on the server.
                    Err(error) if error.is_not_found() => create(&api, &mut correlator, &source, &note, message).await,
                    other => other,
                }
            }
        };
        match written {
            Err(error) if error.is_namespace_terminating() => debug!(reason = note.reason, "namespace is going away"),
            Err(error) => warn!(reason = note.reason, %error, "cannot write the event"),
            Ok(()) => {}
        }
    }
}

async fn create(
    api: &Api<Event>,
    correlator: &mut Correlator,
    source: &EventSource,
    note: &Note,
    message: String,
) -> Result<(), kube::Error> {
    let name = format!("{}.{:x}", note.object.name.as_deref().unwrap_or_default(), note.at.as_nanosecond());
    api.create(&PostParams::default(), &new_event(&name, source, note, message)).await?;
    correlator.created(note, name);
    Ok(())
}

fn new_event(name: &str, source: &EventSource, note: &Note, message: String) -> Event {
    let at = Some(Time(clock::to_seconds(note.at)));
    let namespace = note.object.namespace.clone().unwrap_or_else(|| "default".to_owned());
    Event {
        metadata: ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace), ..ObjectMeta::default() },
        involved_object: note.object.clone(),
        reason: Some(note.reason.clone()),
        message: Some(message),
        type_: Some(note.type_.to_string()),
        source: Some(source.clone()),
        reporting_component: source.component.clone(),
        reporting_instance: source.host.clone(),
        first_timestamp: at.clone(),
        last_timestamp: at,
        count: Some(1),
        ..Event::default()
    }
}

async fn count_up(api: &Api<Event>, name: &str, count: i32, message: &str, note: &Note) -> Result<(), kube::Error> {
    let patch = json!({ "count": count, "message": message, "lastTimestamp": clock::format_time(note.at) });
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use k8s_openapi::api::core::v1::Pod;
    use kube::client::Body;
    use serde_json::Value;

    /// Answers each write with what it wrote, and passes method and body on.
    fn echo() -> (Client, mpsc::UnboundedReceiver<(String, Value)>) {
        let (sender, writes) = mpsc::unbounded_channel();
        let client = testing::client(move |request: http::Request<Body>| {
            let sender = sender.clone();
            async move {
                use http_body_util::BodyExt;
                let method = request.method().to_string();
                let body = request.into_body().collect().await.expect("a whole body").to_bytes();
                let mut body: Value = serde_json::from_slice(&body).expect("JSON");
                sender.send((method, body.clone())).expect("the test reads the writes");
                body["metadata"]["name"] = json!("e");
                body["involvedObject"] = json!({});
                testing::json(200, &body)
            }
        });
        (client, writes)
    }

    #[tokio::test]
    async fn a_repeated_event_becomes_a_count() {
        let (client, mut writes) = echo();
        let recorder = Recorder::new(client, "scheduler", "");
        let mut pod = Pod::default();
        pod.metadata.name = Some("web".to_owned());
        pod.metadata.namespace = Some("shop".to_owned());
        recorder.warning(&pod, "FailedScheduling", "no room");
        recorder.warning(&pod, "FailedScheduling", "no room");

        let (method, event) = writes.recv().await.unwrap();
        assert_eq!((method.as_str(), &event["count"]), ("POST", &json!(1)));
        assert_eq!(event["metadata"]["namespace"], "shop");
        assert_eq!(event["involvedObject"]["kind"], "Pod");
        assert_eq!(event["reportingComponent"], "scheduler");
        let (method, patch) = writes.recv().await.unwrap();
        assert_eq!((method.as_str(), &patch["count"]), ("PATCH", &json!(2)));
    }
}

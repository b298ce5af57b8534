//! Watches: one frame for each event, until the time is up, the server closes or the client leaves.

use std::pin::Pin;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use http::StatusCode;
use kinds::KindDef;
use machinery::{ApiError, Object};
use registry::table::{self, IncludeObject};
use registry::{Entry, Watch, WatchEvent};
use serde_json::{Value, json};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::body;
use crate::call::Call;
use crate::negotiate::{Accept, Format, Shape};
use crate::query::Query;
use crate::respond::{self, Answer};

/// How long a watch runs at least when the client does not say (upstream: `MinRequestTimeout`).
const TIMEOUT_MIN: Duration = Duration::from_secs(1800);

/// How long a watch runs: as asked for, else between 30 and 60 minutes.
pub fn timeout(query: &Query) -> Result<Duration, ApiError> {
    match query.int("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.unsigned_abs())),
        _ => Ok(clock::jitter(TIMEOUT_MIN, 1.0)),
    }
}

/// Answers with the events of `watch`. `guard` lives as long as the watch does.
pub fn answer(
    call: &Call,
    accept: Accept,
    kind: &'static KindDef,
    watch: Watch,
    closing: CancellationToken,
    guard: impl Send + 'static,
) -> Result<Answer, ApiError> {
    if accept.format == Format::Yaml {
        let message = "only the following media types are accepted: application/json, application/json;stream=watch";
        return Err(ApiError::new(machinery::Reason::NotAcceptable, message));
    }
    let framer = Framer { kind, shape: accept.shape, include: respond::include_object(call), header: true };
    let deadline = Box::pin(tokio::time::sleep(timeout(&call.query)?));
    let frames = frames(Running { watch, framer, deadline, closing, ended: false, _guard: guard });
    Ok(respond::with(StatusCode::OK, "application/json", body::stream(frames)))
}

/// A watch that ends at once because its start is compacted. Clients expect this as an event: some try the
/// same revision for ever when the request itself fails.
pub fn expired(error: &ApiError) -> Answer {
    respond::with(StatusCode::OK, "application/json", body::full(join("ERROR", &print(&error.status()))))
}

struct Running<G> {
    watch: Watch,
    framer: Framer,
    deadline: Pin<Box<Sleep>>,
    closing: CancellationToken,
    ended: bool,
    _guard: G,
}

fn frames<G: Send + 'static>(running: Running<G>) -> impl Stream<Item = Bytes> + Send {
    futures::stream::unfold(running, |mut running| async move {
        if running.ended {
            return None;
        }
        let event = tokio::select! {
            event = running.watch.next() => event?,
            () = &mut running.deadline => return None,
            () = running.closing.cancelled() => return None,
        };
        running.ended = matches!(event, WatchEvent::Error(_));
        Some((running.framer.frame(&event), running))
    })
}

/// Prints events in the shape that the client asked for.
struct Framer {
    kind: &'static KindDef,
    shape: Shape,
    include: IncludeObject,
    /// Columns are described in the first table only.
    header: bool,
}

impl Framer {
    fn frame(&mut self, event: &WatchEvent) -> Bytes {
        match event {
            WatchEvent::Added(entry) => self.change("ADDED", entry),
            WatchEvent::Modified(entry) => self.change("MODIFIED", entry),
            WatchEvent::Deleted(entry) => self.change("DELETED", entry),
            WatchEvent::Bookmark { revision, initial_events_end } => self.bookmark(*revision, *initial_events_end),
            WatchEvent::Error(error) => join("ERROR", &print(&error.status())),
        }
    }

    fn change(&mut self, event: &str, entry: &Entry) -> Bytes {
        match self.shape {
            Shape::Whole | Shape::Discovery => join(event, &entry.json()),
            Shape::Metadata => join(event, &print(&table::partial_metadata(&entry.object()))),
            Shape::Table => join(event, &self.table(&entry.object())),
        }
    }

    fn table(&mut self, object: &Object) -> Vec<u8> {
        let header = std::mem::take(&mut self.header);
        let metadata = json!({"resourceVersion": object.resource_version()});
        print(&table::render(self.kind, std::iter::once(object), metadata, self.include, header))
    }

    fn bookmark(&mut self, revision: u64, initial_events_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let api_version = self.kind.group_version().to_string();
        let whole = json!({"kind": self.kind.kind, "apiVersion": api_version, "metadata": metadata});
        let object = Object::from_value(whole).expect("made an object just above");
        match self.shape {
            Shape::Whole | Shape::Discovery => join("BOOKMARK", &object.to_bytes()),
            Shape::Metadata => join("BOOKMARK", &print(&table::partial_metadata(&object))),
            Shape::Table => join("BOOKMARK", &self.table(&object)),
        }
    }
}

fn print(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON tree always prints")
}

fn join(event: &str, object: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(object.len() + event.len() + 24);
    for part in [b"{\"type\":\"", event.as_bytes(), b"\",\"object\":", object, b"}\n"] {
        frame.put_slice(part);
    }
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    static PLAIN: KindDef = KindDef { kind: "ConfigMap", resource: "configmaps", ..KindDef::PLAIN };

    fn framer(shape: Shape) -> Framer {
        Framer { kind: &PLAIN, shape, include: IncludeObject::Metadata, header: true }
    }

    fn added() -> WatchEvent {
        let json = br#"{"data":{"a":"b"},"metadata":{"name":"x"}}"#;
        WatchEvent::Added(Arc::new(Entry::new(&PLAIN, "/registry/configmaps/default/x", 5, json)))
    }

    fn parse(frame: &Bytes) -> Value {
        assert!(frame.ends_with(b"\n"));
        serde_json::from_slice(frame).unwrap()
    }

    #[test]
    fn each_event_is_one_line() {
        let event = parse(&framer(Shape::Whole).frame(&added()));
        assert_eq!((&event["type"], &event["object"]["data"]["a"]), (&json!("ADDED"), &json!("b")));
        let event = parse(&framer(Shape::Whole).frame(&WatchEvent::Error(ApiError::expired("gone"))));
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    }

    #[test]
    fn tables_describe_their_columns_once() {
        let mut framer = framer(Shape::Table);
        let first = parse(&framer.frame(&added()));
        let second = parse(&framer.frame(&added()));
        assert_eq!(first["object"]["columnDefinitions"][0]["name"], "Name");
        assert!(second["object"]["columnDefinitions"].is_null());
        assert_eq!(second["object"]["rows"][0]["cells"][0], "x");
    }

    #[test]
    fn the_end_of_initial_events_is_marked() {
        let bookmark = WatchEvent::Bookmark { revision: 12, initial_events_end: true };
        let event = parse(&framer(Shape::Metadata).frame(&bookmark));
        assert_eq!(event["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(event["object"]["metadata"]["resourceVersion"], "12");
        assert_eq!(event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    }
}

//! Watches: one frame for each event, until the time is up, the server closes or the client leaves.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::StatusCode;
use kinds::KindDef;
use machinery::{ApiError, Object};
use registry::table::{self, Rows};
use registry::{Entry, Watch, WatchEvent};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use crate::body;
use crate::call::Call;
use crate::counts::Watched;
use crate::encoded::{self, Encoding};
use crate::negotiate::{self, Accept, Format};
use crate::query::Query;
use crate::respond::{self, Answer};

/// How long a watch runs at least when the client does not say (upstream: `MinRequestTimeout`).
const TIMEOUT_MIN: Duration = Duration::from_secs(1800);
/// Nobody waits longer; it keeps clocks from overflowing.
const TIMEOUT_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What a watch can be answered in.
const STREAMED: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// How long a watch runs: as asked for, else between 30 and 60 minutes.
pub fn timeout(query: &Query) -> Result<Duration, ApiError> {
    match query.int("timeoutSeconds")? {
        Some(0) | None => Ok(clock::jitter(TIMEOUT_MIN, 1.0)),
        Some(seconds) => Ok(Duration::from_secs(seconds.try_into().unwrap_or(0)).min(TIMEOUT_MAX)),
    }
}

/// Answers with the events of `watch`, and counts them. `guard` lives as long as the watch does.
pub fn answer(
    call: &Call,
    accept: Accept,
    kind: &'static KindDef,
    watch: Watch,
    deadline: Instant,
    closing: CancellationToken,
    (counts, guard): (Watched, impl Send + 'static),
) -> Result<Answer, ApiError> {
    if accept.format == Format::Yaml {
        return Err(negotiate::not_acceptable(STREAMED));
    }
    let framer = Framer { kind, encoding: encoding(accept), shown: respond::rows(call, accept), header: true };
    let deadline = Box::pin(tokio::time::sleep_until(deadline));
    let frames = frames(Running { watch, framer, counts, deadline, closing, ended: false, _guard: guard });
    let pieces = frames.flat_map(futures::stream::iter);
    Ok(respond::with(StatusCode::OK, content_type(accept), body::stream(pieces)))
}

fn content_type(accept: Accept) -> &'static str {
    match accept.format {
        Format::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Format::Json | Format::Yaml => Format::Json.content_type(),
    }
}

/// Events are lines: they are never indented.
fn encoding(accept: Accept) -> Option<Encoding> {
    Encoding::of(Accept { pretty: false, ..accept })
}

/// A watch that ends at once, because its start is compacted or yet to come. Clients expect this as an event: some
/// try the same revision for ever when the request itself fails.
pub fn failed(accept: Accept, error: &ApiError) -> Answer {
    let encoding = encoding(accept).unwrap_or_default();
    let body = body::full(encoding.error_event(error).concat());
    respond::with(StatusCode::OK, content_type(accept), body)
}

struct Running<G> {
    watch: Watch,
    framer: Framer,
    counts: Watched,
    deadline: Pin<Box<Sleep>>,
    closing: CancellationToken,
    ended: bool,
    _guard: G,
}

fn frames<G: Send + 'static>(running: Running<G>) -> impl Stream<Item = [Bytes; 2]> + Send {
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
        let frame = running.framer.frame(&event);
        running.counts.sent(frame.iter().map(Bytes::len).sum());
        Some((frame, running))
    })
}

/// Prints events in the shape that the client asked for.
struct Framer {
    kind: &'static KindDef,
    /// None for tables, which are made for each watcher.
    encoding: Option<Encoding>,
    shown: Rows,
    /// Columns are described in the first table only.
    header: bool,
}

impl Framer {
    fn frame(&mut self, event: &WatchEvent) -> [Bytes; 2] {
        match event {
            WatchEvent::Added(entry) => self.change("ADDED", entry),
            WatchEvent::Modified(entry) => self.change("MODIFIED", entry),
            WatchEvent::Deleted(entry) => self.change("DELETED", entry),
            WatchEvent::Bookmark { revision, initial_events_end } => {
                let bookmark = bookmark(self.kind, *revision, *initial_events_end);
                self.change("BOOKMARK", &bookmark)
            }
            WatchEvent::Error(error) => self.encoding.unwrap_or_default().error_event(error),
        }
    }

    fn change(&mut self, event: &'static str, entry: &Entry) -> [Bytes; 2] {
        match self.encoding {
            Some(encoding) => encoding.event(event, entry),
            None => encoded::json_event(event, self.table(&entry.object()).to_string().as_bytes()),
        }
    }

    fn table(&mut self, object: &Object) -> Value {
        let header = std::mem::take(&mut self.header);
        let metadata = json!({"resourceVersion": object.resource_version()});
        table::render(self.kind, std::iter::once(object), metadata, self.shown, header)
    }
}

/// An object that says only how far the watch has come.
fn bookmark(kind: &'static KindDef, revision: u64, initial_events_end: bool) -> Entry {
    let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
    if initial_events_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let api_version = kind.group_version().to_string();
    let object = json!({"kind": kind.kind, "apiVersion": api_version, "metadata": metadata});
    Entry::new(kind, "", 0, object.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::negotiate::Shape;

    static PLAIN: KindDef = KindDef { kind: "ConfigMap", resource: "configmaps", ..KindDef::PLAIN };

    fn framer(shape: Shape) -> Framer {
        let accept = Accept { shape, pretty: true, ..Accept::default() };
        Framer { kind: &PLAIN, encoding: encoding(accept), shown: Rows::default(), header: true }
    }

    fn added() -> WatchEvent {
        let json = br#"{"data":{"a":"b"},"metadata":{"name":"x"}}"#;
        WatchEvent::Added(Arc::new(Entry::new(&PLAIN, "/registry/configmaps/default/x", 5, json)))
    }

    fn parse(frame: &[Bytes; 2]) -> Value {
        let frame = frame.concat();
        assert!(frame.ends_with(b"\n"));
        serde_json::from_slice(&frame).unwrap()
    }

    #[test]
    fn each_event_is_one_line() {
        let event = parse(&framer(Shape::Whole).frame(&added()));
        assert_eq!((&event["type"], &event["object"]["data"]["a"]), (&json!("ADDED"), &json!("b")));
        let event = parse(&framer(Shape::Whole).frame(&WatchEvent::Error(ApiError::expired("gone"))));
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    }

    #[test]
    fn watchers_share_the_bytes_of_an_event() {
        let WatchEvent::Added(entry) = added() else { unreachable!("an event is added") };
        for format in [Format::Json, Format::Protobuf] {
            let encoding = Encoding::of(Accept { format, ..Accept::default() }).unwrap();
            let [one, other] = ["ADDED", "MODIFIED"].map(|event| encoding.event(event, &entry)[1].as_ptr());
            assert_eq!(one, other, "{format:?}");
        }
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

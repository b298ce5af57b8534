//! Spans: what was done, from when to when, as part of what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::Either;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::task::futures::TaskLocalFuture;

use crate::export::Queue;
use crate::otlp::{self, AnyValue, Event, KeyValue, Kind, Value};

/// Whether anything in this process may be traced: all that there is to do where nothing is.
pub(crate) static ON: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    static CURRENT: Span;
}

/// Something that goes on. It ends, and is handed on, with its last clone.
#[derive(Clone)]
pub struct Span(Arc<Inner>);

struct Inner {
    queue: Queue,
    record: Mutex<otlp::Span>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut record = std::mem::take(self.record.get_mut());
        record.end_time_unix_nano = nanoseconds(clock::now());
        self.queue.offer(record);
    }
}

impl Span {
    pub(crate) fn begin(queue: Queue, record: otlp::Span) -> Self {
        let start_time_unix_nano = nanoseconds(clock::now());
        Self(Arc::new(Inner { queue, record: Mutex::new(otlp::Span { start_time_unix_nano, ..record }) }))
    }

    fn child(&self, name: &str, attributes: Vec<KeyValue>) -> Self {
        let parent = self.0.record.lock();
        let record = otlp::Span {
            trace_id: parent.trace_id.clone(),
            span_id: new_id::<8>().to_vec(),
            trace_state: parent.trace_state.clone(),
            parent_span_id: parent.span_id.clone(),
            name: name.to_owned(),
            kind: Kind::Internal.into(),
            attributes,
            flags: parent.flags,
            ..otlp::Span::default()
        };
        drop(parent);
        Self::begin(self.0.queue.clone(), record)
    }

    pub fn event(&self, name: &str, attributes: Vec<KeyValue>) {
        let time_unix_nano = nanoseconds(clock::now());
        self.0.record.lock().events.push(Event { time_unix_nano, name: name.to_owned(), attributes });
    }

    pub fn add(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.0.record.lock().attributes.extend(attributes);
    }

    /// Marks what the span stands for as gone wrong.
    pub fn fail(&self) {
        let code = otlp::StatusCode::Error.into();
        self.0.record.lock().status = Some(otlp::Status { code, message: String::new() });
    }
}

pub fn attribute(key: &str, value: impl Into<Value>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value.into()) }) }
}

/// Never all zeros, which would be no identifier.
pub(crate) fn new_id<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    while id == [0; N] {
        clock::fill_random(&mut id);
    }
    id
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

/// A child of the task's span; nothing where there is none. What it stands for ends when it is dropped.
pub fn child(name: &str, attributes: impl FnOnce() -> Vec<KeyValue>) -> Option<Span> {
    if !ON.load(Ordering::Relaxed) {
        return None;
    }
    CURRENT.try_with(|span| span.child(name, attributes())).ok()
}

/// Runs `future` as what `span` stands for.
pub fn within<F: Future>(span: Option<Span>, future: F) -> Either<TaskLocalFuture<Span, F>, F> {
    match span {
        Some(span) => Either::Left(CURRENT.scope(span, future)),
        None => Either::Right(future),
    }
}

/// Runs `future` as a step of what the task does.
pub fn step<F: Future>(
    name: &str,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    future: F,
) -> Either<TaskLocalFuture<Span, F>, F> {
    within(child(name, attributes), future)
}

/// Notes on the task's span that something happened.
pub fn event(name: &str, attributes: impl FnOnce() -> Vec<KeyValue>) {
    if ON.load(Ordering::Relaxed) {
        // Outside a request that is traced there is no span, and nothing to do.
        CURRENT.try_with(|span| span.event(name, attributes())).unwrap_or_default();
    }
}

//! Which requests are traced.

use std::sync::atomic::Ordering;

use prometheus_client::registry::Registry as Metrics;

use crate::config::{Config, MILLION};
use crate::context::{Parent, SAMPLED};
use crate::export::{self, Queue};
use crate::otlp::{self, KeyValue, Kind, Link};
use crate::span::{ON, Span, attribute, new_id};

/// Begins the traces of one process; clones share everything.
#[derive(Clone)]
pub struct Tracer {
    per_million: i32,
    queue: Queue,
}

/// What the first span of this process says of a request.
pub struct Root<'a> {
    pub name: String,
    pub parent: Option<&'a Parent>,
    /// Whether the caller may say what trace this belongs to, and whether it is sampled; else the trace is a new
    /// one, with a link to the caller's.
    pub trusted: bool,
}

impl Tracer {
    /// Starts the task that sends spans; it ends with the last clone and the last span. Must run inside a tokio
    /// runtime. `service` and `instance` are what this process is called.
    pub fn start(config: &Config, service: &str, instance: &str) -> Self {
        let resource = vec![attribute("service.name", service), attribute("service.instance.id", instance)];
        let queue = export::start(config.endpoint.clone(), resource);
        ON.store(true, Ordering::Relaxed);
        Self { per_million: config.per_million, queue }
    }

    /// Waits until what was traced so far is sent, or given up.
    pub async fn flush(&self) {
        self.queue.flush().await;
    }

    pub fn register(&self, metrics: &mut Metrics) {
        self.queue.register(metrics);
    }

    /// The span of a request, if it is sampled.
    pub fn begin(&self, root: Root<'_>, attributes: impl FnOnce() -> Vec<KeyValue>) -> Option<Span> {
        let parent = root.parent.filter(|_| root.trusted);
        let trace_id = parent.map_or_else(new_id, |parent| parent.trace_id);
        let sampled = parent.map_or_else(|| is_sampled(trace_id, self.per_million), |parent| parent.sampled);
        if !sampled {
            return None;
        }
        let record = otlp::Span {
            trace_id: trace_id.to_vec(),
            span_id: new_id::<8>().to_vec(),
            trace_state: parent.map(|parent| parent.state.clone()).unwrap_or_default(),
            parent_span_id: parent.map(|parent| parent.span_id.to_vec()).unwrap_or_default(),
            name: root.name,
            kind: Kind::Server.into(),
            attributes: attributes(),
            links: root.parent.filter(|_| !root.trusted).map(link).into_iter().collect(),
            flags: SAMPLED.into(),
            ..otlp::Span::default()
        };
        Some(Span::begin(self.queue.clone(), record))
    }
}

fn link(parent: &Parent) -> Link {
    Link {
        trace_id: parent.trace_id.to_vec(),
        span_id: parent.span_id.to_vec(),
        trace_state: parent.state.clone(),
        flags: if parent.sampled { SAMPLED.into() } else { 0 },
    }
}

/// By the trace's identifier, so that all who are asked at the same rate say the same.
/// (upstream: `TraceIDRatioBased`)
fn is_sampled(trace_id: [u8; 16], per_million: i32) -> bool {
    let [.., a, b, c, d, e, f, g, h] = trace_id;
    let place = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
    let per_million = u128::from(per_million.unsigned_abs());
    u128::from(place) * u128::from(MILLION.unsigned_abs()) < per_million << 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_a_share_of_all_identifiers() {
        let id = |half: u64| {
            let mut id = [7; 16];
            id[8..].copy_from_slice(&half.to_be_bytes());
            id
        };
        assert!(is_sampled(id(u64::MAX), 1_000_000) && !is_sampled(id(0), 0));
        let tenth = u64::MAX / 10;
        assert!(is_sampled(id(tenth - 9), 100_000) && !is_sampled(id(tenth + 9), 100_000));
    }
}

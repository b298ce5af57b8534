//! The queue of spans that have ended, and the task that sends them in batches.
//! (upstream: the batch span processor and the OTLP exporter of OpenTelemetry, with their bounds)

use std::time::Duration;

use grpc::{Client, Endpoint};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry as Metrics;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::otlp::{
    EXPORT, ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, Resource, ResourceSpans, Scope,
    ScopeSpans, Span,
};

/// Spans that wait; more are dropped.
const QUEUE_MAX: usize = 2048;
const BATCH_MAX: usize = 512;
/// How long a span may wait for others to go along with.
const BATCH_EVERY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// How long a batch is tried; meanwhile others wait.
const TRY_FOR: Duration = Duration::from_secs(60);
/// What made the spans, by upstream's name.
const SCOPE: &str = "k8s.io/component-base/tracing";

enum Item {
    Span(Box<Span>),
    /// Answered once all that came before is sent or given up.
    Flush(oneshot::Sender<()>),
}

/// Where spans that have ended go; clones share it.
#[derive(Clone)]
pub(crate) struct Queue {
    items: mpsc::Sender<Item>,
    counts: Counts,
}

#[derive(Clone, Default)]
struct Counts {
    sent: Counter,
    dropped: Counter,
}

impl Queue {
    /// Never waits: where there is no place the span is lost, and counted.
    pub fn offer(&self, span: Span) {
        if self.items.try_send(Item::Span(Box::new(span))).is_err() {
            self.counts.dropped.inc();
        }
    }

    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.items.send(Item::Flush(done)).await.is_ok() {
            // An error: the task is gone, and with it what waited.
            drop(flushed.await);
        }
    }

    pub fn register(&self, metrics: &mut Metrics) {
        // The printer adds `_total` to counters.
        let Counts { sent, dropped } = self.counts.clone();
        metrics.register("keelson_trace_spans_exported", "Spans that the collector has taken", sent);
        metrics.register("keelson_trace_spans_dropped", "Spans that were lost", dropped);
    }
}

pub(crate) fn start(endpoint: Endpoint, resource: Vec<KeyValue>) -> Queue {
    let (items, received) = mpsc::channel(QUEUE_MAX);
    let counts = Counts::default();
    let client = Client { endpoint, timeout: TIMEOUT };
    tokio::spawn(Exporter { client, resource, counts: counts.clone() }.run(received));
    Queue { items, counts }
}

struct Exporter {
    client: Client,
    resource: Vec<KeyValue>,
    counts: Counts,
}

impl Exporter {
    async fn run(self, mut items: mpsc::Receiver<Item>) {
        let mut batch = Vec::new();
        while let Some(first) = items.recv().await {
            let flush = fill(&mut batch, first, &mut items).await;
            self.export(std::mem::take(&mut batch), flush.is_some()).await;
            // Who waited may be gone.
            flush.map(|done| done.send(()));
        }
    }

    /// Who waits for a flush is not made to wait for further attempts.
    async fn export(&self, spans: Vec<Span>, once: bool) {
        let count = spans.len() as u64;
        if count == 0 {
            return;
        }
        match self.send(&self.request(spans), once).await {
            Ok(answer) => {
                let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
                let rejected = u64::try_from(rejected).unwrap_or(0).min(count);
                self.counts.sent.inc_by(count - rejected);
                self.counts.dropped.inc_by(rejected);
            }
            Err(error) => {
                tracing::warn!(%error, count, "traces could not be sent");
                self.counts.dropped.inc_by(count);
            }
        }
    }

    async fn send(
        &self,
        request: &ExportTraceServiceRequest,
        once: bool,
    ) -> Result<ExportTraceServiceResponse, grpc::Error> {
        let until = clock::monotonic() + TRY_FOR;
        loop {
            match self.client.call(EXPORT, request).await {
                Err(error) if !once && error.may_pass() && clock::monotonic() + RETRY_EVERY < until => {
                    tracing::debug!(%error, "traces are sent again");
                    tokio::time::sleep(RETRY_EVERY).await;
                }
                done => return done,
            }
        }
    }

    fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = Some(Scope { name: SCOPE.to_owned() });
        let resource = Some(Resource { attributes: self.resource.clone() });
        let scope_spans = vec![ScopeSpans { scope, spans }];
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
    }
}

/// Takes what comes until the batch is full, has waited long enough, or somebody wants it sent.
async fn fill(batch: &mut Vec<Span>, first: Item, items: &mut mpsc::Receiver<Item>) -> Option<oneshot::Sender<()>> {
    let until: Instant = clock::monotonic() + BATCH_EVERY;
    let mut next = Some(first);
    loop {
        match next {
            Some(Item::Span(span)) => batch.push(*span),
            Some(Item::Flush(done)) => return Some(done),
            None => return None,
        }
        if batch.len() == BATCH_MAX {
            return None;
        }
        next = tokio::time::timeout_at(until, items.recv()).await.ok().flatten();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_is_down_costs_spans_and_nothing_else() {
        let queue = start(Endpoint::Unix("/nowhere/at/all".into()), Vec::new());
        let begun = clock::monotonic();
        for _ in 0..QUEUE_MAX + 10 {
            queue.offer(Span::default());
        }
        assert_eq!((queue.counts.dropped.get(), begun.elapsed()), (10, Duration::ZERO));
        tokio::time::sleep(TRY_FOR * 10).await;
        assert_eq!((queue.counts.dropped.get(), queue.counts.sent.get()), (QUEUE_MAX as u64 + 10, 0));
        queue.flush().await;
    }
}

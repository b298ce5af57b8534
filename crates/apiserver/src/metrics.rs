//! Counts and times of requests, under upstream's names and labels.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kinds::KindDef;
use parking_lot::{Mutex, RwLock};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Metrics;

use crate::exposition;
use crate::info::RequestInfo;

const SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// Those of [`SECONDS`] that service levels are measured by.
const LEVEL_SECONDS: [f64; 21] =
    [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];

const BYTES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What a request was about, in words that come from the kind table, so that no client makes new ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    component: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimedLabels {
    #[prometheus(flatten)]
    labels: Labels,
    dry_run: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CountedLabels {
    #[prometheus(flatten)]
    labels: Labels,
    dry_run: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    request_kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabel {
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupResourceLabels {
    group: &'static str,
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    #[prometheus(flatten)]
    labels: Labels,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StorageLabel {
    storage_cluster_id: &'static str,
}

/// The one database that there is.
const STORAGE: &str = "sqlite-0";

/// Codes of requests that the server ended to protect itself. (upstream: `RecordRequestTermination`)
const ENDED: [u16; 2] = [429, 504];

impl Labels {
    pub fn new(info: &RequestInfo, method: &Method, kind: Option<&'static KindDef>) -> Self {
        let subresource = kind.and_then(|kind| kind.subresource(&info.subresource));
        Self {
            verb: verb(info, method),
            group: kind.map_or("", |kind| kind.group),
            version: kind.map_or("", |kind| kind.version),
            resource: kind.map_or("", |kind| kind.resource),
            subresource: subresource.map_or("", |subresource| subresource.name()),
            scope: info.scope(),
            component: "apiserver",
        }
    }
}

pub fn verb(info: &RequestInfo, method: &Method) -> &'static str {
    if matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy" | "log") {
        return "CONNECT";
    }
    match info.verb.as_str() {
        "list" => "LIST",
        "watch" => "WATCH",
        "deletecollection" => "DELETECOLLECTION",
        _ => match *method {
            Method::GET | Method::HEAD => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        },
    }
}

/// All that one kind of answer counts towards, found by one look.
struct Series {
    requests: Counter,
    seconds: Histogram,
    level_seconds: Histogram,
    ended: Option<Counter>,
}

/// What `/metrics` shows.
pub struct ServerMetrics {
    shown: Metrics,
    /// Of other components of this process.
    others: Mutex<Vec<Metrics>>,
    series: RwLock<HashMap<CountedLabels, Series>>,
    requests: Family<CountedLabels, Counter>,
    seconds: Family<TimedLabels, Histogram>,
    level_seconds: Family<Labels, Histogram>,
    ended: Family<EndedLabels, Counter>,
    in_flight: Family<KindLabel, Gauge>,
    long_running: Family<Labels, Gauge>,
    objects: Family<ResourceLabel, Gauge>,
    group_objects: Family<GroupResourceLabels, Gauge>,
    sizes: Family<Labels, Histogram>,
    stored: Family<StorageLabel, Gauge>,
}

/// Counts something as running until it is dropped.
pub struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn running(gauge: Gauge) -> Running {
    gauge.inc();
    Running(gauge)
}

impl Default for ServerMetrics {
    fn default() -> Self {
        let requests = Family::default();
        let seconds: Family<TimedLabels, Histogram> = Family::new_with_constructor(|| Histogram::new(SECONDS));
        let level_seconds: Family<Labels, Histogram> = Family::new_with_constructor(|| Histogram::new(LEVEL_SECONDS));
        let (in_flight, long_running, objects) = (Family::default(), Family::default(), Family::default());
        let (ended, group_objects) = (Family::default(), Family::default());
        let sizes: Family<Labels, Histogram> = Family::new_with_constructor(|| Histogram::new(BYTES));
        let mut shown = Metrics::default();
        // The printer adds `_total` to counters.
        shown.register("apiserver_request", "Counter of apiserver requests", Family::clone(&requests));
        shown.register(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds",
            seconds.clone(),
        );
        let help = "Maximal number of currently used inflight request limit of this apiserver per request kind";
        shown.register("apiserver_current_inflight_requests", help, Family::clone(&in_flight));
        let help = "Gauge of all active long-running apiserver requests";
        shown.register("apiserver_longrunning_requests", help, Family::clone(&long_running));
        let help = "Number of stored objects at the time of last check split by kind";
        shown.register("apiserver_storage_objects", help, Family::clone(&objects));
        let help = "Number of stored objects at the time of last check split by group and resource";
        shown.register("apiserver_resource_objects", help, Family::clone(&group_objects));
        let help = "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds";
        shown.register("apiserver_request_sli_duration_seconds", help, level_seconds.clone());
        let help = "Number of requests which apiserver terminated in self-defense";
        shown.register("apiserver_request_terminations", help, Family::clone(&ended));
        let help = "Response size distribution in bytes for each group, version, verb, resource, subresource and scope";
        shown.register("apiserver_response_sizes", help, sizes.clone());
        let stored = Family::default();
        let help = "Size of the storage database file physically allocated in bytes";
        shown.register("apiserver_storage_size_bytes", help, Family::clone(&stored));
        Self {
            shown,
            others: Mutex::default(),
            series: RwLock::default(),
            requests,
            seconds,
            level_seconds,
            ended,
            in_flight,
            long_running,
            objects,
            group_objects,
            sizes,
            stored,
        }
    }
}

impl Series {
    fn count(&self, took: Duration, waited: Duration) {
        self.requests.inc();
        self.level_seconds.observe(took.saturating_sub(waited).as_secs_f64());
        self.seconds.observe(took.as_secs_f64());
        if let Some(ended) = &self.ended {
            ended.inc();
        }
    }
}

impl ServerMetrics {
    /// `waited` is the part of `took` that was spent in a queue.
    pub fn observe(&self, labels: Labels, dry_run: bool, code: u16, (took, waited): (Duration, Duration)) {
        let labels = CountedLabels { labels, dry_run: if dry_run { "All" } else { "" }, code };
        let found = self.series.read().get(&labels).map(|series| series.count(took, waited));
        if found.is_none() {
            let series = self.series_of(&labels);
            series.count(took, waited);
            self.series.write().insert(labels, series);
        }
    }

    fn series_of(&self, counted: &CountedLabels) -> Series {
        let CountedLabels { labels, dry_run, code } = counted.clone();
        let ended = EndedLabels { labels: labels.clone(), code };
        Series {
            requests: self.requests.get_or_create(counted).clone(),
            level_seconds: self.level_seconds.get_or_create(&labels).clone(),
            seconds: self.seconds.get_or_create(&TimedLabels { labels, dry_run }).clone(),
            ended: ENDED.contains(&code).then(|| self.ended.get_or_create(&ended).clone()),
        }
    }

    /// Of reads whose size is known before they are sent.
    pub fn observe_size(&self, labels: &Labels, bytes: Option<u64>) {
        if let Some(bytes) = bytes.filter(|_| matches!(labels.verb, "GET" | "LIST")) {
            self.sizes.get_or_create(labels).observe(bytes as f64);
        }
    }

    pub fn in_flight(&self, mutating: bool) -> Running {
        let request_kind = if mutating { "mutating" } else { "readOnly" };
        running(self.in_flight.get_or_create(&KindLabel { request_kind }).clone())
    }

    pub fn long_running(&self, info: &RequestInfo, kind: Option<&'static KindDef>) -> Running {
        let labels = Labels::new(info, &Method::GET, kind);
        running(self.long_running.get_or_create(&labels).clone())
    }

    /// The text of all metrics; `objects` are the counts of stored objects by kind, `stored` are the bytes that the
    /// store takes on disk.
    pub fn print(
        &self,
        objects: impl Iterator<Item = (&'static KindDef, usize)>,
        stored: Option<u64>,
    ) -> Result<String, std::fmt::Error> {
        if let Some(bytes) = stored {
            let stored = self.stored.get_or_create(&StorageLabel { storage_cluster_id: STORAGE });
            stored.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        for (kind, count) in objects {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.objects.get_or_create(&ResourceLabel { resource: kind.group_resource().to_string() }).set(count);
            let labels = GroupResourceLabels { group: kind.group, resource: kind.resource };
            self.group_objects.get_or_create(&labels).set(count);
        }
        let mut text = String::new();
        encode_registry(&mut text, &self.shown)?;
        for others in self.others.lock().iter() {
            encode_registry(&mut text, others)?;
        }
        text.push_str(&crate::process::metrics());
        Ok(exposition::text(&text))
    }

    /// Shows the metrics of another component of this process as well.
    pub fn add(&self, metrics: Metrics) {
        self.others.lock().push(metrics);
    }
}

/// Shared by everything that serves requests.
pub type SharedMetrics = Arc<ServerMetrics>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    static POD: KindDef = KindDef { kind: "Pod", resource: "pods", ..KindDef::PLAIN };

    #[test]
    fn requests_are_counted_under_upstreams_names() {
        let metrics = ServerMetrics::default();
        let info = RequestInfo::new(&Method::GET, "/api/v1/namespaces/a/pods", &Query::default());
        let labels = Labels::new(&info, &Method::GET, Some(&POD));
        metrics.observe(labels.clone(), false, 200, (Duration::from_millis(300), Duration::from_millis(220)));
        metrics.observe(labels, false, 429, (Duration::ZERO, Duration::ZERO));
        let watching = metrics.long_running(&info, Some(&POD));
        let text = metrics.print([(&POD, 4)].into_iter(), Some(4096)).unwrap();
        let labels = r#"verb="LIST",group="",version="v1",resource="pods",subresource="",scope="namespace",component="apiserver""#;
        let want = format!("apiserver_request_total{{{labels},dry_run=\"\",code=\"200\"}} 1");
        assert!(text.contains(&want), "{text}");
        assert!(text.contains(&format!("apiserver_longrunning_requests{{{labels}}} 1")), "{text}");
        assert!(text.contains(r#"apiserver_storage_objects{resource="pods"} 4"#), "{text}");
        assert!(text.contains(r#"apiserver_resource_objects{group="",resource="pods"} 4"#), "{text}");
        assert!(text.contains(&format!("apiserver_request_terminations_total{{{labels},code=\"429\"}} 1")), "{text}");
        assert!(text.contains(r#"apiserver_storage_size_bytes{storage_cluster_id="sqlite-0"} 4096"#), "{text}");
        let level = format!("apiserver_request_sli_duration_seconds_bucket{{le=\"0.1\",{labels}}} 2");
        assert!(text.contains(&level), "{text}");
        drop(watching);
        let text = metrics.print(std::iter::empty(), None).unwrap();
        assert!(text.contains(&format!("apiserver_longrunning_requests{{{labels}}} 0")), "{text}");
    }
}

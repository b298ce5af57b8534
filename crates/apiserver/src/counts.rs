//! Counts and times of what happens beside answers, under upstream's names and labels: who was let in, what watchers
//! were sent, what was checked.

use std::time::Duration;

use auth::Decision;
use kinds::KindDef;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry as Metrics;

use crate::exposition::PlainCounter;
use crate::version::GIT_VERSION;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    group: &'static str,
    version: &'static str,
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeprecatedLabels {
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    removed_release: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UserLabel {
    username: &'static str,
}

/// One of few words for any name. (upstream: `compressUsername`)
fn known_user(name: &str) -> &'static str {
    const OWN: [&str; 5] = ["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];
    let own = OWN.into_iter().find(|own| *own == name);
    own.unwrap_or(if name.contains('@') { "email_id" } else { "other" })
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    name: &'static str,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckedLabels {
    name: &'static str,
    r#type: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    major: &'static str,
    minor: &'static str,
    git_version: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

pub struct Counts {
    watched: Family<KindLabels, Counter>,
    watched_sizes: Histograms<KindLabels>,
    authenticated: Histograms<ResultLabel>,
    attempts: Family<ResultLabel, PlainCounter>,
    users: Family<UserLabel, PlainCounter>,
    authorized: Family<ResultLabel, Counter>,
    authorized_seconds: Histograms<ResultLabel>,
    deprecated: Family<DeprecatedLabels, Gauge>,
    checks: Family<CheckLabels, Gauge>,
    checked: Family<CheckedLabels, Counter>,
    pub broken_handshakes: Counter,
}

/// What the watchers of a kind are sent.
pub struct Watched {
    events: Counter,
    sizes: Histogram,
}

impl Watched {
    pub fn sent(&self, bytes: usize) {
        self.events.inc();
        self.sizes.observe(bytes as f64);
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Counts {
    pub fn register(metrics: &mut Metrics) -> Self {
        let counts = Self {
            watched: Family::default(),
            watched_sizes: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1024.0, 2.0, 8))),
            authenticated: Family::new_with_constructor(seconds),
            attempts: Family::default(),
            users: Family::default(),
            authorized: Family::default(),
            authorized_seconds: Family::new_with_constructor(seconds),
            deprecated: Family::default(),
            checks: Family::default(),
            checked: Family::default(),
            broken_handshakes: Counter::default(),
        };
        counts.show(metrics);
        counts
    }

    fn show(&self, metrics: &mut Metrics) {
        // The printer adds `_total` to counters.
        let help = "Number of events sent in watch clients";
        metrics.register("apiserver_watch_events", help, self.watched.clone());
        metrics.register(
            "apiserver_watch_events_sizes",
            "Watch event size distribution in bytes",
            self.watched_sizes.clone(),
        );
        let help = "Number of requests dropped with 'TLS handshake error from' error";
        metrics.register("apiserver_tls_handshake_errors", help, self.broken_handshakes.clone());
        let help = "Authentication duration in seconds broken out by result";
        metrics.register("authentication_duration_seconds", help, self.authenticated.clone());
        metrics.register("authentication_attempts", "Counter of authenticated attempts", self.attempts.clone());
        let help = "Counter of authenticated requests broken out by username";
        metrics.register("authenticated_user_requests", help, self.users.clone());
        let help = "Gauge of deprecated APIs that have been requested";
        metrics.register("apiserver_requested_deprecated_apis", help, self.deprecated.clone());
        let help = "Counter of authorization attempts broken down by result";
        metrics.register("authorization_attempts", help, self.authorized.clone());
        let help = "Authorization duration in seconds broken out by result";
        metrics.register("authorization_duration_seconds", help, self.authorized_seconds.clone());
        let help = "This metric records the result of a single healthcheck";
        metrics.register("kubernetes_healthcheck", help, self.checks.clone());
        let help = "This metric records the results of all healthcheck";
        metrics.register("kubernetes_healthchecks", help, self.checked.clone());
        let build: Family<BuildLabels, Gauge> = Family::default();
        build.get_or_create(&BuildLabels { major: "1", minor: "35", git_version: GIT_VERSION }).set(1);
        metrics.register("kubernetes_build_info", "A metric with a constant '1' value labeled by version", build);
    }

    pub fn watched(&self, kind: &'static KindDef) -> Watched {
        let labels = KindLabels { group: kind.group, version: kind.version, resource: kind.resource };
        Watched {
            events: self.watched.get_or_create(&labels).clone(),
            sizes: self.watched_sizes.get_or_create(&labels).clone(),
        }
    }

    /// A version that will go was used.
    pub fn deprecated(&self, kind: &'static KindDef, subresource: &str) {
        let labels = DeprecatedLabels {
            group: kind.group,
            version: kind.version,
            resource: kind.resource,
            subresource: kind.subresource(subresource).map_or("", |subresource| subresource.name()),
            removed_release: kind.deprecation.map_or("", |deprecation| deprecation.removed),
        };
        self.deprecated.get_or_create(&labels).set(1);
    }

    /// Nothing is told of a user where nobody was let in.
    pub fn authenticated(&self, user: Option<&str>, took: Duration) {
        let label = ResultLabel { result: if user.is_some() { "success" } else { "failure" } };
        self.attempts.get_or_create(&label).inc();
        self.authenticated.get_or_create(&label).observe(took.as_secs_f64());
        if let Some(name) = user {
            self.users.get_or_create(&UserLabel { username: known_user(name) }).inc();
        }
    }

    pub fn authorized(&self, decision: &Decision, took: Duration) {
        let label = ResultLabel {
            result: match decision {
                Decision::Allow(_) => "allowed",
                Decision::Deny(_) => "denied",
                Decision::NoOpinion(_) => "no-opinion",
                Decision::Failed { .. } => "error",
            },
        };
        self.authorized.get_or_create(&label).inc();
        self.authorized_seconds.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// One check of `/healthz`, `/livez` or `/readyz`.
    pub fn checked(&self, endpoint: &'static str, name: &'static str, passed: bool) {
        let status = if passed { "success" } else { "error" };
        self.checks.get_or_create(&CheckLabels { name, r#type: endpoint }).set(passed.into());
        self.checked.get_or_create(&CheckedLabels { name, r#type: endpoint, status }).inc();
    }
}

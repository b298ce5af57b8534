//! What this process counts of authentication and authorization, under upstream's names.
//! (upstream: apiserver/pkg/{authentication,authorization,server/options}/.../metrics, pkg/serviceaccount/metrics.go)

use std::fmt::Display;
use std::sync::atomic::AtomicU64;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

type Labels = Vec<(&'static str, String)>;
type Seconds = Family<Labels, Histogram, fn() -> Histogram>;
type Times = Family<Labels, Gauge<f64, AtomicU64>>;

/// As upstream's: one for the process.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

pub(crate) struct Metrics {
    pub legacy_tokens: Counter,
    pub legacy_auto_tokens: Counter,
    pub legacy_manual_tokens: Counter,
    pub legacy_invalid_tokens: Counter,
    pub valid_tokens: Counter,
    pub stale_tokens: Counter,
    pub authentication: Reloads,
    pub authorization: Reloads,
    judged: Seconds,
    fetched: Times,
    key_sets: Family<Labels, Gauge>,
    decisions: Family<Labels, Counter>,
    asked: Family<Labels, Counter>,
    asked_seconds: Seconds,
    failed_open: Family<Labels, Counter>,
    condition_errors: Family<Labels, Counter>,
    condition_exclusions: Family<Labels, Counter>,
    condition_seconds: Seconds,
    cache_requests: Family<Labels, Counter>,
    cache_fetches: Family<Labels, Counter>,
    cache_seconds: Seconds,
    cache_waits: Family<Labels, Gauge>,
    server: OnceLock<String>,
}

impl Default for Metrics {
    fn default() -> Self {
        let short: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let usual: fn() -> Histogram =
            || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        Self {
            legacy_tokens: Counter::default(),
            legacy_auto_tokens: Counter::default(),
            legacy_manual_tokens: Counter::default(),
            legacy_invalid_tokens: Counter::default(),
            valid_tokens: Counter::default(),
            stale_tokens: Counter::default(),
            authentication: Reloads::default(),
            authorization: Reloads::default(),
            judged: Family::new_with_constructor(short),
            fetched: Family::default(),
            key_sets: Family::default(),
            decisions: Family::default(),
            asked: Family::default(),
            asked_seconds: Family::new_with_constructor(usual),
            failed_open: Family::default(),
            condition_errors: Family::default(),
            condition_exclusions: Family::default(),
            condition_seconds: Family::new_with_constructor(short),
            cache_requests: Family::default(),
            cache_fetches: Family::default(),
            cache_seconds: Family::new_with_constructor(usual),
            cache_waits: Family::default(),
            server: OnceLock::new(),
        }
    }
}

/// What became of a configuration's file.
#[derive(Default)]
pub(crate) struct Reloads {
    count: Family<Labels, Counter>,
    at: Times,
    config: Family<Labels, Gauge>,
}

impl Reloads {
    /// `Ok(false)`: there was nothing new.
    pub fn reloaded<E: Display>(&self, outcome: &Result<bool, E>) {
        let status = match outcome {
            Ok(false) => return,
            Ok(true) => "success",
            Err(_) => "failure",
        };
        let labels = vec![METRICS.server(), ("status", status.to_owned())];
        self.count.get_or_create(&labels).inc();
        self.at.get_or_create(&labels).set(now());
    }

    /// The configuration that holds from now on.
    pub fn in_use(&self, text: &str) {
        self.config.clear();
        self.config.get_or_create(&vec![METRICS.server(), ("hash", hash(text))]).set(1);
    }

    fn register(&self, registry: &mut Registry, what: &str) {
        let prefix = format!("apiserver_{what}_config_controller");
        let help =
            format!("Total number of automatic reloads of {what} configuration split by status and apiserver identity");
        registry.register(format!("{prefix}_automatic_reloads"), help, self.count.clone());
        let help = format!(
            "Timestamp of the last automatic reload of {what} configuration split by status and apiserver identity"
        );
        registry.register(format!("{prefix}_automatic_reload_last_timestamp_seconds"), help, self.at.clone());
        let help = format!(
            "Information about the last applied {what} configuration with hash as label, split by apiserver identity"
        );
        registry.register(format!("{prefix}_last_config_info"), help, self.config.clone());
    }
}

impl Metrics {
    fn server(&self) -> (&'static str, String) {
        ("apiserver_id_hash", self.server.get().cloned().unwrap_or_default())
    }

    /// A token of an issuer was judged.
    pub fn token_judged(&self, issuer: &str, holds: bool, took: Duration) {
        let labels = vec![("jwt_issuer_hash", hash(issuer)), result(if holds { "success" } else { "failure" })];
        self.judged.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub fn fetched_keys(&self, issuer: &str, succeeded: bool) {
        let outcome = result(if succeeded { "success" } else { "failure" });
        let labels = vec![outcome, ("jwt_issuer_hash", hash(issuer)), self.server()];
        self.fetched.get_or_create(&labels).set(now());
    }

    /// The keys that the issuer has from now on.
    pub fn key_set(&self, issuer: &str, keys: &Value) {
        let labels = vec![("hash", hash(&keys.to_string())), ("jwt_issuer_hash", hash(issuer)), self.server()];
        if self.key_sets.get(&labels).is_none() {
            // Few issuers, seldom other keys: those of the others come back with their next fetch.
            self.key_sets.clear();
            self.key_sets.get_or_create(&labels).set(1);
        }
    }

    pub fn decided(&self, of: &'static str, name: &str, decision: &'static str) {
        let labels = vec![("type", of.to_owned()), ("name", name.to_owned()), ("decision", decision.to_owned())];
        self.decisions.get_or_create(&labels).inc();
    }

    /// An authorization webhook was asked. `failed_open`: it failed, and others decide.
    pub fn asked(&self, name: &str, outcome: &'static str, failed_open: bool, took: Duration) {
        let labels = vec![("name", name.to_owned()), result(outcome)];
        self.asked.get_or_create(&labels).inc();
        self.asked_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        if failed_open {
            self.failed_open.get_or_create(&labels).inc();
        }
    }

    /// Conditions of an authorization webhook were looked at.
    pub fn conditions(&self, name: &str, held: &Result<bool, String>, took: Duration) {
        let labels = vec![("type", "Webhook".to_owned()), ("name", name.to_owned())];
        self.condition_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        match held {
            Ok(true) => {}
            Ok(false) => {
                self.condition_exclusions.get_or_create(&labels).inc();
            }
            Err(_) => {
                self.condition_errors.get_or_create(&labels).inc();
            }
        }
    }

    /// A token was looked up among remembered answers, and asked for if it was not found.
    pub fn looked_up(&self, found: bool, took: Duration) {
        let labels = status(if found { "hit" } else { "miss" });
        self.cache_requests.get_or_create(&labels).inc();
        self.cache_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A token that is not remembered is asked for until this is dropped.
    pub fn fetching(&self) -> Fetching {
        let waits = ["blocked", "in_flight"].map(|of| self.cache_waits.get_or_create(&status(of)).clone());
        for waits in &waits {
            waits.inc();
        }
        Fetching(waits)
    }

    /// That ended.
    pub fn fetched_answer(&self, succeeded: bool) {
        self.cache_fetches.get_or_create(&status(if succeeded { "ok" } else { "error" })).inc();
    }
}

/// A request that waits for an answer, which it asks for itself.
pub(crate) struct Fetching([Gauge; 2]);

impl Drop for Fetching {
    fn drop(&mut self) {
        for waits in &self.0 {
            waits.dec();
        }
    }
}

fn status(status: &str) -> Labels {
    vec![("status", status.to_owned())]
}

fn result(outcome: &str) -> (&'static str, String) {
    ("result", outcome.to_owned())
}

fn now() -> f64 {
    clock::now().as_millisecond() as f64 / 1000.0
}

fn hash(text: &str) -> String {
    format!("sha256:{}", machinery::strconv::hex(&Sha256::digest(text)))
}

/// Shows all of them; `server` is the identity of this one.
pub fn register(registry: &mut Registry, server: &str) {
    let of = &*METRICS;
    of.server.get_or_init(|| hash(server));
    // The printer adds `_total` to counters.
    for (name, help, counter) in [
        ("legacy_tokens", "Cumulative legacy service account tokens used", &of.legacy_tokens),
        ("legacy_auto_token_uses", "Cumulative auto-generated legacy tokens used", &of.legacy_auto_tokens),
        ("legacy_manual_token_uses", "Cumulative manually created legacy tokens used", &of.legacy_manual_tokens),
        (
            "invalid_legacy_auto_token_uses",
            "Cumulative invalid auto-generated legacy tokens used",
            &of.legacy_invalid_tokens,
        ),
        ("valid_tokens", "Cumulative valid projected service account tokens used", &of.valid_tokens),
        ("stale_tokens", "Cumulative stale projected service account tokens used", &of.stale_tokens),
    ] {
        registry.register(format!("serviceaccount_{name}"), help, counter.clone());
    }
    of.authentication.register(registry, "authentication");
    of.authorization.register(registry, "authorization");
    registry.register(
        "apiserver_authentication_jwt_authenticator_latency_seconds",
        "Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache \
         miss only (i.e. when the token is not found in the cache).",
        of.judged.clone(),
    );
    registry.register(
        "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds",
        "Timestamp of the last successful or failed JWKS fetch split by result, api server identity and jwt issuer for \
         the JWT authenticator.",
        of.fetched.clone(),
    );
    registry.register(
        "apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info",
        "Information about the last JWKS fetched by the JWT authenticator with hash as label, split by api server \
         identity and jwt issuer.",
        of.key_sets.clone(),
    );
    registry.register(
        "apiserver_authorization_decisions",
        "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
        of.decisions.clone(),
    );
    registry.register(
        "apiserver_authorization_webhook_evaluations",
        "Round-trips to authorization webhooks.",
        of.asked.clone(),
    );
    registry.register(
        "apiserver_authorization_webhook_duration_seconds",
        "Request latency in seconds.",
        of.asked_seconds.clone(),
    );
    registry.register(
        "apiserver_authorization_webhook_evaluations_fail_open",
        "NoOpinion results due to webhook timeout or error.",
        of.failed_open.clone(),
    );
    registry.register(
        "apiserver_authorization_match_condition_evaluation_errors",
        "Total number of errors when an authorization webhook encounters a match condition error split by authorizer \
         type and name.",
        of.condition_errors.clone(),
    );
    registry.register(
        "apiserver_authorization_match_condition_exclusions",
        "Total number of exclusions when an authorization webhook is skipped because match conditions exclude it.",
        of.condition_exclusions.clone(),
    );
    registry.register(
        "apiserver_authorization_match_condition_evaluation_seconds",
        "Authorization match condition evaluation time in seconds, split by authorizer type and name.",
        of.condition_seconds.clone(),
    );
    registry.register("authentication_token_cache_request", "", of.cache_requests.clone());
    registry.register("authentication_token_cache_fetch", "", of.cache_fetches.clone());
    registry.register("authentication_token_cache_request_duration_seconds", "", of.cache_seconds.clone());
    registry.register("authentication_token_cache_active_fetch_count", "", of.cache_waits.clone());
}

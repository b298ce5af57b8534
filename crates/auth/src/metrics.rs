//! What this process counts of authentication and authorization, under upstream's names.

use std::sync::LazyLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// As upstream's: one for the process.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

#[derive(Default)]
pub(crate) struct Metrics {
    pub legacy_tokens: Counter,
    pub legacy_auto_tokens: Counter,
    pub legacy_manual_tokens: Counter,
    pub legacy_invalid_tokens: Counter,
    pub valid_tokens: Counter,
}

/// Shows all of them.
pub fn register(registry: &mut Registry) {
    let of = &*METRICS;
    // The printer adds `_total` to counters.
    for (name, help, counter) in [
        ("serviceaccount_legacy_tokens", "Cumulative legacy service account tokens used", &of.legacy_tokens),
        (
            "serviceaccount_legacy_auto_token_uses",
            "Cumulative auto-generated legacy tokens used",
            &of.legacy_auto_tokens,
        ),
        (
            "serviceaccount_legacy_manual_token_uses",
            "Cumulative manually created legacy tokens used",
            &of.legacy_manual_tokens,
        ),
        (
            "serviceaccount_invalid_legacy_auto_token_uses",
            "Cumulative invalid auto-generated legacy tokens used",
            &of.legacy_invalid_tokens,
        ),
        ("serviceaccount_valid_tokens", "Cumulative valid projected service account tokens used", &of.valid_tokens),
    ] {
        registry.register(name, help, counter.clone());
    }
}

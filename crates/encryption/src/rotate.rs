//! Follows the file of the rules, and finishes what a change of keys begins.

use std::sync::Arc;
use std::time::Duration;

use registry::Registry;

use crate::{ConfigError, Encryption, Rules, Source, keys};
use filewatch::FileWatch;

/// Wait between two looks at whether a write by the old rules is still under way.
const SETTLE_EVERY: Duration = Duration::from_millis(20);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// Takes over what the file says whenever it changes. Of the cluster's own keys all but the first are dropped
/// once everything is stored by that. Ends only when it is dropped, which is safe.
pub async fn follow(encryption: Arc<Encryption>, registry: Registry) {
    let path = match &encryption.source {
        Source::OwnKeys(path) | Source::Config(path) => path.clone(),
    };
    loop {
        match FileWatch::new(&path) {
            Ok(watch) => follow_file(&encryption, &registry, watch).await,
            Err(error) => tracing::warn!(%error, "the encryption configuration can not be watched"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_file(encryption: &Encryption, registry: &Registry, mut watch: FileWatch) {
    loop {
        match encryption.reload() {
            Ok(before) => finish(encryption, registry, before).await,
            Err(error) => tracing::error!(%error, "the encryption configuration stays as it was"),
        }
        if let Err(error) = watch.changed().await {
            tracing::warn!(%error, "the encryption configuration can not be watched");
            return;
        }
    }
}

/// Stores anew what the first of several own keys does not open, until nothing needs the others.
async fn finish(encryption: &Encryption, registry: &Registry, before: Arc<Rules>) {
    let Source::OwnKeys(path) = &encryption.source else { return };
    if keys::count(path).is_ok_and(|count| count == 1) {
        return;
    }
    settle(before).await;
    loop {
        match registry.store_outdated_anew().await {
            Ok(0) => break,
            Ok(count) => tracing::info!(count, "values are encrypted by the newest key"),
            Err(error) => {
                tracing::warn!(error, "values stay encrypted by an older key");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    if let Err(error) = keys::drop_old(path) {
        let error: ConfigError = error;
        tracing::warn!(%error, "older keys stay in the file");
    }
}

/// Until no write holds the rules that were replaced: it may still store by them.
async fn settle(before: Arc<Rules>) {
    while Arc::strong_count(&before) > 1 {
        tokio::time::sleep(SETTLE_EVERY).await;
    }
}

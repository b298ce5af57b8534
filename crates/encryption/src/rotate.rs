//! Follows the file of the rules, and finishes what a change of keys begins.

use std::sync::Arc;
use std::time::Duration;

use registry::Registry;

use crate::{ConfigError, Encryption, Rules, Source, keys};
use files::FileWatch;

/// Wait between two looks at whether a write by the old rules is still under way.
const SETTLE_EVERY: Duration = Duration::from_millis(20);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// Takes over what the file says whenever it changes. Of the cluster's own keys all but the first are retired once
/// everything is stored by that, and go when nobody can read what was before. Ends only when it is dropped, which is
/// safe.
pub async fn follow(encryption: Arc<Encryption>, registry: Registry) {
    let path = match &encryption.source {
        Source::OwnKeys(path) | Source::SharedKeys(path) | Source::Config(path) => path.clone(),
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
        tokio::select! {
            changed = watch.changed() => if let Err(error) = changed {
                tracing::warn!(%error, "the encryption configuration can not be watched");
                return;
            },
            () = forget(encryption, registry) => {}
        }
    }
}

/// Waits until no retired key is needed for the past, and drops them from the file. Forever if there is none.
async fn forget(encryption: &Encryption, registry: &Registry) {
    let Source::OwnKeys(path) = &encryption.source else { return std::future::pending().await };
    let Ok(Some(revision)) = keys::retired(path) else { return std::future::pending().await };
    registry.forgotten(revision).await;
    if let Err(error) = keys::forget(path, revision) {
        tracing::warn!(%error, "retired keys stay in the file");
        std::future::pending::<()>().await;
    }
}

/// Stores anew what the first of several own keys does not open, until nothing needs the others.
async fn finish(encryption: &Encryption, registry: &Registry, before: Arc<Rules>) {
    let Source::OwnKeys(path) = &encryption.source else { return };
    if keys::count(path).is_ok_and(|count| count == 1) {
        return;
    }
    let Some(by) = encryption.rules.load().writes_by().map(str::to_owned) else { return };
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
    let retired = registry.stored_revision().await.map(|revision| keys::retire(path, &by, revision));
    match retired {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "older keys stay in use"),
        Err(error) => tracing::warn!(error, "older keys stay in use"),
    }
}

impl Encryption {
    /// Reads the rules again, and returns once nothing is written by those of before.
    pub async fn renew(&self) -> Result<(), ConfigError> {
        settle(self.reload()?).await;
        Ok(())
    }
}

/// Until no write holds the rules that were replaced: it may still store by them.
async fn settle(before: Arc<Rules>) {
    while Arc::strong_count(&before) > 1 {
        tokio::time::sleep(SETTLE_EVERY).await;
    }
}

//! One write of a quota for the charges of many requests.
//!
//! All who create something in a namespace charge the same few objects. One of them writes what has gathered while the
//! write before was under way, and tells the others what came of their charges.

use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;

use machinery::{ApiError, Object};
use parking_lot::Mutex;
use registry::{Context, Registry};
use tokio::sync::oneshot;

use super::Charge;

/// The charges under way.
#[derive(Default)]
pub struct Ledger(Mutex<HashMap<Key, Arc<Account>>>);

/// Namespace and name of a quota.
type Key = (String, String);

#[derive(Default)]
struct Account {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by the one that writes.
    writing: tokio::sync::Mutex<()>,
}

struct Waiting {
    charge: Charge,
    answer: oneshot::Sender<Outcome>,
}

/// What came of a charge: the inner error says what would be too much.
type Outcome = Result<Result<(), String>, ApiError>;

impl Ledger {
    /// Charges a quota together with whoever else does so now.
    pub(super) async fn charge(&self, registry: &Registry, namespace: &str, charge: &Charge) -> Outcome {
        let key = (namespace.to_owned(), charge.quota.clone());
        let account = self.account(&key);
        loop {
            let (answer, mut told) = oneshot::channel();
            account.waiting.lock().push(Waiting { charge: charge.clone(), answer });
            let told = tokio::select! {
                biased;
                told = &mut told => told,
                _turn = account.writing.lock() => {
                    account.settle(registry, &key).await;
                    told.await
                }
            };
            // Without an answer, the request that wrote for this one was given up halfway.
            if let Ok(outcome) = told {
                return outcome;
            }
        }
    }

    fn account(&self, key: &Key) -> Arc<Account> {
        let mut accounts = self.0.lock();
        accounts.retain(|_, account| Arc::strong_count(account) > 1);
        accounts.entry(key.clone()).or_default().clone()
    }
}

impl Account {
    /// Writes what waits, and answers.
    async fn settle(&self, registry: &Registry, (namespace, quota): &Key) {
        let mut waiting = take(&mut *self.waiting.lock());
        waiting.retain(|one| !one.answer.is_closed());
        if waiting.is_empty() {
            return;
        }
        let kind = registry.kinds().find("", "v1", "resourcequotas").expect("quotas are served");
        let cx = Context::of_server();
        // Of the attempt that was written.
        let applied = Mutex::new(Vec::new());
        let change = |quota: &mut Object| {
            *applied.lock() = waiting.iter().map(|one| one.charge.apply(quota)).collect();
            Ok(())
        };
        let written = registry.mutate(&cx, kind, namespace, quota, "status", change).await;
        for (one, applied) in waiting.into_iter().zip(applied.into_inner()) {
            // Who no longer listens was given up.
            one.answer.send(written.as_ref().map(|_| applied).map_err(ApiError::clone)).ok();
        }
    }
}

//! One commit for the charges of many requests, and for what they write.
//!
//! All who create something in a namespace charge the same few objects. What has gathered while one commit was under
//! way goes into the next: the quota's new status and, behind it, the objects that it counts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem::take;
use std::sync::Arc;

use machinery::{ApiError, Object};
use parking_lot::Mutex;
use registry::{Along, Context, Registry};
use store::{Revision, Write};
use tokio::sync::oneshot;

use super::Charge;
use super::balance::Balance;

/// What waits, for each quota that something is being charged to.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<HashMap<Key, Vec<Waiting>>>>);

/// Namespace and name of a quota.
type Key = (String, String);

struct Waiting {
    charge: Charge,
    /// What the charge is for.
    write: Option<Write>,
    answer: oneshot::Sender<Outcome>,
}

/// What came of a charge, and of its write if it had one. The inner error says what would be too much.
type Outcome = Result<Result<Option<store::Result<Revision>>, String>, ApiError>;

impl Ledger {
    /// Charges a quota, and does the write with it, together with whoever else does so now.
    pub(super) async fn charge(
        &self,
        registry: &Registry,
        namespace: &str,
        charge: Charge,
        write: Option<Write>,
    ) -> Outcome {
        let key = (namespace.to_owned(), charge.quota.clone());
        let (answer, told) = oneshot::channel();
        let waiting = Waiting { charge, write, answer };
        let begins = match self.0.lock().entry(key.clone()) {
            Entry::Occupied(mut held) => {
                held.get_mut().push(waiting);
                false
            }
            Entry::Vacant(free) => {
                free.insert(vec![waiting]);
                true
            }
        };
        if begins {
            // A task of its own: others' writes do not end with this request.
            tokio::spawn(self.clone().settle_all(registry.clone(), key));
        }
        told.await.unwrap_or_else(|_| Err(ApiError::internal("the quota could not be charged")))
    }

    /// Until nothing waits.
    async fn settle_all(self, registry: Registry, key: Key) {
        while let Some(waiting) = self.take(&key) {
            let settling = tokio::spawn(settle(registry.clone(), key.clone(), waiting));
            // A panic is told to those it concerns, and not passed on to who comes next.
            settling.await.ok();
        }
    }

    fn take(&self, key: &Key) -> Option<Vec<Waiting>> {
        let mut ledger = self.0.lock();
        let waiting = take(ledger.get_mut(key)?);
        if waiting.is_empty() {
            ledger.remove(key);
            return None;
        }
        Some(waiting)
    }
}

/// Writes what waits, and answers.
async fn settle(registry: Registry, (namespace, quota): Key, mut waiting: Vec<Waiting>) {
    waiting.retain(|one| !one.answer.is_closed());
    if waiting.is_empty() {
        return;
    }
    let kind = registry.kinds().find("", "v1", "resourcequotas").expect("quotas are served");
    let along = Along::default();
    // Of the attempt that was written.
    let applied = Mutex::new(Vec::new());
    let change = |quota: &mut Object| {
        let mut balance = Balance::of(quota);
        let outcomes: Vec<_> = waiting.iter().map(|one| balance.add(&one.charge)).collect();
        balance.show(quota);
        let charged = waiting.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        along.set(charged.filter_map(|(one, _)| one.write.clone()).collect());
        *applied.lock() = outcomes;
        Ok(())
    };
    let cx = Context::of_server();
    let done = registry.mutate_along(&cx, kind, (&namespace, &quota), "status", change, Some(&along)).await;
    let outcomes: Vec<Outcome> = match done {
        Ok(_) => {
            let mut written = along.into_outcomes().into_iter();
            let of = |(one, applied): (&Waiting, Result<(), String>)| {
                Ok(applied.map(|()| one.write.as_ref().and_then(|_| written.next())))
            };
            waiting.iter().zip(applied.into_inner()).map(of).collect()
        }
        Err(error) => waiting.iter().map(|_| Err(error.clone())).collect(),
    };
    for (one, outcome) in waiting.into_iter().zip(outcomes) {
        // Who no longer listens was given up.
        one.answer.send(outcome).ok();
    }
}

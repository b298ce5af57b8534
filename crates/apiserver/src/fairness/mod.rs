//! Priority and fairness: which requests are served when there are more than the server takes on at once.
//!
//! FlowSchemas sort requests into priority levels, each of which has a share of the seats; within a level flows
//! wait in queues, so that none can crowd out the others. The uncontended way costs a look at the schemas and one
//! short lock. (upstream: apiserver/pkg/util/flowcontrol)

mod classify;
mod config;
mod deal;
mod defaults;
mod dispatch;
#[cfg(test)]
mod dispatch_tests;
mod follow;
mod metrics;
mod shares;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use machinery::{ApiError, UserInfo};
use parking_lot::Mutex;
use prometheus_client::registry::Registry as Metrics;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::info::RequestInfo;
use config::{Distinguisher, Rules};
use dispatch::{Arrival, Dispatcher, Place, Refusal};
use metrics::FairnessMetrics;

pub(crate) use config::Schema;
pub(crate) use follow::follow;

/// Objects that one seat stands for in a list, and how many seats a request takes at most.
/// (upstream: apiserver/pkg/util/flowcontrol/request)
const OBJECTS_PER_SEAT: usize = 100;
const SEATS_MAX: usize = 10;

pub(crate) struct Fairness {
    rules: ArcSwap<Rules>,
    dispatcher: Mutex<Dispatcher<oneshot::Sender<()>>>,
    metrics: FairnessMetrics,
    seats: u32,
    /// How long a request waits for its turn.
    patience: Duration,
}

/// The seats of a request that is being served; free again when it is dropped.
pub(crate) struct Permit {
    fairness: Arc<Fairness>,
    schema: Arc<Schema>,
    place: Place,
    since: Instant,
}

/// A request that waits. When it is dropped it no longer does, or gives back what it was given meanwhile.
struct Waiter<'a> {
    fairness: &'a Fairness,
    schema: &'a Schema,
    place: Option<Place>,
}

impl Fairness {
    /// With the default rules, until the stored ones are known.
    pub fn new(seats: usize, patience: Duration, shown: &mut Metrics) -> Arc<Self> {
        let fairness = Self {
            rules: ArcSwap::default(),
            dispatcher: Mutex::default(),
            metrics: FairnessMetrics::register(shown),
            seats: u32::try_from(seats).unwrap_or(u32::MAX),
            patience,
        };
        fairness.apply(&defaults::levels(), &defaults::schemas());
        Arc::new(fairness)
    }

    /// The schema of a request. The last one takes what no other does.
    pub fn classify(&self, user: &UserInfo, info: &RequestInfo) -> Option<Arc<Schema>> {
        let rules = self.rules.load();
        let found = rules.schemas.iter().find(|schema| schema.matcher.matches(user, info));
        found.or(rules.schemas.last()).cloned()
    }

    /// Waits until the request may be served.
    pub async fn enter(
        self: &Arc<Self>,
        schema: Arc<Schema>,
        user: &UserInfo,
        info: &RequestInfo,
        seats: u32,
    ) -> Result<Permit, ApiError> {
        schema.counters.estimated_seats.observe(f64::from(seats));
        let mut turn = None;
        let flow = || flow_hash(&schema, user, info);
        let waiter = || {
            let (sender, receiver) = oneshot::channel();
            turn = Some(receiver);
            sender
        };
        let arrival = self.dispatcher.lock().arrive(schema.level, seats, flow, waiter);
        let place = match (arrival, turn) {
            (Arrival::Served(place), _) => place,
            (Arrival::Waits(place), Some(turn)) => self.wait(&schema, place, turn).await?,
            (Arrival::Refused(Refusal::QueueFull), _) => return Err(refused(&schema, "queue-full")),
            (Arrival::Refused(_) | Arrival::Waits(_), _) => return Err(refused(&schema, "concurrency-limit")),
        };
        schema.counters.dispatched.inc();
        schema.counters.executing.inc();
        schema.counters.executing_seats.inc_by(i64::from(place.seats()));
        Ok(Permit { fairness: self.clone(), schema, place, since: clock::monotonic() })
    }

    async fn wait(&self, schema: &Schema, place: Place, turn: oneshot::Receiver<()>) -> Result<Place, ApiError> {
        let since = clock::monotonic();
        let queued = self.dispatcher.lock().waiting(place.level);
        schema.counters.queue_length.observe(queued as f64);
        schema.counters.queued.inc();
        let mut waiter = Waiter { fairness: self, schema, place: Some(place) };
        let waited = tokio::time::timeout(self.patience, turn).await;
        let served = matches!(waited, Ok(Ok(())));
        schema.counters.waited(served).observe(since.elapsed().as_secs_f64());
        if !served {
            return Err(refused(schema, "time-out"));
        }
        waiter.place = None;
        Ok(place)
    }

    fn finish(&self, place: Place) {
        wake(self.dispatcher.lock().finish(place));
    }
}

/// Who does not listen any more has given up, or is about to.
fn wake(served: Vec<oneshot::Sender<()>>) {
    served.into_iter().for_each(|waiter| waiter.send(()).unwrap_or_default());
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.schema.counters.queued.dec();
        let Some(place) = self.place else { return };
        let gave_up = self.fairness.dispatcher.lock().give_up(place);
        if !gave_up {
            self.fairness.finish(place);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let counters = &self.schema.counters;
        counters.executing.dec();
        counters.executing_seats.dec_by(i64::from(self.place.seats()));
        counters.execution.observe(self.since.elapsed().as_secs_f64());
        self.fairness.finish(self.place);
    }
}

/// Tells a client which rules its request was under.
pub(crate) fn add_headers(headers: &mut HeaderMap, schema: &Schema) {
    headers.insert("x-kubernetes-pf-flowschema-uid", schema.uid.clone());
    headers.insert("x-kubernetes-pf-prioritylevel-uid", schema.level_uid.clone());
}

fn refused(schema: &Schema, reason: &'static str) -> ApiError {
    schema.counters.rejected(reason);
    tracing::debug!(schema = schema.name, level = schema.level_name, reason, "a request is turned away");
    ApiError::too_many_requests("Too many requests, please try again later.", 1)
}

/// Requests of one user, or in one namespace, are a flow.
fn flow_hash(schema: &Schema, user: &UserInfo, info: &RequestInfo) -> u64 {
    let mut hasher = DefaultHasher::new();
    schema.name.hash(&mut hasher);
    match schema.distinguisher {
        Distinguisher::None => {}
        Distinguisher::User => user.name.hash(&mut hasher),
        Distinguisher::Namespace => info.namespace.hash(&mut hasher),
    }
    hasher.finish()
}

/// The seats of a list of so many objects at most, when so many are stored.
pub(crate) fn list_seats(stored: usize, limit: usize) -> u32 {
    let listed = if limit == 0 { stored } else { stored.min(limit) };
    listed.div_ceil(OBJECTS_PER_SEAT).clamp(1, SEATS_MAX) as u32
}

#[cfg(test)]
mod tests {
    use http::Method;
    use machinery::Object;
    use serde_json::json;

    use super::*;
    use crate::query::Query;

    /// A server with one level of so many seats for everyone, and a short queue.
    fn fairness(seats: usize, limit_response: serde_json::Value) -> Arc<Fairness> {
        let fairness = Fairness::new(seats, Duration::from_secs(15), &mut Metrics::default());
        let object = |value| Object::from_value(value).unwrap();
        let level = object(json!({"metadata": {"name": "all", "uid": "l"}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "limitResponse": limit_response,
        }}}));
        let schema = object(json!({"metadata": {"name": "all", "uid": "s"}, "spec": {
            "priorityLevelConfiguration": {"name": "all"}, "matchingPrecedence": 1,
        }}));
        fairness.apply(&[level], &[schema]);
        fairness
    }

    fn queue() -> serde_json::Value {
        json!({"type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 1}})
    }

    async fn enter(fairness: &Arc<Fairness>) -> Result<Permit, u16> {
        let info = RequestInfo::new(&Method::GET, "/api/v1/pods", &Query::default());
        let user = UserInfo::default();
        let schema = fairness.classify(&user, &info).unwrap();
        fairness.enter(schema, &user, &info, 1).await.map_err(|error| error.code())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_seat_and_the_next_finds_the_queue_full() {
        let fairness = fairness(1, queue());
        let first = enter(&fairness).await.unwrap();
        let waiting = tokio::spawn({
            let fairness = fairness.clone();
            async move { enter(&fairness).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(enter(&fairness).await.err(), Some(429));
        drop(first);
        assert!(waiting.await.unwrap().is_ok());
        assert!(enter(&fairness).await.is_ok(), "every seat was given back");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_sent_away_and_leaves_its_place() {
        let fairness = fairness(1, queue());
        let first = enter(&fairness).await.unwrap();
        let before = clock::monotonic();
        assert_eq!(enter(&fairness).await.err(), Some(429));
        assert_eq!(before.elapsed().as_secs(), 15);
        drop(first);
        assert!(enter(&fairness).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_away_gives_back_what_it_was_given() {
        let fairness = fairness(1, queue());
        let first = enter(&fairness).await.unwrap();
        let mut waiting = Box::pin(enter(&fairness));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(first);
        drop(waiting);
        assert!(enter(&fairness).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn more_seats_serve_who_waits() {
        let fairness = fairness(1, queue());
        let _first = enter(&fairness).await.unwrap();
        let mut waiting = Box::pin(enter(&fairness));
        assert!(futures::poll!(&mut waiting).is_pending());
        let exempt = Object::from_value(json!({"metadata": {"name": "all"}, "spec": {"type": "Exempt"}})).unwrap();
        fairness.apply(&[exempt], &[]);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn by_default_masters_are_exempt_and_others_share_the_seats() {
        let fairness = Fairness::new(600, Duration::from_secs(15), &mut Metrics::default());
        let level = |user: &UserInfo, path: &str| {
            let info = RequestInfo::new(&Method::GET, path, &Query::default());
            let schema = fairness.classify(user, &info).unwrap();
            format!("{} {}", schema.name, schema.level_name)
        };
        let table = [
            ("admin", UserInfo::MASTERS, "/api/v1/pods", "exempt exempt"),
            ("jane", UserInfo::AUTHENTICATED, "/healthz", "probes exempt"),
            ("system:kube-scheduler", UserInfo::AUTHENTICATED, "/api/v1/pods", "kube-scheduler workload-high"),
            ("system:node:a", "system:nodes", "/api/v1/nodes/a", "system-node-high node-high"),
            ("system:node:a", "system:nodes", "/api/v1/pods", "system-nodes system"),
            ("system:serviceaccount:a:b", "system:serviceaccounts", "/api/v1/pods", "service-accounts workload-low"),
            ("jane", UserInfo::AUTHENTICATED, "/api/v1/pods", "global-default global-default"),
            ("nobody", "none", "/api/v1/pods", "catch-all catch-all"),
        ];
        for (name, group, path, expected) in table {
            // Not `UserInfo::new`, which makes everyone authenticated.
            let user = UserInfo { name: name.to_owned(), groups: vec![group.to_owned()], ..UserInfo::default() };
            assert_eq!(level(&user, path), expected, "{name} {path}");
        }
    }

    #[test]
    fn long_lists_take_more_seats() {
        let cases = [(0, 0), (100, 0), (101, 0), (50_000, 0), (50_000, 500)];
        assert_eq!(cases.map(|(stored, limit)| list_seats(stored, limit)), [1, 1, 2, 10, 5]);
    }
}

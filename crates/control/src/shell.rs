//! The one controller shell: it queues keys from watches, runs the reconciles and retries them.

use std::fmt::Display;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info_span, warn};

use crate::{Change, Class, Error, Informer, Informers, Metrics, Watched, WorkQueue};

/// What a successful reconcile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// Nothing: the next change of something watched brings the key back.
    No,
    /// The key is wanted again after this time even if nothing changes.
    After(Duration),
}

impl Requeue {
    pub fn maybe(after: Option<Duration>) -> Self {
        after.map_or(Self::No, Self::After)
    }
}

/// A control loop over keys.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    type Key: Clone + Eq + Hash + Display + Send + Sync + 'static;

    /// The queue's name in metrics and logs.
    fn name(&self) -> &'static str;

    /// Says which changes queue which keys. Called once, before the workers start.
    fn watches(&self, watches: &mut Watches<Self::Key>);

    /// Brings the world one step nearer to what is wanted for `key`.
    ///
    /// It may be called at any time, again and again; it may be dropped at any await when the process ends.
    async fn reconcile(&self, key: &Self::Key) -> Result<Requeue, Error>;
}

/// Connects informers to a controller's queue.
pub struct Watches<K> {
    informers: Informers,
    queue: WorkQueue<K>,
    synced: Vec<BoxFuture<'static, ()>>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Watches<K> {
    /// Queues the keys that `keys` gives for each change of an object of kind `T`.
    pub fn on<T: Watched, I: IntoIterator<Item = K>>(
        &mut self,
        keys: impl Fn(&Change<T>) -> I + Send + Sync + 'static,
    ) -> Informer<T> {
        let informer = self.informers.get::<T>();
        self.on_informer(&informer, keys);
        informer
    }

    /// As [`Self::on`], for an informer of selected objects.
    pub fn on_informer<T: Watched, I: IntoIterator<Item = K>>(
        &mut self,
        informer: &Informer<T>,
        keys: impl Fn(&Change<T>) -> I + Send + Sync + 'static,
    ) {
        let queue = self.queue.clone();
        informer.subscribe(move |change| keys(change).into_iter().for_each(|key| queue.add(key)));
        self.needs(informer);
    }

    /// Holds the workers back until `informer` is filled.
    pub fn needs<T: Watched>(&mut self, informer: &Informer<T>) {
        let informer = informer.clone();
        self.synced.push(async move { informer.synced().await }.boxed());
    }

    /// The controller's queue, for keys that come from elsewhere.
    pub fn queue(&self) -> WorkQueue<K> {
        self.queue.clone()
    }
}

/// What the controllers of a process share.
#[derive(Clone)]
pub struct Shell {
    pub informers: Informers,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
}

impl Shell {
    /// Of a client whose server is in this process.
    pub fn new(client: Client, metrics: Metrics, shutdown: CancellationToken) -> Self {
        Self { informers: Informers::local(client), metrics, shutdown }
    }

    pub fn client(&self) -> Client {
        self.informers.client().clone()
    }

    /// Runs `controller` with so many `workers` until shutdown.
    pub async fn run<C: Controller>(&self, controller: C, workers: usize) {
        let queue = WorkQueue::new(controller.name(), &self.metrics);
        let _ends = EndsQueue(queue.clone());
        let mut watches = Watches { informers: self.informers.clone(), queue: queue.clone(), synced: Vec::new() };
        controller.watches(&mut watches);
        let controller = Arc::new(controller);
        let work = async {
            join_all(watches.synced).await;
            debug!(controller = controller.name(), workers, "caches are filled");
            join_all((0..workers).map(|_| tokio::spawn(work(controller.clone(), queue.clone())))).await
        };
        tokio::select! {
            _ = work => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

/// However a controller ends, its workers find no more work.
struct EndsQueue<K: Clone + Eq + Hash + Send + Sync + 'static>(WorkQueue<K>);

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Drop for EndsQueue<K> {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

async fn work<C: Controller>(controller: Arc<C>, queue: WorkQueue<C::Key>) {
    while let Some(key) = queue.get().await {
        let span = info_span!("reconcile", controller = controller.name(), %key);
        reconcile(&*controller, &queue, &key).instrument(span).await;
        queue.done(&key);
    }
}

async fn reconcile<C: Controller>(controller: &C, queue: &WorkQueue<C::Key>, key: &C::Key) {
    // A panic leaves no state behind but the controller's caches, which follow the server.
    match AssertUnwindSafe(controller.reconcile(key)).catch_unwind().await {
        Ok(Ok(Requeue::No)) => queue.forget(key),
        Ok(Ok(Requeue::After(delay))) => {
            queue.forget(key);
            queue.add_after(key.clone(), delay);
        }
        Ok(Err(problem)) => retry(queue, key, &problem),
        Err(_) => {
            queue.metrics().panics.inc();
            error!("reconcile panicked");
            queue.add_rate_limited(key.clone());
        }
    }
}

fn retry<K: Clone + Eq + Hash>(queue: &WorkQueue<K>, key: &K, problem: &Error) {
    match problem.class() {
        Class::Retry => {
            warn!(error = %problem, failures = queue.failures(key) + 1, "reconcile failed, trying again");
            queue.add_rate_limited(key.clone());
        }
        Class::Conflict => {
            debug!(error = %problem, "view was stale, trying again");
            queue.add_rate_limited(key.clone());
        }
        Class::Final => {
            warn!(error = %problem, "reconcile failed, waiting for a change");
            queue.forget(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Panics, then fails, then succeeds.
    struct Shaky(Arc<AtomicUsize>, CancellationToken);

    #[async_trait]
    impl Controller for Shaky {
        type Key = String;

        fn name(&self) -> &'static str {
            "shaky"
        }

        fn watches(&self, watches: &mut Watches<String>) {
            watches.queue().add("a".to_owned());
        }

        async fn reconcile(&self, _: &String) -> Result<Requeue, Error> {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("the first reconcile panics"),
                1 => Err(Error::Retry("not yet".to_owned())),
                2 => Ok(Requeue::After(Duration::from_secs(30))),
                _ => {
                    self.1.cancel();
                    Ok(Requeue::No)
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_failure_are_retried_and_a_requeue_is_kept() {
        let start = clock::monotonic();
        let client = crate::testing::silent_client();
        let shell = Shell::new(client, Metrics::default(), CancellationToken::new());
        let runs = Arc::new(AtomicUsize::new(0));
        shell.run(Shaky(runs.clone(), shell.shutdown.clone()), 2).await;
        assert_eq!(runs.load(Ordering::SeqCst), 4);
        let passed = start.elapsed();
        assert!(passed >= Duration::from_secs(30) && passed < Duration::from_secs(31), "{passed:?}");
    }
}

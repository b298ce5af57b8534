//! How much the server takes on at once.

use std::sync::Arc;
use std::time::Duration;

use machinery::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Reads served at once; more wait.
    pub reads: usize,
    /// Writes served at once; more wait.
    pub writes: usize,
    /// How long a request waits for its turn before it is told to come back.
    pub queue_wait: Duration,
    /// How long a request may take that is neither a watch nor a connection.
    pub request_timeout: Duration,
    /// Connections open at once; more wait in the listener's queue.
    pub connections: usize,
}

impl Default for Limits {
    /// Upstream's bounds of requests in flight and of a request's time.
    fn default() -> Self {
        Self {
            reads: 400,
            writes: 200,
            queue_wait: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            connections: 10_000,
        }
    }
}

/// Requests in flight, counted apart for reads and writes.
pub struct Turnstile {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    wait: Duration,
}

impl Turnstile {
    pub fn new(limits: &Limits) -> Self {
        let [reads, writes] = [limits.reads, limits.writes].map(|count| Arc::new(Semaphore::new(count)));
        Self { reads, writes, wait: limits.queue_wait }
    }

    /// Waits for a turn; the request is in flight until the permit is dropped.
    pub async fn enter(&self, mutating: bool) -> Result<OwnedSemaphorePermit, ApiError> {
        let turns = if mutating { &self.writes } else { &self.reads };
        match tokio::time::timeout(self.wait, Arc::clone(turns).acquire_owned()).await {
            Ok(permit) => Ok(permit.expect("the semaphore is never closed")),
            Err(_) => Err(ApiError::too_many_requests("Too many requests, please try again later.", 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_server_tells_clients_to_come_back() {
        let turnstile = Turnstile::new(&Limits { writes: 1, ..Limits::default() });
        let held = turnstile.enter(true).await.unwrap();
        let error = turnstile.enter(true).await.unwrap_err();
        assert_eq!((error.code(), error.details.unwrap().retry_after_seconds), (429, 1));
        assert!(turnstile.enter(false).await.is_ok());
        drop(held);
        assert!(turnstile.enter(true).await.is_ok());
    }
}

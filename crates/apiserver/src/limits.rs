//! How much the server takes on at once.

use std::time::Duration;

/// Bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests served at once, of all priority levels together; more wait.
    pub requests: usize,
    /// How long a request waits for its turn before it is told to come back.
    pub queue_wait: Duration,
    /// How long a request may take that is neither a watch nor a connection.
    pub request_timeout: Duration,
    /// How long the server goes on, no longer ready, after it was told to stop.
    pub shutdown_delay: Duration,
    /// Connections open at once; more wait in the listener's queue.
    pub connections: usize,
}

impl Default for Limits {
    /// Upstream's bounds of requests in flight (reads and writes together) and of a request's time.
    fn default() -> Self {
        Self {
            requests: 600,
            queue_wait: Duration::from_secs(15),
            request_timeout: Duration::from_secs(60),
            shutdown_delay: Duration::ZERO,
            connections: 10_000,
        }
    }
}

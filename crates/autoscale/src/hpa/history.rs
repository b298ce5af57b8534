//! What an autoscaler recommended and did of late. It lives in memory, as upstream's does: after a restart the
//! first recommendation is the size that is found.

use std::time::Duration;

use jiff::Timestamp;

/// The longest window or period that the API allows; older entries can no longer matter.
const KEPT: Duration = Duration::from_secs(3600);

/// Oldest first. One recommendation every 15 seconds for an hour bounds each list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    recommendations: Vec<(Timestamp, i32)>,
    /// Changes of size, with their sign.
    changes: Vec<(Timestamp, i32)>,
}

impl History {
    /// The size found at first counts as recommended, so that a new autoscaler does not scale down at once.
    pub fn start(&mut self, replicas: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, replicas));
        }
    }

    pub fn recommend(&mut self, replicas: i32, now: Timestamp) {
        self.recommendations.retain(|(at, _)| *at + KEPT >= now);
        self.recommendations.push((now, replicas));
    }

    pub fn rescale(&mut self, from: i32, to: i32, now: Timestamp) {
        self.changes.retain(|(at, _)| *at + KEPT >= now);
        self.changes.push((now, to - from));
    }

    /// Recommendations of the last `window`.
    pub fn recommended(&self, window: Duration, now: Timestamp) -> impl Iterator<Item = i32> {
        self.recommendations.iter().filter(move |(at, _)| *at + window > now).map(|(_, replicas)| *replicas)
    }

    /// The size before the changes of the last `period`, when it is `replicas` now.
    pub fn before(&self, replicas: i32, period: Duration, now: Timestamp) -> i32 {
        let recent = self.changes.iter().filter(|(at, _)| *at + period > now);
        replicas - recent.map(|(_, change)| change).sum::<i32>()
    }
}

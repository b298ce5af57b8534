//! The pauses between two tries of a watch that fails.

use std::time::Duration;

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(800);
const LONGEST: Duration = Duration::from_secs(30);
/// Each pause is longer by up to this share of itself, so that clients of a server that restarts come apart.
const JITTER: f64 = 1.0;

/// 0.8 s, doubling to 30 s, with jitter; an answer begins anew. (upstream: client-go/tools/cache reflector)
///
/// Unlike kube's own default it takes its jitter from crate `clock`.
#[derive(Clone, Debug)]
pub struct WatchBackoff(Duration);

impl Default for WatchBackoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        Some(clock::jitter(pause, JITTER))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_30_s_and_begin_anew_after_an_answer() {
        let mut backoff = WatchBackoff::default();
        let within = |pause: Option<Duration>, base: Duration| pause.is_some_and(|p| p >= base && p <= base * 2);
        assert!(within(backoff.next(), FIRST));
        assert!(within(backoff.next(), FIRST * 2));
        let last = backoff.by_ref().take(10).last();
        assert!(within(last, LONGEST), "{last:?}");
        backoff.reset();
        assert!(within(backoff.next(), FIRST));
    }
}

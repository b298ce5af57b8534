//! Keeps a webhook that fails for everything from locking out the cluster's own components.
//!
//! While a webhook has failed again and again, what components of the cluster do to keep it running is let
//! through without asking. Users' requests, and pods outside of `kube-system` and of the webhook's own namespace, are
//! held to the failure policy as ever (docs/decisions/0011).

use std::time::Duration;

use machinery::UserInfo;
use parking_lot::Mutex;
use registry::Operation;
use tokio::time::Instant;

use super::metrics::Shown;
use crate::subject::Subject;

/// Failures in a row after which a webhook is taken to be broken,
const FAILURES: u32 = 5;
/// if they came over this long at least.
const LASTING: Duration = Duration::from_secs(10);
/// How often a component's request asks after all whether the webhook is back.
const PROBE: Duration = Duration::from_secs(30);

const COMPONENTS: [&str; 4] =
    ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:metrics-server"];
const NODES: &str = "system:nodes";
const SYSTEM_NAMESPACE: &str = "kube-system";

pub struct Breaker {
    /// Off where an administrator wants the failure policy to hold for everyone.
    on: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// The first of these failures.
    since: Option<Instant>,
    open: Option<Open>,
}

/// It is taken to be broken.
struct Open {
    /// When it was last asked.
    asked: Instant,
    /// Dropped with this, also where the webhook itself goes.
    _shown: Shown,
}

/// What changed by an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    Opened,
    Closed,
}

impl Breaker {
    pub fn new(on: bool) -> Self {
        Self { on, state: Mutex::default() }
    }

    /// Notes that the webhook answered.
    pub fn succeeded(&self) -> Change {
        let was_open = std::mem::take(&mut *self.state.lock()).open.is_some();
        if was_open { Change::Closed } else { Change::None }
    }

    /// Notes that it could not be called, or answered no review; `show` shows it as long as it is taken to be broken.
    pub fn failed(&self, now: Instant, show: impl FnOnce() -> Shown) -> Change {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        let since = *state.since.get_or_insert(now);
        let broken = self.on && state.failures >= FAILURES && now.duration_since(since) >= LASTING;
        if !broken || state.open.is_some() {
            return Change::None;
        }
        state.open = Some(Open { asked: now, _shown: show() });
        Change::Opened
    }

    /// Whether a request that may do without the webhook is to do so; one in a while asks it after all.
    pub fn skips(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match &mut state.open {
            Some(open) if now.duration_since(open.asked) >= PROBE => {
                open.asked = now;
                false
            }
            open => open.is_some(),
        }
    }

    /// The same for a failure that has just happened.
    pub fn is_open(&self) -> bool {
        self.state.lock().open.is_some()
    }
}

/// Whether a request keeps the cluster running: one of its own components', and no new workload but the cluster's own
/// and the webhook's.
pub fn may_do_without(subject: &Subject<'_>, webhook_namespace: Option<&str>) -> bool {
    let request = subject.request;
    let starts_pod = request.operation == Operation::Create
        && (request.kind.group, request.kind.resource, request.subresource) == ("", "pods", "");
    let own = [Some(SYSTEM_NAMESPACE), webhook_namespace].contains(&Some(request.namespace));
    is_component(&request.context.user) && (own || !starts_pod)
}

fn is_component(user: &UserInfo) -> bool {
    COMPONENTS.contains(&user.name.as_str()) || user.in_group(NODES)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    #[test]
    fn failures_in_a_row_that_last_open_it_and_an_answer_closes_it() {
        let (breaker, start, gauge) = (Breaker::new(true), clock::monotonic(), Gauge::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let fails = |seconds| breaker.failed(at(seconds), || Shown::by(&gauge));
        for second in 0..9 {
            assert_eq!(fails(second), Change::None);
        }
        assert_eq!(breaker.succeeded(), Change::None);
        assert_eq!(fails(20), Change::None);
        assert_eq!(fails(40), Change::None, "few failures are none, however long they last");
        for _ in 0..2 {
            assert_eq!(fails(40), Change::None);
        }
        assert!(!breaker.skips(at(40)));
        assert_eq!(fails(40), Change::Opened);
        assert_eq!(fails(41), Change::None);
        assert!(breaker.skips(at(41)) && breaker.is_open());
        assert_eq!(gauge.get(), 1);
        assert!(!breaker.skips(at(70)), "one asks");
        assert!(breaker.skips(at(70)));
        assert_eq!(breaker.succeeded(), Change::Closed);
        assert!(!breaker.skips(at(71)) && !breaker.is_open());
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn a_webhook_that_goes_is_not_broken_any_more() {
        let (breaker, start, gauge) = (Breaker::new(true), clock::monotonic(), Gauge::default());
        for second in 0..20 {
            breaker.failed(start + Duration::from_secs(second), || Shown::by(&gauge));
        }
        assert_eq!(gauge.get(), 1);
        drop(breaker);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn an_administrator_can_switch_it_off() {
        let (breaker, start) = (Breaker::new(false), clock::monotonic());
        for second in 0..60 {
            let change = breaker.failed(start + Duration::from_secs(second), || Shown::by(&Gauge::default()));
            assert_eq!(change, Change::None);
        }
        assert!(!breaker.is_open());
    }
}

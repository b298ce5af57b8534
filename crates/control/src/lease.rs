//! Leader election by a Lease, for loops of which only one may run in a cluster of several servers.
//! (upstream: client-go/tools/leaderelection)

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::ApiErrorExt;

/// A holder that did not renew for this long has lost the lease: half of upstream's, so that the loops of a
/// server that died go on elsewhere within 10 seconds.
pub const LEASE_DURATION: Duration = Duration::from_secs(7);
/// A holder that could not renew for this long gives up.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(5);
/// The time between two tries to get or renew.
pub const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// Who wants which lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub namespace: String,
    pub lease: String,
    /// Unique in the cluster: host name and a random part.
    pub identity: String,
}

/// The lease as last seen, and when it last changed by our own clock: other machines' clocks do not count.
struct Observed {
    lease: Lease,
    changed: Instant,
}

/// What a look at the lease leads to.
#[derive(Debug, PartialEq)]
enum Step {
    /// Another holds it.
    Wait,
    Take(LeaseSpec),
}

fn step(spec: &LeaseSpec, identity: &str, unchanged_for: Duration, now: Timestamp) -> Step {
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let held = Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default());
    if holder != identity && !holder.is_empty() && unchanged_for < held {
        return Step::Wait;
    }
    let ours = holder == identity;
    let transitions = spec.lease_transitions.unwrap_or_default() + i32::from(!ours && !holder.is_empty());
    Step::Take(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(i32::try_from(LEASE_DURATION.as_secs()).expect("7 fits")),
        acquire_time: if ours { spec.acquire_time.clone() } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    })
}

/// Waits for the lease, runs `lead` while it is held, and waits again when it was lost. Ends at `shutdown`,
/// then gives the lease back. `lead` gets a token that ends when the lease is lost.
pub async fn run<F: Future<Output = ()>>(
    client: Client,
    candidate: &Candidate,
    shutdown: &CancellationToken,
    lead: impl Fn(CancellationToken) -> F,
) {
    let api = Api::<Lease>::namespaced(client, &candidate.namespace);
    let mut observed = None;
    while !shutdown.is_cancelled() {
        if !try_hold(&api, candidate, &mut observed).await {
            wait(shutdown, RETRY_PERIOD).await;
            continue;
        }
        info!(lease = candidate.lease, identity = candidate.identity, "became leader");
        let term = shutdown.child_token();
        tokio::select! {
            () = lead(term.clone()) => {}
            () = renew(&api, candidate, &mut observed, shutdown) => {}
        }
        term.cancel();
        if shutdown.is_cancelled() {
            release(&api, candidate).await;
        }
    }
}

async fn wait(shutdown: &CancellationToken, period: Duration) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(period) => {}
    }
}

/// Renews until that fails for [`RENEW_DEADLINE`] or shutdown: others may take the lease soon after.
async fn renew(api: &Api<Lease>, candidate: &Candidate, observed: &mut Option<Observed>, shutdown: &CancellationToken) {
    let mut deadline = clock::monotonic() + RENEW_DEADLINE;
    while clock::monotonic() < deadline {
        wait(shutdown, RETRY_PERIOD).await;
        if shutdown.is_cancelled() {
            return;
        }
        let asked = clock::monotonic();
        let held = tokio::time::timeout_at(deadline, try_hold(api, candidate, observed)).await;
        if held.unwrap_or(false) {
            deadline = asked + RENEW_DEADLINE;
        }
    }
    warn!(lease = candidate.lease, "lost the lease");
}

async fn try_hold(api: &Api<Lease>, candidate: &Candidate, observed: &mut Option<Observed>) -> bool {
    match hold(api, candidate, observed).await {
        Ok(held) => held,
        Err(error) if error.is_conflict() || error.is_already_exists() => false,
        Err(error) => {
            warn!(lease = candidate.lease, %error, "cannot get or renew the lease");
            false
        }
    }
}

async fn hold(api: &Api<Lease>, candidate: &Candidate, observed: &mut Option<Observed>) -> Result<bool, kube::Error> {
    let found = api.get_opt(&candidate.lease).await?;
    let unchanged_for = match (&found, observed.as_ref()) {
        (Some(found), Some(last)) if found.spec == last.lease.spec => last.changed.elapsed(),
        _ => Duration::ZERO,
    };
    let spec = found.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
    if let (Some(found), Duration::ZERO) = (&found, unchanged_for) {
        *observed = Some(Observed { lease: found.clone(), changed: clock::monotonic() });
    }
    let Step::Take(spec) = step(&spec, &candidate.identity, unchanged_for, clock::now()) else { return Ok(false) };
    let lease = match found {
        Some(found) => {
            api.replace(&candidate.lease, &PostParams::default(), &Lease { spec: Some(spec), ..found }).await
        }
        None => {
            let metadata = ObjectMeta { name: Some(candidate.lease.clone()), ..ObjectMeta::default() };
            api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await
        }
    }?;
    *observed = Some(Observed { lease, changed: clock::monotonic() });
    Ok(true)
}

/// Lets others take the lease at once.
async fn release(api: &Api<Lease>, candidate: &Candidate) {
    let result = async {
        let Some(mut lease) = api.get_opt(&candidate.lease).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut().filter(|s| s.holder_identity.as_ref() == Some(&candidate.identity)) else {
            return Ok(());
        };
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        api.replace(&candidate.lease, &PostParams::default(), &lease).await.map(|_| ())
    };
    if let Err(error) = result.await {
        warn!(lease = candidate.lease, %error, "cannot release the lease");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(identity: &str) -> LeaseSpec {
        let Step::Take(spec) = step(&LeaseSpec::default(), identity, Duration::ZERO, Timestamp::UNIX_EPOCH) else {
            panic!("a lease that nobody holds is taken");
        };
        spec
    }

    #[test]
    fn a_lease_is_taken_when_its_holder_stops_renewing() {
        let spec = held_by("a");
        let later = Timestamp::from_second(60).unwrap();
        assert_eq!(step(&spec, "b", Duration::from_secs(6), later), Step::Wait);
        let Step::Take(taken) = step(&spec, "b", LEASE_DURATION, later) else { panic!("it has run out") };
        assert_eq!(taken.holder_identity.as_deref(), Some("b"));
        assert_eq!(taken.lease_transitions, Some(1));
        assert_eq!(taken.acquire_time, Some(MicroTime(later)));
    }

    #[test]
    fn a_renewal_keeps_the_time_of_the_first_hold() {
        let spec = held_by("a");
        let later = Timestamp::from_second(2).unwrap();
        let Step::Take(renewed) = step(&spec, "a", Duration::ZERO, later) else { panic!("our own lease") };
        assert_eq!(renewed.acquire_time, spec.acquire_time);
        assert_eq!(renewed.renew_time, Some(MicroTime(later)));
        assert_eq!(renewed.lease_transitions, Some(0));
    }
}

//! Protects ranges of Service addresses from being deleted under Services, and says that they are ready.
//! (upstream: pkg/controller/servicecidrs)

mod decide;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta};
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::addresses::is_managed;
use decide::{Step, View, decide};

pub use decide::Prefix;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const BLOCKED: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

pub struct ServiceCidrController {
    client: Client,
    ranges: Informer<ServiceCIDR>,
    addresses: Informer<IPAddress>,
}

impl ServiceCidrController {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), ranges: shell.informers.get(), addresses: shell.informers.get() }
    }

    fn view(&self, range: &ServiceCIDR) -> View {
        let others = self.ranges.list().into_iter().filter(|other| other.name_any() != range.name_any());
        let conditions = range.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
        let deleted = range.metadata.deletion_timestamp.as_ref();
        let managed = self.addresses.list().into_iter().filter(|address| is_managed(address));
        View {
            prefixes: prefixes(range),
            terminating: deleted.map(|at| clock::since(at.0)),
            finalizer: meta::has_finalizer(&range.metadata, FINALIZER),
            ready: ready.map(|ready| ready.status == "True"),
            others: others.flat_map(|other| prefixes(&other)).collect(),
            addresses: managed.filter_map(|address| address.name_any().parse().ok()).collect(),
        }
    }

    async fn set_finalizers(&self, range: &ServiceCIDR, finalizers: Vec<String>) -> Result<(), Error> {
        let patch = json!({"metadata": {
            "finalizers": finalizers, "resourceVersion": range.metadata.resource_version,
        }});
        let api = Api::<ServiceCIDR>::all(self.client.clone());
        control::write::merge_uid(&api, &range.name_any(), meta::uid(&range.metadata), patch).await?;
        Ok(())
    }

    async fn set_ready(&self, range: &ServiceCIDR, status: &str, reason: &str, message: &str) -> Result<(), Error> {
        let condition = json!({
            "type": "Ready", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": clock::format_time(clock::now()),
        });
        let api = Api::<ServiceCIDR>::all(self.client.clone());
        let status: Value = json!({"conditions": [condition]});
        let version = range.metadata.resource_version.as_deref();
        control::write::merge_status(&api, &range.name_any(), version, &status).await?;
        Ok(())
    }
}

/// The networks of a range.
pub fn prefixes(range: &ServiceCIDR) -> Vec<Prefix> {
    let texts = range.spec.as_ref().and_then(|spec| spec.cidrs.as_ref());
    texts.into_iter().flatten().filter_map(|text| Prefix::parse(text)).collect()
}

#[async_trait]
impl Controller for ServiceCidrController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "service_cidr"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        // A range that comes or goes may free or bind others.
        let (ranges, informer) = (self.ranges.clone(), self.ranges.clone());
        watches.on(move |_: &Change<ServiceCIDR>| keys(&ranges, |_| true));
        watches.on(move |_: &Change<IPAddress>| keys(&informer, |range| meta::is_terminating(&range.metadata)));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(range) = self.ranges.get(key) else { return Ok(Requeue::No) };
        let finalizers = range.finalizers().to_vec();
        match decide(&self.view(&range)) {
            Step::Nothing => {}
            Step::AddFinalizer => {
                let all = finalizers.into_iter().chain([FINALIZER.to_owned()]).collect();
                self.set_finalizers(&range, all).await?;
            }
            Step::MarkReady => self.set_ready(&range, "True", "", "Kubernetes Service CIDR is ready").await?,
            Step::MarkBlocked => self.set_ready(&range, "False", "Terminating", BLOCKED).await?,
            Step::Wait(left) => return Ok(Requeue::After(left)),
            Step::RemoveFinalizer => {
                let rest = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
                self.set_finalizers(&range, rest).await?;
            }
        }
        Ok(Requeue::No)
    }
}

fn keys(ranges: &Informer<ServiceCIDR>, which: impl Fn(&ServiceCIDR) -> bool) -> Vec<ObjectKey> {
    let chosen = ranges.list().into_iter().filter(|range| which(range));
    chosen.map(|range| ObjectKey::of(&range.metadata)).collect()
}

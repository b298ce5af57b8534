//! Clients of webhooks, each with its certificates and its kept connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::webhook::{Bounds, Client, Config, Error, Identity, Resolve};
use auth::view::Resource;
use auth::{KubeconfigUser, KubeconfigUsers, View};
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use registry::service;
use serde_json::Value;

use super::target::{Place, Target};

/// The longest answer: a patch that replaces the largest object, in base64.
pub const ANSWER_MAX: usize = 5 << 20;
/// Webhooks whose connections are kept; of more, all are begun anew.
const CLIENTS_MAX: usize = 512;

/// Clients by what they call, and by what they show there.
pub struct Clients {
    view: Arc<dyn View>,
    users: KubeconfigUsers,
    kept: Mutex<HashMap<(Target, Option<Identity>), Client>>,
}

impl Clients {
    /// Services are looked up in `view` when a connection is made: a webhook needs neither the service proxy nor the
    /// cluster's DNS on this machine.
    pub fn new(view: Arc<dyn View>) -> Self {
        Self { view, users: KubeconfigUsers::default(), kept: Mutex::default() }
    }

    /// The same, which shows itself to servers as one of these users.
    pub fn known_as(self, users: KubeconfigUsers) -> Self {
        Self { users, ..self }
    }

    /// A client of the target; fails if its authorities or the identity can not be read.
    fn client(&self, target: &Target, identity: Option<Identity>) -> Result<Client, Error> {
        let key = (target.clone(), identity);
        if let Some(client) = self.kept.lock().get(&key) {
            return Ok(client.clone());
        }
        let resolver: Option<Arc<dyn Resolve>> = match &target.place {
            Place::Url(_) => None,
            Place::Service { namespace, name, .. } => {
                Some(Arc::new(Endpoints { view: self.view.clone(), namespace: namespace.clone(), name: name.clone() }))
            }
        };
        let (trust, identity) = (target.trust.clone(), key.1.clone());
        // Connections that are shared by HTTP/2 would lead to one endpoint of a service alone.
        let config = Config { trust, resolver, identity, ..Config::default() };
        let client = Client::bounded(config, Bounds { http1: true, answer_bytes_max: ANSWER_MAX });
        let client = client.map_err(|error| Error::Config(format!("unable to load root certificates: {error}")))?;
        let mut kept = self.kept.lock();
        if kept.len() >= CLIENTS_MAX {
            kept.clear();
        }
        Ok(kept.entry(key).or_insert(client).clone())
    }

    /// Posts a review and answers what came back. Waits for `timeout` at most, and tells the webhook so.
    pub async fn post(&self, target: &Target, review: Bytes, timeout: Duration) -> Result<Value, Error> {
        let url = format!("{}?timeout={}s", target.url(), timeout.as_secs());
        let user = self.users.of(&target.host_port());
        let identity =
            user.map(KubeconfigUser::identity).transpose().map_err(|error| Error::Config(error.to_string()))?;
        let headers = user.map_or_else(HeaderMap::new, KubeconfigUser::headers);
        self.client(target, identity.flatten())?.post_json(&url, headers, review, timeout).await
    }
}

/// Finds the endpoints of one Service.
struct Endpoints {
    view: Arc<dyn View>,
    namespace: String,
    name: String,
}

impl Resolve for Endpoints {
    fn resolve(&self, _: &str, port: u16) -> Result<String, String> {
        let Some(of) = self.view.get(Resource::SERVICES, &self.namespace, &self.name) else {
            return Err(format!("service {:?} not found", self.name));
        };
        if of.str(&["spec", "type"]) == "ExternalName" {
            return Ok(service::join(of.str(&["spec", "externalName"]), &port.to_string()));
        }
        let mut slices = self.view.list(Resource::ENDPOINT_SLICES, &self.namespace);
        slices.retain(|slice| slice.str(&["metadata", "labels", service::SERVICE_NAME]) == self.name);
        service::endpoint(&of, &slices, &port.to_string(), |_| true, clock::random_below).map_err(|error| error.message)
    }
}

#[cfg(test)]
mod tests {
    use auth::view::testing::Objects;

    use super::*;

    #[test]
    fn a_service_is_looked_up_by_its_name() {
        let cluster = Arc::new(Objects::default());
        cluster.apply(
            r#"
            services/shop guard spec={"ports":[{"port":443,"targetPort":8443}]}
            services/shop away spec={"type":"ExternalName","externalName":"guard.example"}
            services/shop idle spec={"ports":[{"port":443}]}
            endpointslices/shop guard-1 metadata.labels={"kubernetes.io/service-name":"guard"} ports=[{"name":"","port":8443}] endpoints=[{"addresses":["fd00::3"]}]
        "#,
        );
        for (name, port, expected) in [
            ("guard", 443, Ok("[fd00::3]:8443")),
            ("away", 8443, Ok("guard.example:8443")),
            ("guard", 80, Err("no service port \"80\" found for service \"guard\"")),
            ("idle", 443, Err("no endpoints available for service \"idle\"")),
            ("gone", 443, Err("service \"gone\" not found")),
        ] {
            let endpoints = Endpoints { view: cluster.clone(), namespace: "shop".to_owned(), name: name.to_owned() };
            let found = endpoints.resolve("ignored", port);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{name}:{port}");
        }
    }
}

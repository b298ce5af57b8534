//! The Lease by which an API server is known to be there. (upstream: pkg/controlplane, identity leases)

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use machinery::{ApiError, Object, Reason};
use registry::{Context, DeleteOptions, Registry, Target};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::bootstrap::{self, Bootstrap};
use crate::server::Server;

const NAMESPACE: &str = "kube-system";
const RETRY_MAX: Duration = Duration::from_secs(10);
const LABEL: &str = "apiserver.kubernetes.io/identity";
const COMPONENT: &str = "kube-apiserver";
/// Where the server is reached: `10.0.0.1:6443`.
const ADDRESS: &str = "keelson.io/advertised-address";

/// How long a Lease counts without being renewed, and how often it is.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    duration: Duration,
    every: Duration,
    /// Whether others are to know where this server is.
    advertised: bool,
}

impl Renewal {
    /// Seldom: each is a write to the disk of a server that may be idle.
    pub const ALONE: Self =
        Self { duration: Duration::from_secs(3600), every: Duration::from_secs(600), advertised: false };
    /// Often enough for a server that is gone to be no endpoint of the API any more after less than 10 seconds.
    /// (upstream: 15 seconds for its endpoint leases)
    pub const AMONG_OTHERS: Self =
        Self { duration: Duration::from_secs(6), every: Duration::from_secs(2), advertised: true };
}

/// What the server on this host is called: `apiserver-`, and what tells machines apart.
pub fn identity(host: &str) -> String {
    format!("apiserver-{}", base32(&Sha256::digest(host)[..16]))
}

/// In lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| (byte >> (7 - at % 8)) & 1);
    let digit = |first: usize| (first..first + 5).fold(0, |digit, at| digit << 1 | bit(at));
    (0..bytes.len() * 8).step_by(5).map(|first| char::from(DIGITS[usize::from(digit(first))])).collect()
}

impl Server {
    /// Holds the Lease of this server until it is dropped, and tells after each renewal which servers there are.
    pub async fn hold_identity_lease(&self, bootstrap: &Bootstrap, renewal: Renewal) {
        let holder = format!("{}_{}", identity(&bootstrap.host), clock::uuid());
        loop {
            let renewed = async {
                self.renew_identity(bootstrap, renewal, &holder).await?;
                bootstrap::tell_servers(self.registry(), bootstrap, true).await
            };
            let wait = match renewed.await {
                Ok(()) => renewal.every,
                Err(error) => {
                    tracing::warn!(%error, "the server's Lease is not renewed");
                    renewal.every.min(RETRY_MAX)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Gives the Lease back, and tells that this server is none of the API's endpoints any more.
    pub async fn release_identity_lease(&self, bootstrap: &Bootstrap) {
        let released = async {
            let options = DeleteOptions::default();
            let lease = leases(self.registry());
            self.registry()
                .delete(&Context::of_server(), lease, NAMESPACE, &identity(&bootstrap.host), &options)
                .await?;
            bootstrap::tell_servers(self.registry(), bootstrap, false).await
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the server's Lease is not given back");
        }
    }

    async fn renew_identity(&self, bootstrap: &Bootstrap, renewal: Renewal, holder: &str) -> Result<(), ApiError> {
        let (kind, host) = (leases(self.registry()), &bootstrap.host);
        let context = Context::of_server();
        let (name, now) = (identity(host), clock::format_micro_time(clock::now()));
        let spec = json!({
            "holderIdentity": holder, "leaseDurationSeconds": renewal.duration.as_secs(), "acquireTime": now,
            "renewTime": now,
        });
        let address = SocketAddr::new(bootstrap.address, bootstrap.port).to_string();
        let annotations = if renewal.advertised { json!({ADDRESS: address}) } else { json!({}) };
        let stored = match self.registry().get(kind, NAMESPACE, &name, "").await {
            Ok(stored) => stored.object(),
            Err(error) if error.reason == Reason::NotFound => {
                let labels = json!({LABEL: COMPONENT, "kubernetes.io/hostname": host});
                let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
                let lease = json!({"metadata": metadata, "spec": spec});
                let lease = Object::from_value(lease).expect("the literal is an object");
                return self.registry().create(&context, kind, NAMESPACE, lease).await.map(drop);
            }
            Err(error) => return Err(error),
        };
        let mut renewed = stored;
        if renewed.str(&["spec", "holderIdentity"]) == holder {
            renewed.set(&["spec", "renewTime"], now);
        } else {
            renewed.set(&["spec"], spec);
            renewed.set(&["metadata", "annotations"], annotations);
        }
        self.registry().update(&context, kind, NAMESPACE, &name, Target::Main, renewed).await.map(drop)
    }
}

fn leases(registry: &Registry) -> &'static kinds::KindDef {
    registry.kinds().find("coordination.k8s.io", "v1", "leases").expect("Leases are served")
}

/// Where other servers of the cluster are that renewed their Leases, as far as they use the same port: that is what
/// one set of endpoints can say.
pub fn others(registry: &Registry, bootstrap: &Bootstrap) -> Vec<IpAddr> {
    let own = identity(&bootstrap.host);
    let leases = registry.lister(leases(registry)).list(NAMESPACE);
    let servers = leases.iter().filter(|lease| lease.labels().get(LABEL).is_some_and(|of| of == COMPONENT));
    let others = servers.filter(|lease| lease.name() != own).map(|lease| lease.object());
    let addresses = others.filter(is_current).filter_map(|lease| advertised(&lease));
    addresses.filter(|address| address.port() == bootstrap.port).map(|address| address.ip()).collect()
}

fn advertised(lease: &Object) -> Option<SocketAddr> {
    lease.str(&["metadata", "annotations", ADDRESS]).parse().ok()
}

fn is_current(lease: &Object) -> bool {
    let renewed = lease.str(&["spec", "renewTime"]).parse();
    let duration = lease.int(&["spec", "leaseDurationSeconds"]).and_then(|seconds| u64::try_from(seconds).ok());
    renewed.is_ok_and(|renewed| clock::since(renewed) < Duration::from_secs(duration.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_digests_in_base32() {
        assert_eq!((base32(b"f"), base32(b"foobar")), ("my".to_owned(), "mzxw6ytboi".to_owned()));
        let name = identity("host");
        assert_eq!(name.len(), "apiserver-".len() + 26);
        assert_ne!(name, identity("other"));
    }
}

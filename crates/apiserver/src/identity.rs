//! The Lease by which an API server is known to be there. (upstream: pkg/controlplane, identity leases)

use std::time::Duration;

use machinery::{ApiError, Object, Reason, UserInfo};
use registry::{Context, Target};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::server::Server;

const NAMESPACE: &str = "kube-system";
const DURATION: Duration = Duration::from_secs(3600);
/// Seldom: each is a write to the disk of a server that may be idle.
const RENEW_EVERY: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(10);

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
    /// Holds the Lease of the server on this host until it is dropped.
    pub async fn hold_identity_lease(&self, host: &str) {
        let holder = format!("{}_{}", identity(host), clock::uuid());
        loop {
            let wait = match self.renew_identity(host, &holder).await {
                Ok(()) => RENEW_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "the server's Lease is not renewed");
                    RETRY
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn renew_identity(&self, host: &str, holder: &str) -> Result<(), ApiError> {
        let kind = self.registry().kinds().find("coordination.k8s.io", "v1", "leases").expect("Leases are served");
        let user = UserInfo::new("system:apiserver", &[UserInfo::MASTERS]);
        let context = Context { user, field_manager: "kube-apiserver".to_owned(), ..Context::default() };
        let (name, now) = (identity(host), clock::format_micro_time(clock::now()));
        let spec = json!({
            "holderIdentity": holder, "leaseDurationSeconds": DURATION.as_secs(), "acquireTime": now, "renewTime": now,
        });
        let stored = match self.registry().get(kind, NAMESPACE, &name, "").await {
            Ok(stored) => stored.object(),
            Err(error) if error.reason == Reason::NotFound => {
                let labels =
                    json!({"apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": host});
                let lease = json!({"metadata": {"name": name, "labels": labels}, "spec": spec});
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
        }
        self.registry().update(&context, kind, NAMESPACE, &name, Target::Main, renewed).await.map(drop)
    }
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

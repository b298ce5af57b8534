//! Tokens that lie in Secrets. They have no end of their own: they end with their Secret, or their account.
//! (upstream: pkg/serviceaccount/legacy.go, pkg/controlplane/controller/legacytokentracking)

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use machinery::{ApiError, Object, Reason};
use registry::{Context, Registry};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use super::username;

pub(super) const ISSUER: &str = "kubernetes/serviceaccount";
pub const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
pub const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// Tells since when uses are tracked.
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
const SINCE: &str = "since";
/// Uses that wait to be written down; what is more is written down when the token is used again.
const WAITING_MAX: usize = 100;

/// What such a token claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub uid: String,
}

impl Claims {
    pub fn new(namespace: &str, account: &str, uid: &str, secret: &str) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            sub: username(namespace, account),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            account: account.to_owned(),
            uid: uid.to_owned(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let claims = [
            ("sub", &self.sub),
            ("namespace", &self.namespace),
            ("secretName", &self.secret),
            ("serviceAccountName", &self.account),
            ("serviceAccountUID", &self.uid),
        ];
        match claims.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(format!("{name} claim is missing")),
            None if self.sub != username(&self.namespace, &self.account) => Err("sub claim is invalid".to_owned()),
            None => Ok(()),
        }
    }
}

/// A use of a token, to be written down in its Secret.
pub struct Used {
    namespace: String,
    secret: String,
    uid: String,
}

/// Who notes uses, and who writes them down.
pub fn tracking() -> (mpsc::Sender<Used>, mpsc::Receiver<Used>) {
    mpsc::channel(WAITING_MAX)
}

/// Notes that the token of this Secret was used, unless that is known of today.
pub(crate) fn note(sender: &mpsc::Sender<Used>, secret: &Object) {
    let now = clock::now();
    let known = secret.str(&["metadata", "labels", LAST_USED]);
    // The clock of another server may be ahead.
    if known != date(now) && known != date(now + 24.hours()) {
        let (namespace, name, uid) = (secret.namespace(), secret.name(), secret.uid());
        let used = Used { namespace: namespace.to_owned(), secret: name.to_owned(), uid: uid.to_owned() };
        if sender.try_send(used).is_err() {
            tracing::debug!("a use of a token is not written down");
        }
    }
}

/// `2026-11-26`
pub fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

/// Writes uses down, and since when. Runs until it is dropped, which is safe.
pub async fn track(registry: Registry, mut uses: mpsc::Receiver<Used>) {
    loop {
        if let Err(error) = tell_since(&registry).await {
            tracing::warn!(%error, "it is not told since when uses of tokens are tracked");
        }
        let Some(used) = uses.recv().await else { return };
        let today = date(clock::now());
        let write = |secret: &mut Object| {
            if secret.uid() == used.uid {
                secret.set(&["metadata", "labels", LAST_USED], today.as_str());
            }
            Ok(())
        };
        let secrets = registry.kinds().find("", "v1", "secrets").expect("Secrets are served");
        let written = registry.mutate(&Context::of_server(), secrets, &used.namespace, &used.secret, "", write).await;
        if let Err(error) = written.map(drop).or_else(unless(Reason::NotFound)) {
            tracing::warn!(namespace = used.namespace, secret = used.secret, %error, "a use of a token is not written");
        }
    }
}

/// Makes the object, or mends it.
async fn tell_since(registry: &Registry) -> Result<(), ApiError> {
    let kind = registry.kinds().find("", "v1", "configmaps").expect("ConfigMaps are served");
    let today = date(clock::now());
    match registry.lister(kind).get("kube-system", TRACKING).map(|entry| entry.object()) {
        Some(map) if map.str(&["data", SINCE]).parse::<jiff::civil::Date>().is_ok() => Ok(()),
        Some(_) => {
            let write = |map: &mut Object| {
                map.set(&["data", SINCE], today.as_str());
                Ok(())
            };
            registry.mutate(&Context::of_server(), kind, "kube-system", TRACKING, "", write).await.map(drop)
        }
        None => {
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": TRACKING, "namespace": "kube-system"}, "data": {SINCE: today},
            });
            let map = Object::from_value(map).expect("the literal is an object");
            let made = registry.create(&Context::of_server(), kind, "kube-system", map).await.map(drop);
            made.or_else(unless(Reason::AlreadyExists))
        }
    }
}

fn unless(reason: Reason) -> impl FnOnce(ApiError) -> Result<(), ApiError> {
    move |error| if error.reason == reason { Ok(()) } else { Err(error) }
}

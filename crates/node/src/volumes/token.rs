//! Service account tokens of one pod: asked for by TokenRequest, bound to the pod, renewed in time.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::payload::{Fault, TokenKey};
use crate::pod::spec;

/// A token is renewed when this share of its life has passed, or so much time, as upstream.
const RENEW_AT_PERCENT: i64 = 80;
const RENEW_AFTER_SECONDS: i64 = 24 * 60 * 60;

struct Issued {
    token: String,
    renew_at: Timestamp,
}

/// The tokens that a pod holds.
#[derive(Default)]
pub struct TokenStore(Mutex<HashMap<TokenKey, Issued>>);

impl TokenStore {
    /// The token for a projection, asked for anew once the one in hand grows old.
    pub async fn get(&self, client: &Client, pod: &Pod, key: &TokenKey) -> Result<String, Fault> {
        let fresh = |issued: &&Issued| issued.renew_at > clock::now();
        if let Some(issued) = self.0.lock().get(key).filter(fresh) {
            return Ok(issued.token.clone());
        }
        let issued = request(client, pod, key).await?;
        let token = issued.token.clone();
        self.0.lock().insert(key.clone(), issued);
        Ok(token)
    }

    /// When the next token must be asked for.
    pub fn renew_at(&self) -> Option<Timestamp> {
        self.0.lock().values().map(|issued| issued.renew_at).min()
    }
}

async fn request(client: &Client, pod: &Pod, key: &TokenKey) -> Result<Issued, Fault> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to fetch token: {error}");
    let account = spec::spec(pod).service_account_name.as_deref().unwrap_or("default");
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), spec::namespace(pod));
    let answer = accounts.create_token_request(account, &PostParams::default(), &wanted(pod, key)).await;
    let answer = answer.map_err(|error| failed(&error))?;
    let status = answer.status.ok_or_else(|| failed(&"the answer holds none"))?;
    let now = clock::now();
    let life = status.expiration_timestamp.0.as_second() - now.as_second();
    let renew_at = Timestamp::from_second(now.as_second() + renew_after(life));
    Ok(Issued { token: status.token, renew_at: renew_at.unwrap_or(now) })
}

/// Seconds until a token that lives so long is renewed.
fn renew_after(life: i64) -> i64 {
    (life.max(1) * RENEW_AT_PERCENT / 100).min(RENEW_AFTER_SECONDS)
}

fn wanted(pod: &Pod, key: &TokenKey) -> TokenRequest {
    let bound = BoundObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    TokenRequest {
        spec: TokenRequestSpec {
            audiences: Some(key.audience.clone()).filter(|audience| !audience.is_empty()).into_iter().collect(),
            expiration_seconds: Some(key.seconds),
            bound_object_ref: Some(bound),
        },
        ..TokenRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_ends_and_once_a_day() {
        const DAY: i64 = RENEW_AFTER_SECONDS;
        for (life, expected) in [(600, 480), (3607, 2885), (DAY, DAY * 4 / 5), (2 * DAY, DAY), (365 * DAY, DAY), (0, 0)]
        {
            assert_eq!(renew_after(life), expected, "{life}");
        }
    }
}

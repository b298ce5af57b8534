//! Bootstrap tokens, by which machines join: `ID.SECRET`, kept as Secrets of `kube-system`.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use machinery::{Object, UserInfo};
use serde_json::json;

use super::{Authenticator, Credentials, Refused};
use crate::view::{Resource, View};

const NAMESPACE: &str = "kube-system";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

pub struct BootstrapTokens {
    view: Arc<dyn View>,
}

impl BootstrapTokens {
    pub fn new(view: Arc<dyn View>) -> Self {
        Self { view }
    }

    fn judge(&self, id: &str, secret: &str) -> Result<UserInfo, &'static str> {
        let stored = self.view.get(Resource::SECRETS, NAMESPACE, &secret_name(id)).ok_or("no such token")?;
        if stored.str(&["type"]) != SECRET_TYPE || stored.is_deleting() {
            return Err("not a bootstrap token or deleted");
        }
        let data = |key: &str| decoded(&stored, key);
        if data("token-id").as_deref() != Some(id) {
            return Err("the secret is of another token");
        }
        if !same(data("token-secret").unwrap_or_default().as_bytes(), secret.as_bytes()) {
            return Err("wrong secret");
        }
        if expired(&data("expiration").unwrap_or_default()) {
            return Err("expired");
        }
        if data("usage-bootstrap-authentication").as_deref() != Some("true") {
            return Err("not meant for authentication");
        }
        let extra = data("auth-extra-groups").unwrap_or_default();
        let extra: Vec<&str> = if extra.is_empty() { Vec::new() } else { extra.split(',').collect() };
        if !extra.iter().all(|group| group.starts_with("system:bootstrappers:")) {
            return Err("a group that bootstrap tokens can not have");
        }
        Ok(UserInfo::new(format!("system:bootstrap:{id}"), &[&[GROUP], &extra[..]].concat()))
    }
}

#[async_trait]
impl Authenticator for BootstrapTokens {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let token = credentials.bearer_token.as_deref().filter(|_| credentials.for_api());
        let Some((id, secret)) = token.and_then(parse) else { return Ok(None) };
        self.judge(id, secret).map(Some).map_err(|why| Refused(format!("bootstrap token {id}: {why}")))
    }
}

/// The token's id and secret, if it has the form of a bootstrap token.
pub fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let fits = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    (fits(id, ID_LENGTH) && fits(secret, SECRET_LENGTH)).then_some((id, secret))
}

/// A new random token. 27 characters to the power of 16 can not be guessed.
pub fn generate() -> String {
    format!("{}.{}", clock::name_suffix(ID_LENGTH), clock::name_suffix(SECRET_LENGTH))
}

/// The Secret that makes a token valid until `expires`, or for good. Nothing if the token is malformed.
pub fn secret_object(token: &str, expires: Option<Timestamp>, description: &str) -> Option<Object> {
    let (id, secret) = parse(token)?;
    let mut data = json!({
        "token-id": id, "token-secret": secret, "description": description,
        "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
    });
    if let Some(expires) = expires {
        data["expiration"] = json!(clock::format_time(expires));
    }
    let data = data
        .as_object()?
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), json!(STANDARD.encode(value.as_str()?)))));
    Object::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE,
        "metadata": {"name": secret_name(id), "namespace": NAMESPACE},
        "data": data.collect::<serde_json::Map<_, _>>(),
    }))
}

fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

fn decoded(secret: &Object, key: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(secret.str(&["data", key])).ok()?).ok()
}

/// No expiration holds for good; one that can not be read has passed.
fn expired(expiration: &str) -> bool {
    !expiration.is_empty() && !expiration.parse::<Timestamp>().is_ok_and(|at| at > clock::now())
}

/// Compares in a time that does not depend on where the texts differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::view::testing::Objects;

    const TOKEN: &str = "abcdef.0123456789abcdef";

    fn judge(change: impl FnOnce(&mut Object), token: &str) -> Result<UserInfo, &'static str> {
        let mut secret = secret_object(TOKEN, None, "").unwrap();
        change(&mut secret);
        let objects = Objects::default();
        objects.put("secrets", secret);
        let (id, secret) = parse(token).unwrap();
        BootstrapTokens::new(Arc::new(objects)).judge(id, secret)
    }

    fn set(key: &str, value: &str) -> impl FnOnce(&mut Object) {
        move |secret| secret.set(&["data", key], STANDARD.encode(value))
    }

    #[test]
    fn tokens_are_judged_by_their_secret() {
        let user = judge(|_| {}, TOKEN).unwrap();
        assert_eq!(user, UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers"]));
        assert_eq!(judge(|_| {}, "abcdef.0123456789abcdee"), Err("wrong secret"));
        assert_eq!(judge(|_| {}, "abcdeg.0123456789abcdef"), Err("no such token"));
        assert_eq!(judge(set("expiration", "2020-01-01T00:00:00Z"), TOKEN), Err("expired"));
        assert_eq!(judge(set("expiration", "soon"), TOKEN), Err("expired"));
        assert!(judge(set("expiration", "2999-01-01T00:00:00Z"), TOKEN).is_ok());
        assert_eq!(judge(set("usage-bootstrap-authentication", "false"), TOKEN), Err("not meant for authentication"));
        assert!(judge(set("auth-extra-groups", "system:masters"), TOKEN).is_err());
        assert!(judge(set("auth-extra-groups", "system:bootstrappers:east,"), TOKEN).is_err());
        let user = judge(set("auth-extra-groups", "system:bootstrappers:east"), TOKEN).unwrap();
        assert!(user.in_group("system:bootstrappers:east"));
    }

    #[test]
    fn only_the_exact_form_is_a_bootstrap_token() {
        assert!(parse(&generate()).is_some());
        for token in ["abc.0123456789abcdef", "ABCDEF.0123456789abcdef", "abcdef0123456789abcdef", "a.b.c"] {
            assert_eq!(parse(token), None, "{token}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_expires() {
        let _guard = clock::simulate(1);
        let objects = Objects::default();
        objects.put("secrets", secret_object(TOKEN, Some(clock::now() + Duration::from_secs(60)), "").unwrap());
        let tokens = BootstrapTokens::new(Arc::new(objects));
        assert!(tokens.authenticate(&Credentials::token(TOKEN)).await.is_ok());
        tokio::time::advance(Duration::from_secs(61)).await;
        let expired = Err(Refused("bootstrap token abcdef: expired".to_owned()));
        assert_eq!(tokens.authenticate(&Credentials::token(TOKEN)).await, expired);
    }
}

//! Service account tokens: the signature, and that all a token is bound to still exists.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use machinery::{Object, UserInfo};

use super::{Authenticator, Credentials, Refused};
use crate::tokens::{Claims, Invalid, Reference, TokenIssuer, username};
use crate::view::{Resource, View};

/// Objects count as gone when they should have been deleted this many seconds ago.
const DELETION_LEEWAY: i64 = 60;

pub struct ServiceAccountTokens {
    view: Arc<dyn View>,
    issuer: Arc<TokenIssuer>,
}

impl ServiceAccountTokens {
    pub fn new(view: Arc<dyn View>, issuer: Arc<TokenIssuer>) -> Self {
        Self { view, issuer }
    }

    /// The user and the claims; nothing for a token of another issuer. The error is for logs and
    /// TokenReviews.
    pub fn judge(&self, token: &str, audiences: &[String]) -> Result<Option<(UserInfo, Claims)>, String> {
        let own = [self.issuer.issuer().to_owned()];
        let audiences = if audiences.is_empty() { &own } else { audiences };
        let claims = match self.issuer.verify(token, audiences) {
            Ok(claims) => claims,
            Err(Invalid::Foreign) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        self.check_bound(&claims)?;
        Ok(Some((user(&claims), claims)))
    }

    fn check_bound(&self, claims: &Claims) -> Result<(), String> {
        let of = &claims.kubernetes;
        let namespace = of.namespace.as_str();
        self.exists("service account", Resource::SERVICE_ACCOUNTS, namespace, &of.serviceaccount)?;
        let bound = [("secret", Resource::SECRETS, namespace, &of.secret), ("pod", Resource::PODS, namespace, &of.pod)];
        for (what, resource, namespace, reference) in bound {
            if let Some(reference) = reference {
                self.exists(what, resource, namespace, reference)?;
            }
        }
        // A token bound to a pod names its node for information only.
        match (&of.pod, &of.node) {
            (None, Some(node)) => self.exists("node", Resource::NODES, "", node),
            _ => Ok(()),
        }
    }

    fn exists(&self, what: &str, resource: Resource, namespace: &str, of: &Reference) -> Result<(), String> {
        match self.view.get(resource, namespace, &of.name) {
            None => Err(format!("{what} {:?} not found", of.name)),
            Some(object) if object.uid() != of.uid => {
                Err(format!("{what} UID ({}) does not match claim ({})", object.uid(), of.uid))
            }
            Some(object) if gone(&object) => Err(format!("{what} {:?} has been deleted", of.name)),
            Some(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Authenticator for ServiceAccountTokens {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let Some(token) = &credentials.bearer_token else { return Ok(None) };
        self.judge(token, &credentials.audiences).map(|found| found.map(|(user, _)| user)).map_err(Refused)
    }
}

fn gone(object: &Object) -> bool {
    let deletion = object.str(&["metadata", "deletionTimestamp"]).parse::<Timestamp>();
    deletion.is_ok_and(|at| at.as_second() + DELETION_LEEWAY < clock::now().as_second())
}

/// The user a service account is.
fn user(claims: &Claims) -> UserInfo {
    let of = &claims.kubernetes;
    let local = format!("system:serviceaccounts:{}", of.namespace);
    let mut user = UserInfo::new(username(&of.namespace, &of.serviceaccount.name), &["system:serviceaccounts", &local]);
    user.uid = of.serviceaccount.uid.clone();
    let mut add = |key: &str, value: String| {
        user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
    };
    add("credential-id", format!("JTI={}", claims.jti));
    for (what, reference) in [("pod", &of.pod), ("node", &of.node)] {
        if let Some(reference) = reference {
            add(&format!("{what}-name"), reference.name.clone());
            add(&format!("{what}-uid"), reference.uid.clone());
        }
    }
    user
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tokens::{ISSUER, Private};
    use crate::view::testing::Objects;

    struct Fixture {
        objects: Arc<Objects>,
        tokens: ServiceAccountTokens,
        token: String,
    }

    fn fixture() -> Fixture {
        let objects = Arc::new(Objects::default());
        objects.apply("serviceaccounts/dev bot metadata.uid=\"sa\"\npods/dev web metadata.uid=\"pod\"");
        let key = crate::pki::key_pem(&crate::pki::generate_key()).unwrap();
        let issuer = Arc::new(TokenIssuer::from_pem(&key, ISSUER).unwrap());
        let reference = |name: &str, uid: &str| Reference { name: name.to_owned(), uid: uid.to_owned() };
        let private = Private {
            namespace: "dev".to_owned(),
            serviceaccount: reference("bot", "sa"),
            pod: Some(reference("web", "pod")),
            ..Private::default()
        };
        let (token, _) = issuer.mint(private, vec![ISSUER.to_owned()], 3600).unwrap();
        Fixture { tokens: ServiceAccountTokens::new(objects.clone(), issuer), objects, token }
    }

    impl Fixture {
        fn error(&self) -> String {
            self.tokens.judge(&self.token, &[]).unwrap_err()
        }
    }

    #[tokio::test]
    async fn a_token_names_its_account_groups_and_pod() {
        let fixture = fixture();
        let user = fixture.tokens.authenticate(&Credentials::token(&fixture.token)).await.unwrap().unwrap();
        assert_eq!(user.name, "system:serviceaccount:dev:bot");
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:dev", "system:authenticated"]);
        assert_eq!((user.uid.as_str(), user.extra["authentication.kubernetes.io/pod-name"][0].as_str()), ("sa", "web"));
    }

    #[test]
    fn a_token_ends_with_what_it_is_bound_to() {
        let fixture = fixture();
        fixture.objects.apply("pods/dev web metadata.uid=\"recreated\"");
        assert_eq!(fixture.error(), "pod UID (recreated) does not match claim (pod)");
        fixture.objects.remove("pods", "dev", "web");
        assert_eq!(fixture.error(), "pod \"web\" not found");
        fixture.objects.remove("serviceaccounts", "dev", "bot");
        assert_eq!(fixture.error(), "service account \"bot\" not found");
    }

    #[tokio::test(start_paused = true)]
    async fn deletion_ends_it_after_a_minute() {
        let _guard = clock::simulate(1);
        let fixture = fixture();
        let at = clock::format_time(clock::now());
        fixture.objects.apply(&format!("pods/dev web metadata.uid=\"pod\" metadata.deletionTimestamp=\"{at}\""));
        assert!(fixture.tokens.judge(&fixture.token, &[]).is_ok());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(fixture.error(), "pod \"web\" has been deleted");
    }
}

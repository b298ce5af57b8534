//! Who asks, on whose behalf, and whether they may.

use std::net::IpAddr;

use auth::authn::ClientCertificate;
use auth::authz::is_open;
use auth::{Attributes, Credentials, Decision};
use http::HeaderMap;
use http::header::{AUTHORIZATION, UPGRADE};
use machinery::{ApiError, UserInfo, percent};

use crate::call::Call;
use crate::info::RequestInfo;
use crate::server::Server;

/// In a request's extensions: where the connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub IpAddr);

/// In a request's extensions: the request comes from a component of this process that acts as this user.
#[derive(Clone, Debug)]
pub(crate) struct LocalUser(pub UserInfo);

impl Server {
    /// Finds out who asks; sets `call.user`.
    pub(crate) async fn authenticate(&self, call: &mut Call) -> Result<(), ApiError> {
        let begun = clock::monotonic();
        let outcome = self.find_user(call).await;
        self.counts().authenticated(outcome.is_ok().then_some(&call.user.name), begun.elapsed());
        outcome
    }

    async fn find_user(&self, call: &mut Call) -> Result<(), ApiError> {
        if let Some(LocalUser(user)) = call.parts.extensions.get() {
            call.user = user.clone();
            call.local = true;
            return Ok(());
        }
        match self.authenticator().authenticate(&credentials(call)).await {
            Ok(Some(user)) => call.user = user,
            Ok(None) => return Err(ApiError::unauthorized()),
            Err(refused) => {
                tracing::debug!(why = %refused, "Unable to authenticate the request");
                return Err(refused.into());
            }
        }
        self.config().identity_headers.clear(&mut call.parts.headers);
        Ok(())
    }

    pub(crate) async fn authorize(&self, call: &mut Call) -> Result<(), ApiError> {
        if is_open(&call.info.path) {
            return Ok(());
        }
        let attributes = attributes(call);
        let begun = clock::monotonic();
        let decision = self.authorizer().decide(&attributes).await;
        self.counts().authorized(&decision, begun.elapsed());
        if let Some(auditing) = &mut call.auditing {
            auditing.decide(matches!(decision, Decision::Allow(_)), decision.reason());
        }
        allowed(decision, &attributes)?;
        // A GET that becomes a connection does what a POST does.
        if is_streaming(&call.info) && attributes.verb == "get" && call.headers().contains_key(UPGRADE) {
            self.may_also(call, "create").await?;
        }
        Ok(())
    }

    /// Whether the caller may also do `verb` to what the request is about.
    pub(crate) async fn may_also(&self, call: &Call, verb: &str) -> Result<(), ApiError> {
        self.check(&Attributes { verb: verb.to_owned(), ..attributes(call) }).await
    }

    /// Switches to the user that the impersonation headers name, if the caller may.
    pub(crate) async fn impersonate(&self, call: &mut Call) -> Result<(), ApiError> {
        let Some(wanted) = Impersonated::read(call.headers())? else { return Ok(()) };
        for attributes in wanted.attributes(&call.user) {
            self.check(&attributes).await?;
        }
        call.user = wanted.into_user();
        if let Some(auditing) = &mut call.auditing {
            auditing.impersonate(&call.user);
        }
        Ok(())
    }

    pub(crate) async fn check(&self, attributes: &Attributes) -> Result<(), ApiError> {
        allowed(self.authorizer().decide(attributes).await, attributes)
    }
}

fn allowed(decision: Decision, attributes: &Attributes) -> Result<(), ApiError> {
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::Failed { why, .. } => Err(ApiError::internal(why)),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(auth::authz::forbidden(attributes, &reason)),
    }
}

fn is_streaming(info: &RequestInfo) -> bool {
    info.resource == "pods" && matches!(info.subresource.as_str(), "exec" | "attach" | "portforward")
}

fn attributes(call: &Call) -> Attributes {
    let info = &call.info;
    let selects = matches!(info.verb.as_str(), "list" | "watch" | "deletecollection");
    let selector = |name: &str| if selects { call.query.get(name).to_owned() } else { String::new() };
    Attributes {
        user: call.user.clone(),
        verb: info.verb.clone(),
        namespace: info.namespace.clone(),
        api_group: info.group.clone(),
        api_version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        name: info.name.clone(),
        path: info.path.clone(),
        is_resource: info.is_resource,
        field_selector: selector("fieldSelector"),
        label_selector: selector("labelSelector"),
    }
}

fn credentials(call: &Call) -> Credentials<'_> {
    Credentials {
        client_certificate: call.parts.extensions.get::<ClientCertificate>().cloned(),
        bearer_token: bearer_token(call.headers()),
        headers: Some(call.headers()),
        path: &call.info.path,
        warnings: call.warnings.clone(),
        annotations: call.annotations.clone(),
        ..Credentials::default()
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// The user that `Impersonate-*` headers describe.
#[derive(Debug, Default, PartialEq, Eq)]
struct Impersonated(UserInfo);

const EXTRA: &str = "impersonate-extra-";

impl Impersonated {
    fn read(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let values = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok().map(str::to_owned)).collect()
        };
        let mut user = UserInfo {
            name: values("impersonate-user").into_iter().next().unwrap_or_default(),
            uid: values("impersonate-uid").into_iter().next().unwrap_or_default(),
            groups: values("impersonate-group"),
            ..UserInfo::default()
        };
        for name in headers.keys().map(http::HeaderName::as_str) {
            if let Some(key) = name.strip_prefix(EXTRA) {
                user.extra.insert(percent::decode(key), values(name));
            }
        }
        match user {
            user if user == UserInfo::default() => Ok(None),
            user if user.name.is_empty() => {
                let asked = references(&user);
                Err(ApiError::bad_request(format!("requested [{asked}] without impersonating a user")))
            }
            user => Ok(Some(Self(user))),
        }
    }

    /// What the caller must be allowed.
    fn attributes(&self, caller: &UserInfo) -> Vec<Attributes> {
        let ask = |group: &str, resource: &str, namespace: &str, name: &str, subresource: &str| Attributes {
            user: caller.clone(),
            verb: "impersonate".to_owned(),
            namespace: namespace.to_owned(),
            api_group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        let mut asked = match service_account(&self.0.name) {
            Some((namespace, name)) => vec![ask("", "serviceaccounts", namespace, name, "")],
            None => vec![ask("", "users", "", &self.0.name, "")],
        };
        asked.extend(self.0.groups.iter().map(|group| ask("", "groups", "", group, "")));
        for (key, values) in &self.0.extra {
            asked.extend(values.iter().map(|value| ask("authentication.k8s.io", "userextras", "", value, key)));
        }
        if !self.0.uid.is_empty() {
            asked.push(ask("authentication.k8s.io", "uids", "", &self.0.uid, ""));
        }
        asked
    }

    /// The user with the groups that such a user always has.
    fn into_user(self) -> UserInfo {
        let mut user = self.0;
        if let (Some((namespace, _)), true) = (service_account(&user.name), user.groups.is_empty()) {
            user.groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        let implied =
            if user.name == UserInfo::ANONYMOUS { UserInfo::UNAUTHENTICATED } else { UserInfo::AUTHENTICATED };
        if !user.in_group(implied) && !user.in_group(UserInfo::UNAUTHENTICATED) {
            user.groups.push(implied.to_owned());
        }
        user
    }
}

/// What was asked for without a user, as Go prints references to objects.
fn references(user: &UserInfo) -> String {
    const VERSION: &str = "authentication.k8s.io/v1";
    let groups = user.groups.iter().map(|group| format!("{{Group  {group}    }}"));
    let extra = user
        .extra
        .iter()
        .flat_map(|(key, values)| values.iter().map(move |value| format!("{{UserExtra  {value}  {VERSION}  {key}}}")));
    let uid = (!user.uid.is_empty()).then(|| format!("{{UID  {}  {VERSION}  }}", user.uid));
    groups.chain(extra).chain(uid).collect::<Vec<_>>().join(" ")
}

/// Namespace and name of a service account's user name.
pub(crate) fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn impersonation_asks_for_each_part() {
        let headers = headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "a"),
            ("impersonate-group", "b"),
            ("impersonate-extra-example.com%2Fscopes", "view"),
        ]);
        let wanted = Impersonated::read(&headers).unwrap().unwrap();
        let asked = wanted.attributes(&UserInfo::new("admin", &[]));
        let asked: Vec<String> =
            asked.iter().map(|of| format!("{} {} {}", of.full_resource(), of.namespace, of.name)).collect();
        assert_eq!(asked, ["users  jane", "groups  a", "groups  b", "userextras/example.com/scopes  view"]);
        assert_eq!(wanted.into_user().groups, ["a", "b", "system:authenticated"]);
    }

    #[test]
    fn an_impersonated_service_account_has_its_groups() {
        let headers = headers(&[("impersonate-user", "system:serviceaccount:ns:sa")]);
        let wanted = Impersonated::read(&headers).unwrap().unwrap();
        let asked = wanted.attributes(&UserInfo::default());
        assert_eq!((asked[0].resource.as_str(), asked[0].namespace.as_str()), ("serviceaccounts", "ns"));
        let groups = wanted.into_user().groups;
        assert_eq!(groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
    }

    #[test]
    fn groups_alone_are_no_user() {
        let alone = headers(&[("impersonate-group", "a"), ("impersonate-extra-k", "v"), ("impersonate-uid", "u")]);
        let error = Impersonated::read(&alone).unwrap_err();
        assert_eq!(
            (error.code(), error.message.as_str()),
            (
                400,
                "requested [{Group  a    } {UserExtra  v  authentication.k8s.io/v1  k} {UID  u  \
                 authentication.k8s.io/v1  }] without impersonating a user"
            )
        );
        assert_eq!(Impersonated::read(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn tokens_are_read_from_the_authorization_header() {
        assert_eq!(bearer_token(&headers(&[("authorization", "Bearer  abc")])).as_deref(), Some("abc"));
        assert_eq!(bearer_token(&headers(&[("authorization", "Basic abc")])), None);
    }

    #[test]
    fn health_and_version_are_open() {
        assert!(is_open("/healthz") && is_open("/readyz/ping") && is_open("/version"));
        assert!(!is_open("/metrics") && !is_open("/healthzz") && !is_open("/api"));
    }
}

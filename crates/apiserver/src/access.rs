//! Who asks, on whose behalf, and whether they may.

use std::net::IpAddr;

use auth::authn::ClientCertificate;
use auth::authz::is_open;
use auth::{Attributes, Credentials, Decision};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};
use machinery::validation::{dns1123_label, dns1123_subdomain};
use machinery::{ApiError, UserInfo, percent};
use registry::Warnings;

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
        take_protocol_token(&mut call.parts.headers);
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
        // A GET that becomes a connection does what a POST does. A node's own API runs things in pods too.
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
    match info.resource.as_str() {
        "pods" => matches!(info.subresource.as_str(), "exec" | "attach" | "portforward"),
        "nodes" => info.subresource == "proxy",
        _ => false,
    }
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
        bearer_token: bearer_token(call.headers(), &call.warnings).or_else(|| protocol_token(call.headers())),
        headers: Some(call.headers()),
        path: &call.info.path,
        warnings: call.warnings.clone(),
        annotations: call.annotations.clone(),
        ..Credentials::default()
    }
}

fn bearer_token(headers: &HeaderMap, warnings: &Warnings) -> Option<String> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let mut parts = header.trim().splitn(3, ' ');
    let token = parts.next().filter(|scheme| scheme.eq_ignore_ascii_case("bearer")).and(parts.next())?;
    if token.is_empty() && parts.next().is_some() {
        warnings.add("the provided Authorization header contains extra space before the bearer token, and is ignored");
    }
    Some(token).filter(|token| !token.is_empty()).map(str::to_owned)
}

/// Before a token among the protocols that a browser's WebSocket offers, which can set no other header.
/// (upstream: apiserver/pkg/authentication/request/websocket)
const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The token among the protocols of a WebSocket; what is none, where there are several, or no protocol besides that could
/// be answered.
fn protocol_token(headers: &HeaderMap) -> Option<String> {
    let has = |name: HeaderName, word: &str| {
        let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return None;
    }
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        protocols(headers).partition(|protocol| protocol.starts_with(BEARER_PROTOCOL));
    let first = tokens.first()?.trim_start_matches(BEARER_PROTOCOL);
    let decoded = || String::from_utf8(URL_SAFE_NO_PAD.decode(first).ok()?).ok().filter(|token| !token.is_empty());
    let alone = tokens.len() == 1 && !others.is_empty();
    Some(alone.then(decoded).flatten().unwrap_or_else(|| first.to_owned()))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let texts = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

/// Nobody further on learns the token.
fn take_protocol_token(headers: &mut HeaderMap) {
    let is_token = |protocol: &&str| protocol.starts_with(BEARER_PROTOCOL);
    if protocols(headers).any(|protocol| is_token(&protocol)) {
        let others: Vec<&str> = protocols(headers).filter(|protocol| !is_token(protocol)).collect();
        let others = HeaderValue::try_from(others.join(",")).expect("parts of headers, and commas");
        headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
    }
}

/// The user that `Impersonate-*` headers describe.
#[derive(Debug, Default, PartialEq, Eq)]
struct Impersonated(UserInfo);

const EXTRA: &str = "impersonate-extra-";

impl Impersonated {
    fn read(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut user = UserInfo {
            name: texts(headers, "impersonate-user")?.into_iter().next().unwrap_or_default(),
            uid: texts(headers, "impersonate-uid")?.into_iter().next().unwrap_or_default(),
            groups: texts(headers, "impersonate-group")?,
            ..UserInfo::default()
        };
        for name in headers.keys().map(http::HeaderName::as_str) {
            if let Some(key) = name.strip_prefix(EXTRA) {
                user.extra.entry(percent::decode(key)).or_default().extend(texts(headers, name)?);
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
        const AUTHENTICATION: &str = "authentication.k8s.io";
        let ask = |group: &str, resource: &str, namespace: &str, name: &str, subresource: &str| Attributes {
            user: caller.clone(),
            verb: "impersonate".to_owned(),
            namespace: namespace.to_owned(),
            api_group: group.to_owned(),
            api_version: if group == AUTHENTICATION { "v1".to_owned() } else { String::new() },
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
            asked.extend(values.iter().map(|value| ask(AUTHENTICATION, "userextras", "", value, key)));
        }
        if !self.0.uid.is_empty() {
            asked.push(ask(AUTHENTICATION, "uids", "", &self.0.uid, ""));
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

/// All values of a header. One that is no text is refused: without it the request would be made as somebody else.
fn texts(headers: &HeaderMap, name: &str) -> Result<Vec<String>, ApiError> {
    let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec());
    let values: Result<_, _> = headers.get_all(name).iter().map(text).collect();
    values.map_err(|_| ApiError::bad_request(format!("the header {name} is not valid UTF-8")))
}

/// Namespace and name of a service account's user name.
pub(crate) fn service_account(user: &str) -> Option<(&str, &str)> {
    let named = user.strip_prefix("system:serviceaccount:")?.split_once(':');
    named.filter(|(namespace, name)| dns1123_label(namespace).is_empty() && dns1123_subdomain(name).is_empty())
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
    fn what_only_begins_like_a_service_account_is_another_user() {
        for name in ["system:serviceaccount:a:b:c", "system:serviceaccount::b", "system:serviceaccount:a:B"] {
            let wanted = Impersonated::read(&headers(&[("impersonate-user", name)])).unwrap().unwrap();
            let asked = wanted.attributes(&UserInfo::default());
            assert_eq!((asked[0].resource.as_str(), asked[0].name.as_str()), ("users", name));
            assert_eq!(wanted.into_user().groups, ["system:authenticated"]);
        }
    }

    #[test]
    fn no_part_of_an_impersonated_user_is_passed_over() {
        let wanted = Impersonated::read(&headers(&[("impersonate-user", "jürgen"), ("impersonate-group", "büro")]));
        let wanted = wanted.unwrap().unwrap();
        let asked = wanted.attributes(&UserInfo::default());
        let asked: Vec<&str> = asked.iter().map(|of| of.name.as_str()).collect();
        assert_eq!(asked, ["jürgen", "büro"]);
        for name in ["impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-a"] {
            let mut headers = headers(&[("impersonate-user", "jane")]);
            headers.append(name, HeaderValue::from_bytes(b"\xff").unwrap());
            let error = Impersonated::read(&headers).unwrap_err();
            assert_eq!(error.message, format!("the header {name} is not valid UTF-8"));
        }
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
    fn a_name_that_no_service_account_has_is_that_of_a_user() {
        for (name, expected) in [
            ("system:serviceaccount:ns:sa", Some(("ns", "sa"))),
            ("system:serviceaccount:ns:", None),
            ("system:serviceaccount::sa", None),
            ("system:serviceaccount:ns", None),
            ("system:serviceaccount:ns:sa:more", None),
            ("system:serviceaccount:NS:sa", None),
            ("jane", None),
        ] {
            assert_eq!(service_account(name), expected, "{name}");
        }
    }

    #[test]
    fn tokens_are_read_from_the_authorization_header() {
        for (header, token, warnings) in [
            ("Bearer abc", Some("abc"), 0),
            ("bearer abc ", Some("abc"), 0),
            ("Bearer abc more", Some("abc"), 0),
            ("Bearer  abc", None, 1),
            ("Bearer", None, 0),
            ("Basic abc", None, 0),
        ] {
            let told = Warnings::default();
            assert_eq!(bearer_token(&headers(&[("authorization", header)]), &told).as_deref(), token, "{header}");
            assert_eq!(told.take().len(), warnings, "{header}");
        }
    }

    #[test]
    fn browsers_offer_their_token_as_a_protocol() {
        // "abc"
        let token = format!("{BEARER_PROTOCOL}YWJj");
        for (offered, expected, left) in [
            (format!("v5.channel.k8s.io, {token}"), Some("abc"), "v5.channel.k8s.io"),
            (token.clone(), Some("YWJj"), ""),
            (format!("a,{token},{token}"), Some("YWJj"), "a"),
            (format!("a, {BEARER_PROTOCOL}%"), Some("%"), "a"),
            ("a, b".to_owned(), None, "a, b"),
        ] {
            let mut headers = headers(&[("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")]);
            headers.insert(SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap());
            assert_eq!(protocol_token(&headers).as_deref(), expected, "{offered}");
            headers.remove(UPGRADE);
            assert_eq!(protocol_token(&headers), None, "{offered}");
            take_protocol_token(&mut headers);
            assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], left, "{offered}");
        }
    }

    #[test]
    fn health_and_version_are_open() {
        assert!(is_open("/healthz") && is_open("/readyz/ping") && is_open("/version"));
        assert!(!is_open("/metrics") && !is_open("/healthzz") && !is_open("/api"));
    }
}

//! Users that a trusted proxy names in headers. (upstream: authentication/request/headerrequest)

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use machinery::{UserInfo, percent};

use super::{Authenticator, Credentials, Refused};
use crate::tls::Trust;

/// Which headers say what. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames {
    pub username: Vec<String>,
    pub uid: Vec<String>,
    pub groups: Vec<String>,
    pub extra_prefixes: Vec<String>,
}

impl Default for HeaderNames {
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            username: one("x-remote-user"),
            uid: one("x-remote-uid"),
            groups: one("x-remote-group"),
            extra_prefixes: one("x-remote-extra-"),
        }
    }
}

/// Believes what headers say of the user if they come from a proxy that shows a certificate of `authority`.
pub struct RequestHeaders {
    authority: Trust,
    /// Common names of proxies; empty: all of the authority's.
    allowed_names: Vec<String>,
    names: HeaderNames,
}

impl RequestHeaders {
    pub fn new(authority: Trust, allowed_names: Vec<String>, names: HeaderNames) -> Self {
        Self { authority, allowed_names, names }
    }

    fn is_allowed(&self, name: &str) -> bool {
        self.allowed_names.is_empty() || self.allowed_names.iter().any(|allowed| allowed == name)
    }
}

#[async_trait]
impl Authenticator for RequestHeaders {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let (Some(certificate), Some(headers)) = (&credentials.client_certificate, credentials.headers) else {
            return Ok(None);
        };
        let Some(user) = self.names.user(headers) else { return Ok(None) };
        if !self.authority.vouches_for(certificate.chain()) {
            return Ok(None);
        }
        let name = certificate.common_name();
        if !self.is_allowed(&name) {
            return Err(Refused(format!("x509: subject with cn={name} is not in the allowed list")));
        }
        match self.names.unreadable(headers) {
            None => Ok(Some(user)),
            Some(name) => Err(Refused(format!("the header {name} is not valid UTF-8"))),
        }
    }
}

impl HeaderNames {
    /// Takes away what a client says of itself, by these names or the usual ones, so that nobody further on believes it.
    pub fn clear(&self, headers: &mut HeaderMap) {
        let told: Vec<HeaderName> = headers.keys().filter(|name| self.tells(name.as_str())).cloned().collect();
        told.iter().for_each(|name| drop(headers.remove(name)));
    }

    fn tells(&self, name: &str) -> bool {
        let named = [&self.username, &self.uid, &self.groups].iter().any(|names| names.iter().any(|of| of == name));
        let begins = || self.extra_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        named || name.starts_with("x-remote-") || begins()
    }

    /// A header that tells something of the user, though not as text.
    fn unreadable<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderName> {
        let is_text = |value: &HeaderValue| std::str::from_utf8(value.as_bytes()).is_ok();
        headers.iter().find(|(name, value)| !is_text(value) && self.tells(name.as_str())).map(|(name, _)| name)
    }

    fn user(&self, headers: &HeaderMap) -> Option<UserInfo> {
        let name = first(headers, &self.username)?;
        let groups: Vec<&str> = self.groups.iter().flat_map(|name| values(headers, name)).collect();
        let mut user = UserInfo::new(name, &groups);
        user.uid = first(headers, &self.uid).unwrap_or_default().to_owned();
        user.extra = self.extra(headers);
        Some(user)
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in &self.extra_prefixes {
            for name in headers.keys() {
                if let Some(key) = name.as_str().strip_prefix(prefix.as_str()) {
                    let of = values(headers, name.as_str()).map(str::to_owned);
                    extra.entry(percent::decode(key)).or_default().extend(of);
                }
            }
        }
        extra
    }
}

fn first<'a>(headers: &'a HeaderMap, names: &[String]) -> Option<&'a str> {
    names.iter().find_map(|name| values(headers, name).next())
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let texts = headers.get_all(name).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
    texts.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::ClientCertificate;
    use crate::pki::{Authority, LeafSpec};
    use crate::tls;

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "jane"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops"),
            ("x-remote-uid", "u1"),
            ("x-remote-extra-acme.com%2Fproject", "one"),
            ("x-remote-extra-acme.com%2Fproject", "two"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    async fn seen(signer: &Authority, name: &str, headers: &HeaderMap) -> Result<Option<UserInfo>, Refused> {
        let authority = Trust::new(signer_of("proxies").certificate_pem().unwrap()).unwrap();
        let authenticator = RequestHeaders::new(authority, vec!["front".to_owned()], HeaderNames::default());
        let (certificate, _) = signer.issue(&LeafSpec::client(name, &[])).unwrap();
        let certificate = ClientCertificate::from(tls::certificates(&certificate).unwrap());
        let credentials =
            Credentials { client_certificate: Some(certificate), headers: Some(headers), ..Credentials::default() };
        authenticator.authenticate(&credentials).await
    }

    /// The authority of proxies is made once.
    fn signer_of(name: &str) -> &'static Authority {
        static PROXIES: std::sync::OnceLock<Authority> = std::sync::OnceLock::new();
        PROXIES.get_or_init(|| Authority::create(name).unwrap())
    }

    #[tokio::test]
    async fn a_proxy_of_the_authority_names_users() {
        let proxies = signer_of("proxies");
        let user = seen(proxies, "front", &headers()).await.unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "u1"));
        assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(user.extra["acme.com/project"], ["one", "two"]);
        assert_eq!(seen(proxies, "front", &HeaderMap::new()).await, Ok(None), "the proxy itself is no user");
        let other = Err(Refused("x509: subject with cn=else is not in the allowed list".to_owned()));
        assert_eq!(seen(proxies, "else", &headers()).await, other);
    }

    #[tokio::test]
    async fn names_may_be_any_text_and_nothing_else() {
        let proxies = signer_of("proxies");
        let mut headers = HeaderMap::new();
        headers.append("x-remote-user", "jürgen".parse().unwrap());
        assert_eq!(seen(proxies, "front", &headers).await.unwrap().unwrap().name, "jürgen");
        headers.append("x-remote-group", HeaderValue::from_bytes(b"\xff").unwrap());
        let refused = Err(Refused("the header x-remote-group is not valid UTF-8".to_owned()));
        assert_eq!(seen(proxies, "front", &headers).await, refused);
    }

    #[tokio::test]
    async fn headers_of_strangers_are_not_believed() {
        let stranger = Authority::create("proxies").unwrap();
        assert_eq!(seen(&stranger, "front", &headers()).await, Ok(None));
        let headers = headers();
        let bare = Credentials { headers: Some(&headers), ..Credentials::default() };
        let authority = Trust::new(stranger.certificate_pem().unwrap()).unwrap();
        let authenticator = RequestHeaders::new(authority, vec![], HeaderNames::default());
        assert_eq!(authenticator.authenticate(&bare).await, Ok(None));
    }

    #[test]
    fn what_clients_say_of_themselves_is_taken_away() {
        let names = HeaderNames { username: vec!["x-corp-user".to_owned()], ..HeaderNames::default() };
        let mut headers = headers();
        for name in ["x-corp-user", "accept"] {
            headers.append(name, "root".parse().unwrap());
        }
        names.clear(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
    }
}

//! Requests that another server answers.

use std::sync::Arc;

use http::header::{HeaderName, VIA};
use http::{HeaderMap, HeaderValue};
use machinery::{ApiError, UserInfo};
use registry::service;
use rustls::pki_types::ServerName;

use super::extension::Extension;
use crate::call::Call;
use crate::connect::forward::{self, Backend, Secure};
use crate::respond::Answer;
use crate::server::Server;

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";

impl Server {
    /// Who answers instead of this server.
    pub(crate) fn extension(&self, group: &str, version: &str) -> Option<Arc<Extension>> {
        self.aggregation().find(self.registry(), group, version)
    }

    /// Who answers at a path that addresses no resource: `/apis/GROUP/VERSION`, and the document of its schemas.
    pub(crate) fn extension_at(&self, path: &str) -> Option<Arc<Extension>> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["apis", group, version] => self.extension(group, version),
            ["openapi", "v3", "apis", group, version] => {
                self.extension(group, version).filter(|extension| extension.made_here().is_none())
            }
            _ => None,
        }
    }

    /// Passes the request on, with who makes it.
    pub(crate) async fn delegate(&self, call: &mut Call, extension: &Extension) -> Result<Answer, ApiError> {
        if !extension.available {
            return Err(ApiError::unavailable("service unavailable"));
        }
        if self.has_passed(call.headers()) {
            tracing::warn!(
                extension = extension.name,
                "requests come back: the extension's Service leads to this server"
            );
            return Err(ApiError::unavailable("the extension's server passes the request back"));
        }
        let path = call.parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let backend = self.backend(extension, path)?;
        set_identity(&mut call.parts.headers, &call.user).map_err(ApiError::internal)?;
        self.set_passed(&mut call.parts.headers);
        forward::forward(self, call, None, backend).await
    }

    /// Notes that a request was here, by which it is known should an extension's address be that of this server.
    pub(super) fn set_passed(&self, headers: &mut HeaderMap) {
        headers.append(VIA, self.aggregation().via.clone());
    }

    fn has_passed(&self, headers: &HeaderMap) -> bool {
        let via = &self.aggregation().via;
        let by = |passed: &HeaderValue| passed.to_str().is_ok_and(|all| all.split(',').any(|by| by.trim() == via));
        headers.get_all(VIA).iter().any(by)
    }

    /// Where the extension's server is, and how it is known.
    pub(super) fn backend(&self, extension: &Extension, path: String) -> Result<Backend, ApiError> {
        let address = self.endpoint(extension).map_err(|why| {
            tracing::warn!(extension = extension.name, why, "an extension's server cannot be found");
            ApiError::unavailable("service unavailable")
        })?;
        let config = extension.tls(self.config().proxy_client.as_ref()).map_err(ApiError::internal)?;
        let name = ServerName::try_from(extension.host()).map_err(ApiError::internal)?;
        Ok(Backend { address, secure: Secure::As { config, name }, path })
    }

    /// `host:port` of one of the endpoints of the extension's Service.
    pub(super) fn endpoint(&self, extension: &Extension) -> Result<String, String> {
        let kind = self.kind("", "v1", "services").map_err(|error| error.message)?;
        let found = self.registry().lister(kind).get(&extension.namespace, &extension.service);
        let of = found.ok_or_else(|| format!("service {:?} not found", extension.service))?.object();
        let port = extension.port.to_string();
        if of.str(&["spec", "type"]) == "ExternalName" {
            return Ok(service::join(of.str(&["spec", "externalName"]), &port));
        }
        let slices = self.slices(&of).map_err(|error| error.message)?;
        service::endpoint(&of, &slices, &port, |_| true, clock::random_below).map_err(|error| error.message)
    }
}

/// Tells who asks; what the client itself told by such headers went when it was authenticated. The error names what
/// fits no header: without it the request would be somebody else's.
pub(super) fn set_identity(headers: &mut HeaderMap, user: &UserInfo) -> Result<(), String> {
    let mut add = |name: HeaderName, value: &str| {
        let value = HeaderValue::try_from(value).map_err(|_| format!("{value:?} of the user fits no header"))?;
        headers.append(name, value);
        Ok::<_, String>(())
    };
    add(USER, &user.name)?;
    if !user.uid.is_empty() {
        add(UID, &user.uid)?;
    }
    user.groups.iter().try_for_each(|group| add(GROUP, group))?;
    for (key, values) in &user.extra {
        let name = format!("{EXTRA}{}", escape(key));
        let name = HeaderName::try_from(name).map_err(|_| format!("{key:?} of the user fits no header"))?;
        values.iter().try_for_each(|value| add(name.clone(), value))?;
    }
    Ok(())
}

/// A key as part of a header's name: what no such name may hold is percent-encoded.
fn escape(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
    key.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told() {
        let mut headers = HeaderMap::new();
        let mut user = UserInfo { uid: "u1".to_owned(), ..UserInfo::new("jane", &["dev"]) };
        user.extra.insert("acme.com/project".to_owned(), vec!["one".to_owned(), "two".to_owned()]);
        set_identity(&mut headers, &user).unwrap();
        let all = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("x-remote-user"), ["jane"]);
        assert_eq!(all("x-remote-uid"), ["u1"]);
        assert_eq!(all("x-remote-group"), ["dev", "system:authenticated"]);
        assert_eq!(all("x-remote-extra-acme.com%2fproject"), ["one", "two"]);
    }

    #[test]
    fn who_can_not_be_told_whole_is_not_told() {
        let with_extra = |value: &str| {
            let mut user = UserInfo::new("jane", &[]);
            user.extra.insert("a".to_owned(), vec![value.to_owned()]);
            user
        };
        for user in [UserInfo::new("a\nb", &[]), UserInfo::new("jane", &["dev", "a\nb"]), with_extra("a\nb")] {
            let told = set_identity(&mut HeaderMap::new(), &user);
            assert_eq!(told, Err("\"a\\nb\" of the user fits no header".to_owned()));
        }
    }
}

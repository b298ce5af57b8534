//! Kubeconfigs that say how this server reaches a webhook, whose exact URL is the cluster's; or as whom it calls others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use webhook::{Client, Config, Identity, Trust};

#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("error loading config file {path:?}: {why}")]
    Syntax { path: PathBuf, why: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<Named>,
    #[serde(default)]
    users: Vec<Named>,
    #[serde(default)]
    contexts: Vec<Named>,
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    cluster: Option<Cluster>,
    user: Option<User>,
    context: Option<Context>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    #[serde(default)]
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    password: Option<String>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
}

#[derive(Clone, Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

impl Kubeconfig {
    fn read(path: &Path) -> Result<Self, KubeconfigError> {
        serde_saphyr::from_str(&file(path)?).map_err(|error| syntax(path, error.to_string()))
    }

    fn named<'a>(list: &'a mut [Named], name: &str) -> Option<&'a mut Named> {
        list.iter_mut().find(|of| of.name == name)
    }

    fn context(&mut self) -> Option<Context> {
        Self::named(&mut self.contexts, &self.current_context)?.context.take()
    }
}

/// How this server shows itself to others. Files are read each time, as they may be replaced.
#[derive(Debug, Default)]
pub struct KubeconfigUser {
    certificate: Option<Pem>,
    key: Option<Pem>,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    basic: Option<Secret>,
}

enum Pem {
    Text(String),
    File(PathBuf),
}

struct Secret(String);

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{} bytes", text.len()),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Pem {
    /// `kubeconfig` is where it was found, and relative paths begin.
    fn find(
        kubeconfig: &Path,
        data: Option<String>,
        file_name: Option<PathBuf>,
    ) -> Result<Option<Self>, KubeconfigError> {
        Ok(match (data, file_name) {
            (Some(data), _) => Some(Self::Text(decoded(&data).map_err(|why| syntax(kubeconfig, why))?)),
            (None, Some(name)) => Some(Self::File(beside(kubeconfig, &name))),
            (None, None) => None,
        })
    }

    fn read(&self) -> Result<String, KubeconfigError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => file(path),
        }
    }
}

impl KubeconfigUser {
    fn new(kubeconfig: &Path, user: User) -> Result<Self, KubeconfigError> {
        for (found, what) in [(user.exec, "exec"), (user.auth_provider, "auth provider")] {
            if found.is_some() {
                return Err(syntax(kubeconfig, format!("{what} not supported")));
            }
        }
        let password = user.password.unwrap_or_default();
        Ok(Self {
            certificate: Pem::find(kubeconfig, user.client_certificate_data, user.client_certificate)?,
            key: Pem::find(kubeconfig, user.client_key_data, user.client_key)?,
            token: user.token.map(Secret),
            token_file: user.token_file.map(|name| beside(kubeconfig, &name)),
            basic: user.username.map(|name| Secret(STANDARD.encode(format!("{name}:{password}")))),
        })
    }

    /// The certificate and its key, where there are both.
    pub fn identity(&self) -> Result<Option<Identity>, KubeconfigError> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(None) };
        Ok(Some(Identity { certificate: certificate.read()?, key: key.read()? }))
    }

    pub fn headers(&self) -> HeaderMap {
        let from_file = self.token_file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let token = from_file.as_deref().map(str::trim).or(self.token.as_ref().map(|token| token.0.as_str()));
        let value = match (token.filter(|token| !token.is_empty()), &self.basic) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, basic) => basic.as_ref().map(|basic| format!("Basic {}", basic.0)),
        };
        let mut headers = HeaderMap::new();
        if let Some(Ok(mut value)) = value.map(HeaderValue::try_from) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }
}

/// Users of a kubeconfig that are named after the servers by which they are known.
///
/// upstream: apiserver/pkg/util/webhook/authentication.go
#[derive(Debug, Default)]
pub struct KubeconfigUsers {
    users: HashMap<String, KubeconfigUser>,
    /// That of the current context.
    current: Option<String>,
}

impl KubeconfigUsers {
    pub fn read(path: &Path) -> Result<Self, KubeconfigError> {
        let mut config = Kubeconfig::read(path)?;
        let current = config.context().map(|context| context.user);
        let credentials = |named: Named| Ok((named.name, KubeconfigUser::new(path, named.user.unwrap_or_default())?));
        Ok(Self { users: config.users.into_iter().map(credentials).collect::<Result<_, _>>()?, current })
    }

    /// Who is known at `host:port`: by the whole name, by one with a star for its first parts, without the port if that
    /// is 443; else whoever is called `*`, or the user of the current context.
    pub fn of(&self, host_port: &str) -> Option<&KubeconfigUser> {
        let without_port = host_port.strip_suffix(":443");
        let of_host = [Some(host_port), without_port].into_iter().flatten().flat_map(names_of);
        let others = ["*".to_owned()].into_iter().chain(self.current.clone());
        of_host.chain(others).find_map(|name| self.users.get(&name))
    }
}

/// `a.b.c`, `*.b.c`, `*.c`
fn names_of(host: &str) -> impl Iterator<Item = String> {
    let below = host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..]));
    std::iter::once(host.to_owned()).chain(below)
}

/// A webhook, and how this server shows itself to it.
pub(crate) struct Endpoint {
    client: Client,
    url: String,
    credentials: KubeconfigUser,
}

impl Endpoint {
    pub fn read(path: &Path) -> Result<Self, KubeconfigError> {
        let syntax = |why: String| syntax(path, why);
        let mut config = Kubeconfig::read(path)?;
        let context = config.context();
        let context = context.ok_or_else(|| syntax(format!("context {:?} does not exist", config.current_context)))?;
        let cluster = Kubeconfig::named(&mut config.clusters, &context.cluster).and_then(|named| named.cluster.take());
        let cluster = cluster.ok_or_else(|| syntax(format!("cluster {:?} does not exist", context.cluster)))?;
        let user = Kubeconfig::named(&mut config.users, &context.user).and_then(|named| named.user.take());
        let credentials = KubeconfigUser::new(path, user.unwrap_or_default())?;
        let authorities = Pem::find(path, cluster.certificate_authority_data, cluster.certificate_authority)?;
        let trust = match (cluster.insecure_skip_tls_verify, authorities) {
            (true, _) => Trust::Anyone,
            (false, Some(authorities)) => Trust::Authorities(authorities.read()?),
            (false, None) => Trust::System,
        };
        let identity = credentials.identity()?;
        let config = Config { trust, server_name: cluster.tls_server_name, identity, resolver: None };
        let client = Client::new(config).map_err(|error| syntax(error.to_string()))?;
        Ok(Self { client, url: cluster.server, credentials })
    }

    pub async fn post(&self, body: &Value, timeout: Duration) -> Result<Value, webhook::Error> {
        self.client.post_json(&self.url, self.credentials.headers(), body.to_string().into(), timeout).await
    }
}

fn syntax(path: &Path, why: String) -> KubeconfigError {
    KubeconfigError::Syntax { path: path.to_owned(), why }
}

fn beside(path: &Path, name: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).join(name)
}

fn file(path: &Path) -> Result<String, KubeconfigError> {
    std::fs::read_to_string(path).map_err(|source| KubeconfigError::File { path: path.to_owned(), source })
}

fn decoded(data: &str) -> Result<String, String> {
    let bytes = STANDARD.decode(data).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = r#"
apiVersion: v1
kind: Config
users:
- {name: guard.shop.svc, user: {token: guard}}
- {name: "*.shop.svc:8443", user: {token: at-8443}}
- {name: "*.svc", user: {token: services}}
- {name: "10.0.0.1:443", user: {username: a, password: b}}
- {name: reader, user: {tokenFile: token}}
"#;

    fn users(more: &str) -> Result<KubeconfigUsers, KubeconfigError> {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("kubeconfig");
        std::fs::write(&path, format!("{USERS}{more}")).unwrap();
        KubeconfigUsers::read(&path)
    }

    #[test]
    fn users_are_found_by_the_name_of_the_server() {
        let context = "current-context: c\ncontexts: [{name: c, context: {cluster: none, user: reader}}]";
        let [plain, with_star, with_context] =
            ["", "- {name: \"*\", user: {token: star}}", context].map(|more| users(more).unwrap());
        for (host, expected) in [
            ("guard.shop.svc:443", Some("Bearer guard")),
            ("guard.shop.svc:8443", Some("Bearer at-8443")),
            ("other.shop.svc:443", Some("Bearer services")),
            ("other.shop.svc:80", None),
            ("10.0.0.1:443", Some("Basic YTpi")),
            ("svc:443", None),
            ("example.com:443", None),
        ] {
            let shown = |users: &KubeconfigUsers| {
                let headers = users.of(host)?.headers();
                headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
            };
            assert_eq!(shown(&plain).as_deref(), expected, "{host}");
            assert_eq!(shown(&with_star).as_deref(), expected.or(Some("Bearer star")), "{host}");
            assert_eq!(with_context.of(host).unwrap().token_file.is_some(), expected.is_none(), "{host}");
        }
    }

    #[test]
    fn what_is_no_credential_here_is_refused() {
        for (user, why) in
            [("exec: {command: x}", "exec not supported"), ("auth-provider: {}", "auth provider not supported")]
        {
            let error = users(&format!("- {{name: x, user: {{{user}}}}}")).unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
        }
    }
}

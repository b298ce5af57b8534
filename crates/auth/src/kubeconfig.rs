//! Kubeconfigs that say how this server reaches a webhook. The exact URL of the cluster is called.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
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

#[derive(Clone, Default, Deserialize)]
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
}

#[derive(Clone, Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

/// A webhook, and how this server shows itself to it.
pub(crate) struct Endpoint {
    client: Client,
    url: String,
    user: User,
}

impl Endpoint {
    pub fn read(path: &Path) -> Result<Self, KubeconfigError> {
        let syntax = |why: String| KubeconfigError::Syntax { path: path.to_owned(), why };
        let config: Kubeconfig = serde_saphyr::from_str(&file(path)?).map_err(|error| syntax(error.to_string()))?;
        let named = |list: &[Named], name: &str| list.iter().position(|of| of.name == name);
        let context =
            named(&config.contexts, &config.current_context).and_then(|at| config.contexts[at].context.clone());
        let context = context.ok_or_else(|| syntax(format!("context {:?} does not exist", config.current_context)))?;
        let cluster = named(&config.clusters, &context.cluster).and_then(|at| config.clusters[at].cluster.clone());
        let cluster = cluster.ok_or_else(|| syntax(format!("cluster {:?} does not exist", context.cluster)))?;
        let user = named(&config.users, &context.user).and_then(|at| config.users[at].user.clone()).unwrap_or_default();
        let directory = path.parent().unwrap_or(Path::new("/"));
        let pem = |data: &Option<String>, file_name: &Option<PathBuf>| match (data, file_name) {
            (Some(data), _) => decoded(data).map(Some).map_err(syntax),
            (None, Some(name)) => file(&directory.join(name)).map(Some),
            (None, None) => Ok(None),
        };
        let authorities = pem(&cluster.certificate_authority_data, &cluster.certificate_authority)?;
        let trust = match (cluster.insecure_skip_tls_verify, authorities) {
            (true, _) => Trust::Anyone,
            (false, Some(authorities)) => Trust::Authorities(authorities),
            (false, None) => Trust::System,
        };
        let certificate = pem(&user.client_certificate_data, &user.client_certificate)?;
        let key = pem(&user.client_key_data, &user.client_key)?;
        let identity = certificate.zip(key).map(|(certificate, key)| Identity { certificate, key });
        let config = Config { trust, server_name: cluster.tls_server_name, identity, resolver: None };
        let client = Client::new(config).map_err(|error| syntax(error.to_string()))?;
        let user = User { token_file: user.token_file.map(|name| directory.join(name)), ..user };
        Ok(Self { client, url: cluster.server, user })
    }

    pub async fn post(&self, body: &Value, timeout: Duration) -> Result<Value, webhook::Error> {
        self.client.post_json(&self.url, self.user.headers(), body, timeout).await
    }
}

impl User {
    /// A token of a file is read for each call, as it may be replaced.
    fn headers(&self) -> HeaderMap {
        let from_file = self.token_file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let token = from_file.as_deref().map(str::trim).or(self.token.as_deref()).filter(|token| !token.is_empty());
        let value = match (token, &self.username) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(name)) => {
                let password = self.password.as_deref().unwrap_or_default();
                Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
            }
            (None, None) => None,
        };
        let mut headers = HeaderMap::new();
        if let Some(Ok(mut value)) = value.map(HeaderValue::try_from) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }
}

fn file(path: &Path) -> Result<String, KubeconfigError> {
    std::fs::read_to_string(path).map_err(|source| KubeconfigError::File { path: path.to_owned(), source })
}

fn decoded(data: &str) -> Result<String, String> {
    let bytes = STANDARD.decode(data).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

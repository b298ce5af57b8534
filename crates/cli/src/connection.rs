//! Which cluster to talk to, and how: the kubeconfig, the namespace, plain JSON requests.

use std::path::{Path, PathBuf};

use futures::AsyncBufRead;
use http::{Method, Request, header};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use machinery::percent::encode;
use serde_json::Value;

use crate::{Error, Result};

pub const JSON: &str = "application/json";
pub const MERGE_PATCH: &str = "application/merge-patch+json";
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";

/// Where the cluster's own kubeconfig lies.
#[derive(Debug, Clone, clap::Args)]
pub struct Cluster {
    /// Path of the kubeconfig to use [default: $KUBECONFIG, the one in the data directory, ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The server's directory on this machine
    #[arg(long, env = "KEELSON_DATA_DIR", default_value = "/var/lib/keelson", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// The flags of every command that talks to the server.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    #[command(flatten)]
    pub cluster: Cluster,
    /// The kubeconfig's context to use
    #[arg(long)]
    pub context: Option<String>,
    /// The namespace to work in [default: the context's]
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// Where the kubeconfig was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// `$KUBECONFIG`, which may name several files.
    Environment(std::ffi::OsString),
}

impl Cluster {
    /// The flag, else `$KUBECONFIG`, else the data directory's, else the home directory's.
    pub fn source(&self) -> Result<Source> {
        let environment = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
        let home = std::env::var_os("HOME").map(PathBuf::from);
        choose(self, environment, home.as_deref())
    }
}

fn choose(cluster: &Cluster, environment: Option<std::ffi::OsString>, home: Option<&Path>) -> Result<Source> {
    if let Some(path) = &cluster.kubeconfig {
        return Ok(Source::File(path.clone()));
    }
    if let Some(value) = environment {
        return Ok(Source::Environment(value));
    }
    let own = cluster.data_dir.join("kubeconfig");
    let in_home = home.map(|home| home.join(".kube/config"));
    let found = [Some(own.clone()), in_home].into_iter().flatten().find(|path| path.exists());
    let missing = || {
        let own = own.display();
        Error::plain(format!("no kubeconfig: there is no {own}; is the server running? Else name one by --kubeconfig"))
    };
    found.map(Source::File).ok_or_else(missing)
}

/// An open connection to one cluster.
#[derive(Clone)]
pub struct Session {
    pub client: Client,
    pub config: Config,
    pub namespace: String,
    /// Whether the user named the namespace.
    pub namespace_given: bool,
}

impl Session {
    pub async fn open(connection: &Connection) -> Result<Session> {
        let config = config(connection).await.map_err(|error| Error::plain(format!("kubeconfig: {error}")))??;
        let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config.clone())?;
        Ok(Session { client, config, namespace, namespace_given: connection.namespace.is_some() })
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.get_as(path, JSON).await
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Value> {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Vec::new())?;
        Ok(self.client.request(request).await?)
    }

    pub async fn send(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Result<Value> {
        let request = Request::builder().method(method).uri(path).header(header::ACCEPT, JSON);
        let request = request.header(header::CONTENT_TYPE, content_type).body(serde_json::to_vec(body)?)?;
        Ok(self.client.request(request).await?)
    }

    pub async fn patch(&self, path: &str, content_type: &str, body: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, content_type, body).await
    }

    /// The answer as it comes, for logs and watches.
    pub async fn stream(&self, path: &str, accept: &str) -> Result<impl AsyncBufRead + use<>> {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Vec::new())?;
        Ok(self.client.request_stream(request).await?)
    }
}

async fn config(connection: &Connection) -> std::result::Result<Result<Config>, kube::config::KubeconfigError> {
    let kubeconfig = match connection.cluster.source() {
        Ok(Source::File(path)) => Kubeconfig::read_from(path)?,
        Ok(Source::Environment(_)) => Kubeconfig::from_env()?.unwrap_or_default(),
        Err(error) => return Ok(Err(error)),
    };
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    // A log or a watch may be silent for long.
    config.read_timeout = None;
    Ok(Ok(config))
}

/// A path with its query; parameters without a value are left out.
pub fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = given.map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_kubeconfig_that_is_given_or_there_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let (data, home) = (directory.path().join("data"), directory.path().join("home"));
        let mut cluster = Cluster { kubeconfig: None, data_dir: data.clone() };
        let found = |cluster: &Cluster, environment: Option<&str>| {
            choose(cluster, environment.map(Into::into), Some(&home)).map_err(|error| error.to_string())
        };
        assert!(found(&cluster, None).unwrap_err().starts_with("error: no kubeconfig: there is no "));
        std::fs::create_dir_all(home.join(".kube")).unwrap();
        std::fs::write(home.join(".kube/config"), "").unwrap();
        assert_eq!(found(&cluster, None), Ok(Source::File(home.join(".kube/config"))));
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("kubeconfig"), "").unwrap();
        assert_eq!(found(&cluster, None), Ok(Source::File(data.join("kubeconfig"))));
        assert_eq!(found(&cluster, Some("a:b")), Ok(Source::Environment("a:b".into())));
        cluster.kubeconfig = Some("mine".into());
        assert_eq!(found(&cluster, Some("a:b")), Ok(Source::File("mine".into())));
    }

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(with_query("/p", &[("a", "x=1,y in (z)"), ("b", "")]), "/p?a=x%3D1%2Cy%20in%20%28z%29");
        assert_eq!(with_query("/p", &[]), "/p");
    }
}

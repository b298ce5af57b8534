//! The cluster's authority, and the certificates of this server.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use auth::lineage::{self, Lineage};
use auth::pki::{self, LeafSpec};
use auth::rotation::Leaf;
use auth::tls::{self, ClientAuth, Identity, Trust};
use auth::tokens::{SigningKey, TokenIssuer, public_keys};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all, select_all};
use machinery::UserInfo;
use tokio::sync::watch;

use super::authentication::{self, read};
use crate::paths::Paths;
use crate::{cluster, flags};

/// Keys and certificates, made at the first start and kept in the data directory.
pub struct Identities {
    pub authority: Arc<Lineage>,
    proxy_authority: Arc<Lineage>,
    /// Nothing where a flag names the key that signs tokens.
    accounts: Option<Arc<Lineage>>,
    /// Who vouches for users: the cluster's authority, and what a flag adds.
    pub users: Trust,
    /// Who vouches for proxies that name users.
    pub proxies: Trust,
    /// Both.
    peers: Trust,
    /// Who vouches for nodes, and for the server to them.
    nodes: Trust,
    /// The bundle of the cluster's authority.
    pub authority_pem: watch::Sender<String>,
    pub issuer: Arc<TokenIssuer>,
    files: Files,
    given: ArcSwap<Given>,
    /// Changes when `given` does.
    given_anew: watch::Sender<()>,
    server: Arc<Identity>,
    /// How the API server shows itself to nodes.
    node_client: Arc<Identity>,
    /// How it shows itself to servers of extensions.
    pub proxy_client: Arc<Identity>,
    /// How this machine's own node shows itself.
    node_serving: Arc<Identity>,
}

/// Files that flags name.
struct Files {
    user_authorities: Option<PathBuf>,
    proxy_authorities: Option<PathBuf>,
    token_keys: Vec<PathBuf>,
}

/// Their contents, as PEM.
struct Given {
    user_authorities: String,
    proxy_authorities: Option<String>,
    /// Read once: who wants others starts the server anew, as with upstream's.
    token_keys: Vec<String>,
}

/// What must be replaced in time.
pub struct Leaves {
    server: Leaf,
    node_client: Leaf,
    proxy_client: Leaf,
    node_serving: Leaf,
    admin: Leaf,
}

impl Identities {
    /// Makes what all servers of a cluster need to have alike.
    pub fn make_shared(paths: &Paths) -> anyhow::Result<()> {
        for line in [lineage::CLUSTER, lineage::PROXIES, lineage::SERVICE_ACCOUNTS] {
            line.load(&paths.pki())?;
        }
        Ok(())
    }

    pub fn load(
        paths: &Paths,
        node_name: &str,
        address: IpAddr,
        flags: &flags::Server,
    ) -> anyhow::Result<(Self, Leaves)> {
        let pki = paths.pki();
        let authority = Lineage::open(&pki, lineage::CLUSTER)?;
        let proxy_authority = Lineage::open(&pki, lineage::PROXIES)?;
        let files = Files::of(&flags.authentication);
        let given = files.read()?;
        let terms = authentication::terms(&flags.authentication)?;
        let (accounts, issuer) = match &flags.authentication.service_accounts.service_account_signing_key_file {
            None => {
                let accounts = Lineage::open(&pki, lineage::SERVICE_ACCOUNTS)?;
                (Some(accounts), TokenIssuer::load_or_create(&pki, terms)?)
            }
            Some(path) => {
                let others = given.token_keys.iter().map(|text| public_keys(text)).collect::<Result<Vec<_>, _>>()?;
                let signing = SigningKey::from_pem(&read(path)?).with_context(|| path.display().to_string())?;
                (None, TokenIssuer::new(signing, others.into_iter().flatten().collect(), terms))
            }
        };
        let leaf = |name, spec| Leaf::load(&authority, &pki, name, spec);
        let masters = |user: &str| LeafSpec::client(user, &[UserInfo::MASTERS]);
        let node_spec = auth::csr::node_serving_spec(node_name, vec![address, Ipv4Addr::LOCALHOST.into()]);
        let proxy_spec = LeafSpec::client("front-proxy-client", &[]);
        let leaves = Leaves {
            server: leaf("apiserver", server_spec(node_name, address, flags))?,
            node_client: leaf("apiserver-kubelet-client", masters("kube-apiserver-kubelet-client"))?,
            proxy_client: Leaf::load(&proxy_authority, &pki, "front-proxy-client", proxy_spec)?,
            node_serving: leaf("node-serving", node_spec)?,
            admin: leaf("admin", masters("kubernetes-admin"))?,
        };
        let bundle = authority.now().bundle()?;
        let trust = || Trust::new(bundle.clone());
        let identities = Self {
            users: trust()?,
            proxies: trust()?,
            peers: trust()?,
            nodes: trust()?,
            authority_pem: watch::Sender::new(bundle.clone()),
            issuer: Arc::new(issuer),
            files,
            given: ArcSwap::from_pointee(given),
            given_anew: watch::Sender::new(()),
            server: leaves.server.identity(),
            node_client: leaves.node_client.identity(),
            proxy_client: leaves.proxy_client.identity(),
            node_serving: leaves.node_serving.identity(),
            authority,
            proxy_authority,
            accounts,
        };
        identities.refresh()?;
        Ok((identities, leaves))
    }

    fn lines(&self) -> impl Iterator<Item = &Arc<Lineage>> {
        [&self.authority, &self.proxy_authority].into_iter().chain(&self.accounts)
    }

    /// Comes back at the next change of an authority from now on.
    pub fn changed(&self) -> BoxFuture<'static, ()> {
        let changes = self.lines().map(|line| line.follow());
        let changes = changes.map(|mut line| async move { line.changed().await.is_ok() }.boxed());
        let mut given = self.given_anew.subscribe();
        let given = async move { given.changed().await.is_ok() }.boxed();
        select_all(changes.chain([given])).map(drop).boxed()
    }

    /// Takes over what the files with authorities say whenever one of them changes. Runs until it is dropped.
    pub async fn follow_files(&self) {
        let files = self.files.user_authorities.iter().chain(&self.files.proxy_authorities);
        let take_over = || {
            if let Err(error) = self.read_again() {
                tracing::error!(error = format!("{error:#}"), "authorities stay as they were");
            }
        };
        files::follow(&files.map(PathBuf::as_path).collect::<Vec<_>>(), take_over).await;
    }

    fn read_again(&self) -> anyhow::Result<()> {
        let (before, now) = (self.given.load_full(), Arc::new(self.files.read()?));
        if now.authorities() == before.authorities() {
            return Ok(());
        }
        self.given.store(now);
        if let Err(error) = self.refresh() {
            self.given.store(before);
            return Err(error.into());
        }
        self.given_anew.send_replace(());
        Ok(())
    }

    /// Takes over what the authorities are now.
    pub fn refresh(&self) -> Result<(), pki::Error> {
        let (bundle, given) = (self.authority.now().bundle()?, self.given.load());
        let users = format!("{bundle}{}", given.user_authorities);
        let proxies = given.proxy_authorities.clone().map_or_else(|| self.proxy_authority.now().bundle(), Ok)?;
        self.peers.replace(format!("{users}{proxies}"))?;
        self.users.replace(users)?;
        self.proxies.replace(proxies)?;
        self.nodes.replace(bundle.clone())?;
        if let Some(accounts) = &self.accounts {
            self.issuer.follow(&accounts.now(), &given.token_keys)?;
        }
        self.authority_pem.send_if_modified(|known| std::mem::replace(known, bundle.clone()) != bundle);
        Ok(())
    }

    pub fn server_tls(&self) -> anyhow::Result<rustls::ServerConfig> {
        Ok(tls::server_config(self.server.clone(), ClientAuth::Following(&self.peers))?)
    }

    pub fn node_client_tls(&self) -> anyhow::Result<rustls::ClientConfig> {
        Ok(tls::following(&self.nodes, Some(self.node_client.clone()))?)
    }

    /// For the API of this machine's own node.
    pub fn node_server_tls(&self) -> anyhow::Result<rustls::ServerConfig> {
        Ok(tls::server_config(self.node_serving.clone(), ClientAuth::Following(&self.nodes))?)
    }

    /// Lets the authorities go on in time. Runs until it is dropped.
    pub fn keep(&self) -> BoxFuture<'static, ()> {
        let lines = self.lines().cloned().map(|line| async move { line.keep().await });
        join_all(lines).map(drop).boxed()
    }
}

impl Files {
    fn of(flags: &flags::Authentication) -> Self {
        Self {
            user_authorities: flags.client_ca_file.clone(),
            proxy_authorities: flags.request_header.requestheader_client_ca_file.clone(),
            token_keys: flags.service_accounts.service_account_key_file.clone(),
        }
    }

    /// Each must hold what it is for: an empty file would otherwise take all authorities away.
    fn read(&self) -> anyhow::Result<Given> {
        let authorities = |path: &Option<PathBuf>| path.as_deref().map(read_authorities).transpose();
        Ok(Given {
            user_authorities: authorities(&self.user_authorities)?.unwrap_or_default(),
            proxy_authorities: authorities(&self.proxy_authorities)?,
            token_keys: self.token_keys.iter().map(|path| read(path)).collect::<Result<_, _>>()?,
        })
    }
}

fn read_authorities(path: &Path) -> anyhow::Result<String> {
    let pem = read(path)?;
    tls::certificates(&pem).with_context(|| path.display().to_string())?;
    Ok(pem)
}

impl Given {
    fn authorities(&self) -> (&str, Option<&str>) {
        (&self.user_authorities, self.proxy_authorities.as_deref())
    }
}

impl Leaves {
    pub fn admin(&self) -> &Leaf {
        &self.admin
    }

    /// Replaces all of them in time, and the administrator's kubeconfig with its certificate. Runs until it is dropped.
    pub async fn keep(self, kubeconfig: Kubeconfig) {
        let write = move |admin: &Leaf| {
            if let Err(error) = kubeconfig.write(admin) {
                tracing::error!(%error, "the administrator's kubeconfig can not be written");
            }
        };
        tokio::join!(
            self.server.keep(|_| {}),
            self.node_client.keep(|_| {}),
            self.proxy_client.keep(|_| {}),
            self.node_serving.keep(|_| {}),
            self.admin.keep(write),
        );
    }
}

/// The administrator's kubeconfig.
pub struct Kubeconfig {
    path: PathBuf,
    url: String,
}

impl Kubeconfig {
    /// How the administrator reaches the API at `url`.
    pub fn new(paths: &Paths, url: &str) -> Self {
        Self { path: paths.kubeconfig(), url: url.to_owned() }
    }

    pub fn write(&self, admin: &Leaf) -> Result<(), pki::Error> {
        let (certificate, key) = admin.pair();
        pki::write_private(&self.path, &pki::kubeconfig(&self.url, admin.bundle(), certificate, key))
    }
}

/// All names by which the API is reached.
fn server_spec(node_name: &str, address: IpAddr, flags: &flags::Server) -> LeafSpec {
    let service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned);
    let full = format!("kubernetes.default.svc.{}", cluster::DOMAIN);
    let names = service.into_iter().chain([full, "localhost".to_owned(), node_name.to_owned()]);
    let mut ips = vec![address, Ipv4Addr::LOCALHOST.into(), cluster::api_service_ip(flags.service_cidr).into()];
    ips.push(cluster::dns_ip(flags.service_cidr).into());
    if !flags.bind.ip().is_unspecified() {
        ips.push(flags.bind.ip());
    }
    ips.sort_unstable();
    ips.dedup();
    LeafSpec::server("kube-apiserver", names.collect(), ips)
}

pub fn url(address: IpAddr, port: u16) -> String {
    format!("https://{}", std::net::SocketAddr::new(address, port))
}

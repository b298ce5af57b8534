//! The cluster's authority, and the certificates of this server.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use auth::pki::{self, Authority, LeafSpec};
use auth::rotation::Leaf;
use auth::tls::{self, ClientAuth, Identity};
use auth::tokens::TokenIssuer;
use machinery::UserInfo;

use super::authentication::read;
use crate::paths::Paths;
use crate::{cluster, flags};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Keys and certificates, made at the first start and kept in the data directory.
pub struct Identities {
    pub authority: Arc<Authority>,
    pub authority_pem: String,
    /// Who vouches for users: the cluster's authority, and what a flag adds.
    pub client_authorities: String,
    /// Who vouches for proxies that name users.
    pub proxy_authorities: String,
    pub issuer: Arc<TokenIssuer>,
    server: Arc<Identity>,
    /// How the API server shows itself to nodes.
    node_client: Arc<Identity>,
    /// How it shows itself to servers of extensions.
    pub proxy_client: Arc<Identity>,
    /// How this machine's own node shows itself.
    node_serving: Arc<Identity>,
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
        Self::authority(paths)?;
        Self::proxy_authority(paths)?;
        Self::issuer(paths)?;
        Ok(())
    }

    fn authority(paths: &Paths) -> anyhow::Result<Authority> {
        Ok(Authority::load_or_create(&paths.pki(), "ca", "keelson-ca")?)
    }

    /// Apart from the authority of users: whom it vouches for may speak for anybody.
    fn proxy_authority(paths: &Paths) -> anyhow::Result<Authority> {
        Ok(Authority::load_or_create(&paths.pki(), "front-proxy-ca", "keelson-front-proxy-ca")?)
    }

    fn issuer(paths: &Paths) -> anyhow::Result<TokenIssuer> {
        Ok(TokenIssuer::load_or_create(&paths.pki(), ISSUER)?)
    }

    pub fn load(
        paths: &Paths,
        node_name: &str,
        address: IpAddr,
        flags: &flags::Server,
    ) -> anyhow::Result<(Self, Leaves)> {
        let pki = paths.pki();
        let authority = Arc::new(Self::authority(paths)?);
        let authority_pem = authority.certificate_pem()?;
        let proxy_authority = Arc::new(Self::proxy_authority(paths)?);
        let authentication = &flags.authentication;
        let proxy_authorities = match &authentication.request_header.requestheader_client_ca_file {
            Some(path) => read(path)?,
            None => proxy_authority.certificate_pem()?,
        };
        let more = authentication.client_ca_file.as_deref().map(read).transpose()?;
        let leaf = |name, spec| Leaf::load(&authority, &pki, name, spec, "");
        let masters = |user: &str| LeafSpec::client(user, &[UserInfo::MASTERS]);
        let server_spec = server_spec(node_name, address, flags);
        let node_spec = auth::csr::node_serving_spec(node_name, vec![address, Ipv4Addr::LOCALHOST.into()]);
        let proxy_spec = LeafSpec::client("front-proxy-client", &[]);
        let leaves = Leaves {
            // The authority goes along, so that a machine that joins can know it by its fingerprint.
            server: Leaf::load(&authority, &pki, "apiserver", server_spec, &authority_pem)?,
            node_client: leaf("apiserver-kubelet-client", masters("kube-apiserver-kubelet-client"))?,
            proxy_client: Leaf::load(&proxy_authority, &pki, "front-proxy-client", proxy_spec, "")?,
            node_serving: leaf("node-serving", node_spec)?,
            admin: leaf("admin", masters("kubernetes-admin"))?,
        };
        let identities = Self {
            issuer: Arc::new(Self::issuer(paths)?),
            server: leaves.server.identity(),
            node_client: leaves.node_client.identity(),
            proxy_client: leaves.proxy_client.identity(),
            node_serving: leaves.node_serving.identity(),
            client_authorities: format!("{authority_pem}{}", more.unwrap_or_default()),
            proxy_authorities,
            authority,
            authority_pem,
        };
        Ok((identities, leaves))
    }

    pub fn server_tls(&self) -> anyhow::Result<rustls::ServerConfig> {
        let authorities = format!("{}{}", self.client_authorities, self.proxy_authorities);
        Ok(tls::server_config(self.server.clone(), ClientAuth::Optional(&authorities))?)
    }

    pub fn node_client_tls(&self) -> anyhow::Result<rustls::ClientConfig> {
        Ok(tls::client_config(&self.authority_pem, Some(self.node_client.clone()))?)
    }

    /// For the API of this machine's own node.
    pub fn node_server_tls(&self) -> anyhow::Result<rustls::ServerConfig> {
        Ok(tls::server_config(self.node_serving.clone(), ClientAuth::Optional(&self.authority_pem))?)
    }

    /// How the administrator reaches the API at `url`.
    pub fn kubeconfig(&self, paths: &Paths, url: &str) -> Kubeconfig {
        Kubeconfig { path: paths.kubeconfig(), url: url.to_owned(), authority_pem: self.authority_pem.clone() }
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
    authority_pem: String,
}

impl Kubeconfig {
    pub fn write(&self, admin: &Leaf) -> Result<(), pki::Error> {
        let (certificate, key) = admin.pair();
        pki::write_private(&self.path, &pki::kubeconfig(&self.url, &self.authority_pem, certificate, key))
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

//! The cluster's authority, and the certificates of this server.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context;
use auth::pki::{self, Authority, LeafSpec};
use auth::tls::{self, ClientAuth, Identity};
use auth::tokens::TokenIssuer;
use machinery::UserInfo;

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
    admin: (String, String),
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

    pub fn load(paths: &Paths, node_name: &str, address: IpAddr, flags: &flags::Server) -> anyhow::Result<Self> {
        let pki = paths.pki();
        let authority = Arc::new(Self::authority(paths)?);
        let authority_pem = authority.certificate_pem()?;
        let issuer = Arc::new(Self::issuer(paths)?);
        let server = authority.load_or_issue(&pki, "apiserver", &server_spec(node_name, address, flags))?;
        let masters = |user: &str| LeafSpec::client(user, &[UserInfo::MASTERS]);
        let node_client =
            authority.load_or_issue(&pki, "apiserver-kubelet-client", &masters("kube-apiserver-kubelet-client"))?;
        let admin = authority.load_or_issue(&pki, "admin", &masters("kubernetes-admin"))?;
        let proxy_authority = Self::proxy_authority(paths)?;
        let authentication = &flags.authentication;
        let proxy_authorities = match &authentication.request_header.requestheader_client_ca_file {
            Some(path) => super::authentication::read(path)?,
            None => proxy_authority.certificate_pem()?,
        };
        let more = authentication.client_ca_file.as_deref().map(super::authentication::read).transpose()?;
        // The authority goes along, so that a machine that joins can know it by its fingerprint.
        let chain = format!("{}{authority_pem}", server.0);
        Ok(Self {
            server: Identity::from_pem(&chain, &server.1)?,
            node_client: Identity::from_pem(&node_client.0, &node_client.1)?,
            authority,
            client_authorities: format!("{authority_pem}{}", more.unwrap_or_default()),
            proxy_authorities,
            authority_pem,
            issuer,
            admin,
        })
    }

    pub fn write_kubeconfig(&self, paths: &Paths, url: &str) -> anyhow::Result<()> {
        let text = pki::kubeconfig(url, &self.authority_pem, &self.admin.0, &self.admin.1);
        Ok(pki::write_private(&paths.kubeconfig(), &text)?)
    }

    pub fn server_tls(&self) -> anyhow::Result<rustls::ServerConfig> {
        let authorities = format!("{}{}", self.client_authorities, self.proxy_authorities);
        Ok(tls::server_config(self.server.clone(), ClientAuth::Optional(&authorities))?)
    }

    pub fn node_client_tls(&self) -> anyhow::Result<rustls::ClientConfig> {
        Ok(tls::client_config(&self.authority_pem, Some(self.node_client.clone()))?)
    }

    /// The serving certificate of this machine's own node.
    pub fn node_server_tls(&self, node_name: &str, address: IpAddr) -> anyhow::Result<rustls::ServerConfig> {
        let spec = auth::csr::node_serving_spec(node_name, vec![address, Ipv4Addr::LOCALHOST.into()]);
        let (certificate, key) = self.authority.issue(&spec).context("cannot issue the node's certificate")?;
        let identity = Identity::from_pem(&certificate, &key)?;
        Ok(tls::server_config(identity, ClientAuth::Optional(&self.authority_pem))?)
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

//! Join tokens: a bootstrap token, and the fingerprint by which the server is known.
//!
//! A machine that joins trusts no one yet. The fingerprint of the cluster's authority, in the token, tells it
//! that it speaks to the right server before it says its secret.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use sha2::Digest;

use crate::paths::Paths;
use crate::{cluster, flags};

const PREFIX: &str = "keelson";
const HOUR: Duration = Duration::from_secs(60 * 60);

/// `keelson.FINGERPRINT.ID.SECRET`
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the authority's public key in DER, in hexadecimal: whoever vouches for it, it is the same.
    pub fingerprint: String,
    /// `ID.SECRET`
    pub bootstrap: String,
}

impl JoinToken {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        match parts.as_slice() {
            [PREFIX, fingerprint, id, secret] if fingerprint.len() == 64 => {
                Ok(Self { fingerprint: (*fingerprint).to_owned(), bootstrap: format!("{id}.{secret}") })
            }
            _ => bail!("--token is no join token; `keelson token create` on the server prints one"),
        }
    }
}

impl std::fmt::Display for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}.{}.{}", self.fingerprint, self.bootstrap)
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinToken({} bytes)", self.bootstrap.len())
    }
}

/// Of a certificate in DER.
pub fn fingerprint(certificate: &[u8]) -> anyhow::Result<String> {
    Ok(machinery::strconv::hex(&sha2::Sha256::digest(auth::pki::public_key_of(certificate)?)))
}

pub async fn run(flags: flags::Token) -> anyhow::Result<()> {
    let flags::TokenCommand::Create { data, hours } = flags.command;
    let paths = Paths::open(&data.data_dir)?;
    let client = admin_client(&paths).await?;
    let bootstrap = auth::authn::bootstrap_token::generate();
    let expires = (hours > 0).then(|| clock::now() + HOUR * hours);
    let secret = auth::authn::bootstrap_token::secret_object(&bootstrap, expires, "Made by keelson token create.");
    let secret: Secret = serde_json::from_value(secret.context("the new token is malformed")?.into_value())?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    secrets.create(&PostParams::default(), &secret).await.context("cannot store the token")?;
    let slices: Api<EndpointSlice> = Api::namespaced(client, "default");
    let servers = cluster::server_urls(&slices.get("kubernetes").await.context("cannot read where servers are")?);
    let authority =
        std::fs::read_to_string(paths.pki().join("ca.crt")).context("cannot read the cluster's authority")?;
    let authority = auth::tls::certificates(&authority)?;
    let fingerprint = fingerprint(authority.first().context("the authority's file is empty")?)?;
    let token = JoinToken { fingerprint, bootstrap };
    // Scripts read the token alone.
    eprintln!("machines join by: keelson agent --server {} --token {token}", servers.join(","));
    println!("{token}");
    Ok(())
}

/// A client with the administrator's rights, from the kubeconfig that the server wrote.
pub async fn admin_client(paths: &Paths) -> anyhow::Result<Client> {
    let file = paths.kubeconfig();
    let kubeconfig = Kubeconfig::read_from(&file);
    let kubeconfig = kubeconfig.with_context(|| format!("no server has started in {}", paths.root().display()))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_printed() {
        let token = JoinToken { fingerprint: "ab".repeat(32), bootstrap: "abcdef.0123456789abcdef".to_owned() };
        assert!(JoinToken::parse(&token.to_string()).unwrap() == token);
        for wrong in ["", "abcdef.0123456789abcdef", "keelson.short.abcdef.0123456789abcdef"] {
            assert!(JoinToken::parse(wrong).is_err(), "{wrong}");
        }
    }
}

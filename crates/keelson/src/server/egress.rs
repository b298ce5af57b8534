//! An EgressSelectorConfiguration, as far as it is carried out: all connections are direct
//! (docs/decisions/0012). (upstream: apiserver/pkg/server/egressselector)

use std::path::Path;

use anyhow::{Context, bail, ensure};
use machinery::field::{self, Error, ErrorList};
use serde::Deserialize;
use serde_json::Value;

const VERSIONS: [&str; 2] = ["apiserver.k8s.io/v1alpha1", "apiserver.k8s.io/v1beta1"];
const NAMES: [&str; 3] = ["cluster", "controlplane", "etcd"];
const PROTOCOLS: [&str; 3] = ["Direct", "HTTPConnect", "GRPC"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Configuration {
    api_version: String,
    kind: String,
    #[serde(default)]
    egress_selections: Vec<Selection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    #[serde(default)]
    name: String,
    #[serde(default)]
    connection: Connection,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Connection {
    proxy_protocol: String,
    transport: Option<Value>,
}

/// Whether the file asks for what is done anyway.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path);
    check_text(&text.with_context(|| format!("unable to read egress selector configuration from {path:?}"))?)
        .with_context(|| format!("--egress-selector-config-file {}", path.display()))
}

fn check_text(text: &str) -> anyhow::Result<()> {
    let written: Configuration = serde_saphyr::from_str(text)?;
    if written.kind != "EgressSelectorConfiguration" || !VERSIONS.contains(&written.api_version.as_str()) {
        bail!("no kind {:?} is registered for version {:?}", written.kind, written.api_version);
    }
    let errors = errors(&written.egress_selections);
    ensure!(errors.is_empty(), "{}", field::aggregate(&errors));
    let proxied = written.egress_selections.iter().find(|of| of.connection.proxy_protocol != "Direct");
    proxied.map_or(Ok(()), |of| {
        let (name, protocol) = (&of.name, &of.connection.proxy_protocol);
        bail!("egress selection {name:?}: connections by {protocol} are not supported, only Direct ones")
    })
}

fn errors(selections: &[Selection]) -> ErrorList {
    let path = field::Path::new("service").child("connection");
    let mut errors = Vec::new();
    for Selection { connection, .. } in selections {
        match (connection.proxy_protocol.as_str(), &connection.transport) {
            ("Direct", Some(_)) => {
                let why = "config must be absent for direct connect";
                errors.push(Error::invalid(&path.child("transport"), "direct", why));
            }
            (protocol, _) if !PROTOCOLS.contains(&protocol) => {
                errors.push(Error::not_supported(&path.child("protocol"), protocol, &PROTOCOLS));
            }
            _ => {}
        }
    }
    let names: Vec<String> = selections.iter().map(|of| of.name.to_lowercase()).collect();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            errors.push(Error::duplicate(&path.index(at), name.as_str()));
        } else if !NAMES.contains(&name.as_str()) {
            errors.push(Error::not_supported(&path, name.as_str(), &NAMES));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_direct_connections_are_taken() {
        let head = "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections: ";
        for (selections, expected) in [
            ("[]", ""),
            (
                "[{name: Cluster, connection: {proxyProtocol: Direct}}, {name: etcd, connection: {proxyProtocol: Direct}}]",
                "",
            ),
            (
                "[{name: cluster, connection: {proxyProtocol: HTTPConnect, transport: {uds: {udsName: /x}}}}]",
                "egress selection \"cluster\": connections by HTTPConnect are not supported, only Direct ones",
            ),
            (
                "[{name: cluster, connection: {proxyProtocol: Direct, transport: {}}}]",
                "service.connection.transport: Invalid value: \"direct\": config must be absent for direct connect",
            ),
            (
                "[{name: cluster, connection: {proxyProtocol: Carrier}}]",
                "service.connection.protocol: Unsupported value: \"Carrier\": supported values: \"Direct\", \"HTTPConnect\", \
                 \"GRPC\"",
            ),
            (
                "[{name: etcd, connection: {proxyProtocol: Direct}}, {name: ETCD, connection: {proxyProtocol: Direct}}]",
                "service.connection[1]: Duplicate value: \"etcd\"",
            ),
            (
                "[{name: moon, connection: {proxyProtocol: Direct}}]",
                "service.connection: Unsupported value: \"moon\": supported values: \"cluster\", \"controlplane\", \"etcd\"",
            ),
        ] {
            let told = check_text(&format!("{head}{selections}")).err().map(|error| error.to_string());
            assert_eq!(told.unwrap_or_default(), expected, "{selections}");
        }
        let other = check_text("apiVersion: v1\nkind: Pod").unwrap_err().to_string();
        assert_eq!(other, "no kind \"Pod\" is registered for version \"v1\"");
    }
}

//! Which certificate requests are in order.

use super::{CLIENT_SIGNER, NODE_CLIENT_SIGNER, NODE_SERVING_SIGNER, Subject};

const NODE_PREFIX: &str = "system:node:";
const NODES_GROUP: &str = "system:nodes";
const BOOTSTRAPPERS_GROUP: &str = "system:bootstrappers";

const CLIENT_USAGES: [&str; 3] = ["client auth", "digital signature", "key encipherment"];
const SERVING_USAGES: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

/// A request, and who made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    pub signer: String,
    pub subject: Subject,
    pub usages: Vec<String>,
    pub user: String,
    pub groups: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub enum Verdict {
    Approve(&'static str),
    Leave,
}

/// `addresses`: what each registered node reports as its own.
pub fn judge(asked: &Asked, addresses: &[(String, Vec<String>)]) -> Verdict {
    let is_self = asked.user == asked.subject.common_name && in_group(asked, NODES_GROUP);
    match asked.signer.as_str() {
        NODE_CLIENT_SIGNER if check_node_client(asked).is_err() => Verdict::Leave,
        NODE_CLIENT_SIGNER if is_self => {
            Verdict::Approve("Auto approving self kubelet client certificate after identity check.")
        }
        NODE_CLIENT_SIGNER if in_group(asked, BOOTSTRAPPERS_GROUP) => {
            Verdict::Approve("Auto approving kubelet client certificate of a bootstrapping node.")
        }
        NODE_SERVING_SIGNER if is_self && check_serving(asked).is_ok() && owns_names(asked, addresses) => {
            Verdict::Approve("Auto approving kubelet serving certificate for the node's own addresses.")
        }
        _ => Verdict::Leave,
    }
}

fn in_group(asked: &Asked, group: &str) -> bool {
    asked.groups.iter().any(|held| held == group)
}

/// Names and addresses must be the node's. Before it is registered, they must not be another's.
fn owns_names(asked: &Asked, addresses: &[(String, Vec<String>)]) -> bool {
    let node = asked.subject.common_name.trim_start_matches(NODE_PREFIX);
    let ips = asked.subject.ips.iter().map(ToString::to_string);
    let names: Vec<String> = asked.subject.dns_names.iter().cloned().chain(ips).collect();
    match addresses.iter().find(|(name, listed)| name == node && !listed.is_empty()) {
        Some((_, own)) => names.iter().all(|name| name == node || own.contains(name)),
        None => {
            let others = || addresses.iter().filter(|(name, _)| name != node);
            let is_anothers = |name: &String| others().any(|(other, listed)| other == name || listed.contains(name));
            !names.iter().any(is_anothers) && asked.subject.dns_names.iter().all(|name| name == node)
        }
    }
}

/// Whether the signer may sign the request as it stands, whoever approved it.
pub fn check_signable(asked: &Asked) -> Result<(), String> {
    match asked.signer.as_str() {
        NODE_CLIENT_SIGNER => check_node_client(asked),
        NODE_SERVING_SIGNER => check_serving(asked),
        CLIENT_SIGNER => check_usages(asked, &CLIENT_USAGES, "client auth"),
        other => Err(format!("unknown signer {other:?}")),
    }
}

fn check_node_subject(asked: &Asked) -> Result<(), String> {
    let subject = &asked.subject;
    if subject.organizations != [NODES_GROUP] {
        return Err("subject organization is not system:nodes".to_owned());
    }
    match subject.common_name.strip_prefix(NODE_PREFIX) {
        Some(node) if !node.is_empty() => Ok(()),
        _ => Err("subject common name does not begin with system:node:".to_owned()),
    }
}

fn check_node_client(asked: &Asked) -> Result<(), String> {
    check_node_subject(asked)?;
    let Subject { dns_names, ips, others, .. } = &asked.subject;
    if !dns_names.is_empty() || !ips.is_empty() || *others > 0 {
        return Err("subject alternative names are not allowed".to_owned());
    }
    check_usages(asked, &CLIENT_USAGES, "client auth")
}

fn check_serving(asked: &Asked) -> Result<(), String> {
    check_node_subject(asked)?;
    if asked.subject.others > 0 {
        return Err("e-mail and URI subject alternative names are not allowed".to_owned());
    }
    if asked.subject.dns_names.is_empty() && asked.subject.ips.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    check_usages(asked, &SERVING_USAGES, "server auth")
}

/// `digital signature` and the main usage must be there, and nothing but `allowed`.
fn check_usages(asked: &Asked, allowed: &[&str], main: &str) -> Result<(), String> {
    let has = |usage: &str| asked.usages.iter().any(|held| held == usage);
    let stranger = asked.usages.iter().find(|usage| !allowed.contains(&usage.as_str()));
    match stranger {
        Some(usage) => Err(format!("usage {usage:?} is not allowed")),
        None if !has(main) => Err(format!("usage {main:?} is required")),
        None if !has("digital signature") => Err("usage \"digital signature\" is required".to_owned()),
        None => Ok(()),
    }
}

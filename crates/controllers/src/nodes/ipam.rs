//! Gives each node its share of the cluster's address range. (upstream: pkg/controller/nodeipam)

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use async_trait::async_trait;
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, meta};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use tracing::info;

/// An IPv4 range: `10.42.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    base: u32,
    length: u8,
}

impl std::str::FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid CIDR address: {text}");
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let length: u8 = length.parse().ok().filter(|length| *length <= 32).ok_or_else(invalid)?;
        Ok(Self { base: u32::from(address) & mask(length), length })
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.length)
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

impl Cidr {
    fn overlaps(self, other: Self) -> bool {
        let common = mask(self.length.min(other.length));
        self.base & common == other.base & common
    }

    /// The first part of `length` bits that overlaps none of `used`. A range of more than 2^16 parts is
    /// searched no further.
    fn free(self, length: u8, used: &HashSet<Self>) -> Option<Self> {
        let bits = u32::from(length.checked_sub(self.length)?).min(16);
        let step = |part: u32| part.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let mut parts = (0..1_u32 << bits).map(|part| Self { base: self.base | step(part), length });
        let larger: Vec<&Self> = used.iter().filter(|used| used.length != length).collect();
        parts.find(|part| !used.contains(part) && !larger.iter().any(|other| other.overlaps(*part)))
    }
}

pub struct NodeIpam {
    client: Client,
    recorder: Recorder,
    nodes: Informer<Node>,
    range: Cidr,
    part_length: u8,
    /// Parts given out and perhaps not yet seen in the cache, by node.
    given: Mutex<HashMap<ObjectKey, Cidr>>,
}

impl NodeIpam {
    /// `part_length`: the prefix length of each node's part of `range`.
    pub fn new(shell: &Shell, range: Cidr, part_length: u8) -> Self {
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "cidrAllocator", ""),
            nodes: shell.informers.get(),
            range,
            part_length,
            given: Mutex::default(),
        }
    }

    fn choose(&self, key: &ObjectKey) -> Option<Cidr> {
        let mut given = self.given.lock();
        if let Some(part) = given.get(key) {
            return Some(*part);
        }
        let seen = self.nodes.list();
        let mut used: HashSet<Cidr> = seen.iter().flat_map(|node| parts(node)).collect();
        used.extend(given.values());
        let part = self.range.free(self.part_length, &used)?;
        given.insert(key.clone(), part);
        Some(part)
    }
}

fn parts(node: &Node) -> Vec<Cidr> {
    let Some(spec) = &node.spec else { return Vec::new() };
    spec.pod_cidr.iter().chain(spec.pod_cidrs.iter().flatten()).filter_map(|text| text.parse().ok()).collect()
}

#[async_trait]
impl Controller for NodeIpam {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "node_ipam"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        // A node that goes may free the part another one waits for.
        let nodes = self.nodes.clone();
        watches.on(move |change: &Change<Node>| {
            let waiting = nodes.list().into_iter().filter(|node| change.is_deletion() && parts(node).is_empty());
            let mut keys: Vec<ObjectKey> = waiting.map(|node| ObjectKey::of(&node.metadata)).collect();
            keys.push(ObjectKey::of(&change.object().metadata));
            keys
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let node = self.nodes.get(key).filter(|node| parts(node).is_empty());
        let Some(node) = node.filter(|node| !meta::is_terminating(&node.metadata)) else {
            self.given.lock().remove(key);
            return Ok(Requeue::No);
        };
        let Some(part) = self.choose(key) else {
            let message = format!("Node {} status is now: CIDRNotAvailable", node.name_any());
            self.recorder.normal(&*node, "CIDRNotAvailable", message);
            return Err(Error::Retry(
                "CIDR allocation failed; there are no remaining CIDRs left to allocate".to_owned(),
            ));
        };
        let part = part.to_string();
        let patch = json!({ "spec": { "podCIDR": part, "podCIDRs": [part] } });
        let api = Api::<Node>::all(self.client.clone());
        control::write::merge_uid(&api, &key.name, meta::uid(&node.metadata), patch).await?;
        info!(node = %key, part, "pod range given");
        Ok(Requeue::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(range: &str, length: u8, used: &[&str]) -> Option<String> {
        let used = used.iter().map(|text| text.parse().unwrap()).collect();
        range.parse::<Cidr>().unwrap().free(length, &used).map(|part| part.to_string())
    }

    #[test]
    fn the_first_free_part_is_given() {
        assert_eq!(free("10.42.0.0/16", 24, &[]).as_deref(), Some("10.42.0.0/24"));
        assert_eq!(free("10.42.0.0/16", 24, &["10.42.0.0/24", "10.42.2.0/24"]).as_deref(), Some("10.42.1.0/24"));
        assert_eq!(free("10.42.0.0/16", 24, &["10.42.0.0/23"]).as_deref(), Some("10.42.2.0/24"));
        assert_eq!(free("10.42.0.0/23", 24, &["10.42.0.0/24", "10.42.1.0/24"]), None);
        assert_eq!(free("10.42.0.0/24", 16, &[]), None);
    }

    #[test]
    fn ranges_are_read_and_printed() {
        assert_eq!("10.42.7.9/16".parse::<Cidr>().unwrap().to_string(), "10.42.0.0/16");
        assert!("10.42.0.0".parse::<Cidr>().is_err());
        assert!("10.42.0.0/33".parse::<Cidr>().is_err());
    }
}

//! ImageLocality: nodes that have a pod's images already, spread enough, are better.

use std::collections::HashMap;

use super::MAX_SCORE;
use crate::nodes::{NodeInfo, Snapshot};
use crate::pods::PodInfo;

const MIN_BYTES: i64 = 23 * 1024 * 1024;
const MAX_BYTES_A_CONTAINER: i64 = 1000 * 1024 * 1024;

pub fn scores(pod: &PodInfo, nodes: &[&NodeInfo], snapshot: &Snapshot) -> Vec<i64> {
    let spec = pod.spec();
    let images = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let images: Vec<String> = images.filter_map(|container| container.image.as_deref().map(normalized)).collect();
    let everywhere = snapshot.nodes.len().max(1) as f64;
    let holders: HashMap<&String, usize> = images
        .iter()
        .map(|image| (image, snapshot.nodes.iter().filter(|node| node.images.contains_key(image)).count()))
        .collect();
    let most = MAX_BYTES_A_CONTAINER * i64::try_from(images.len()).unwrap_or(1).max(1);
    let score = |node: &&NodeInfo| {
        let present = images.iter().filter_map(|image| Some((image, node.images.get(image)?)));
        let bytes: i64 = present.map(|(image, size)| (*size as f64 * holders[image] as f64 / everywhere) as i64).sum();
        MAX_SCORE * (bytes.clamp(MIN_BYTES, most) - MIN_BYTES) / (most - MIN_BYTES)
    };
    nodes.iter().map(score).collect()
}

/// An image's name with its tag.
fn normalized(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

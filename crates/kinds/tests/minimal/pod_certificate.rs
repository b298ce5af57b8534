//! A request of a pod's certificate.

use serde_json::{Value, json};

/// What a node asks for with the first of the keys.
pub fn spec() -> Value {
    let keys = include_str!("../data/possession.txt");
    let mut parts = keys.lines().next().expect("a key").split(' ').skip(1);
    let [key, proof] = [parts.next(), parts.next()];
    json!({
        "signerName": "example.com/a", "podName": "web", "podUID": "uid", "serviceAccountName": "web",
        "serviceAccountUID": "1", "nodeName": "n1", "nodeUID": "2", "pkixPublicKey": key, "proofOfPossession": proof,
    })
}

//! Many custom kinds: what they cost, and how soon the server is back with them.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::CONNECTIONS;
use super::idle::MIB;
use crate::cluster::{Cluster, Subject};
use crate::flags::Sizes;
use crate::load::{self, Bound, Connection};
use crate::report::{Aim, Measure};
use crate::server::Server;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const FILL_LIMIT: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(100);
/// Properties of each schema, each with a description: about 10 KB of JSON.
const PROPERTIES: usize = 60;

pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    subject.with_server(&["--no-agent"], async |server| measure(server, sizes).await).await
}

async fn measure(server: &mut Server, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let bare = server.until_ready().await?;
    let cluster = Cluster::connect(&server.kubeconfig(), None).await?;
    sleep(sizes.settle).await;
    let empty = server.usage()?.rss;
    let begun = clock::monotonic();
    fill(&cluster, sizes.definitions).await?;
    let established = begun.elapsed();
    sleep(sizes.settle).await;
    let held = server.usage()?.rss;
    server.restart().await?;
    let started = server.until_ready().await?;
    let name = format!("api: {} definitions", sizes.definitions);
    let added = held.saturating_sub(empty) as f64 / MIB;
    Ok(vec![
        Measure::new(format!("{name}, added"), added, "MiB").aim(Aim::AtMost(100.0)),
        Measure::new(format!("{name}, until all are served"), established.as_secs_f64(), "s"),
        Measure::new(format!("{name}, start"), started.as_secs_f64(), "s").aim(Aim::AtMost(1.0 + bare.as_secs_f64())),
    ])
}

/// Makes definitions, and waits until the last is served.
async fn fill(cluster: &Cluster<'_>, count: u64) -> anyhow::Result<()> {
    let bound = Bound { requests: count, time: FILL_LIMIT };
    let request = |target: &load::Target, index| target.post(DEFINITIONS, definition(index));
    let made = load::run(&cluster.target, CONNECTIONS, bound, request).await?;
    ensure!(made.latencies.len() as u64 == count, "{count} definitions are not made after {FILL_LIMIT:?}");
    let mut connection = Connection::open(&cluster.target).await?;
    for index in 0..count {
        let list = format!("/apis/{}/v1/{}", group(index), plural(index));
        while connection.send(cluster.target.get(&list)).await.is_err() {
            sleep(PAUSE).await;
            connection = Connection::open(&cluster.target).await?;
        }
    }
    Ok(())
}

/// Ten kinds in a group.
fn group(index: u64) -> String {
    format!("g{}.example.com", index / 10)
}

fn plural(index: u64) -> String {
    format!("widget{index}s")
}

fn definition(index: u64) -> Bytes {
    let described = "What this field of the widget is for, in about as many words as people use for that.";
    let property = |at: usize| {
        let of = json!({"type": "string", "maxLength": 64, "description": format!("{at}: {described}")});
        (format!("field{at}"), of)
    };
    let properties: Map<String, Value> = (0..PROPERTIES).map(property).collect();
    let rule = json!([{"rule": "self.field0 != self.field1", "message": "both are the same"}]);
    let spec = json!({"type": "object", "properties": properties, "x-kubernetes-validations": rule});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}});
    let names = json!({"plural": plural(index), "kind": format!("Widget{index}")});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", plural(index), group(index))},
        "spec": {
            "group": group(index), "scope": "Namespaced", "names": names,
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    })
    .to_string()
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_differ_and_are_of_some_size() {
        assert!((8_000..12_000).contains(&definition(1).len()), "{}", definition(1).len());
        assert_ne!(definition(1), definition(2));
    }
}

//! The keys of encryption at rest, as administrators change them.

use crate::support::Cluster;

#[test]
fn the_key_of_secrets_rotates_while_the_server_runs_and_opens_them_after_its_end() {
    let mut cluster = Cluster::start_without_image();
    cluster.kubectl("create secret generic s --from-literal password=hunter2");
    let keys = cluster.data_dir().join("encryption.keys");
    let read = || std::fs::read_to_string(&keys).expect("the server made keys");
    let first = read();
    cluster.keelson(&["secrets", "rotate-keys"]).succeeds();
    let second = read();
    assert!(first.starts_with("key1:") && second.starts_with("key2:"), "the newest key is on top");
    assert_eq!(second.lines().count(), 1, "the old key is gone");
    cluster.kill_server();
    cluster.start_server(&[]);
    assert_eq!(cluster.kubectl("get secret s -o jsonpath={.data.password}").trim(), "aHVudGVyMg==");
}

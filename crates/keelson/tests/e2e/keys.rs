//! The keys of encryption at rest, as administrators change them.

use std::fs;

use crate::plugin::Plugin;
use crate::support::{Cluster, Machine, until};

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
    let retired = |line: &&str| line.matches(':').count() == 2;
    assert_eq!(
        second.lines().filter(retired).count(),
        1,
        "the old key reads the past alone: {}",
        second.lines().count()
    );
    assert_eq!(second.lines().count(), 2);
    cluster.kill_server();
    cluster.start_server(&[]);
    assert_eq!(cluster.kubectl("get secret s -o jsonpath={.data.password}").trim(), "aHVudGVyMg==");
}

#[test]
fn a_kms_plugin_keeps_the_keys_of_the_cluster() {
    let files = tempfile::tempdir().expect("there is a place for files");
    let (socket, config) = (files.path().join("kms.sock"), files.path().join("encryption.yaml"));
    let plugin = Plugin::start(&socket);
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  \
         providers:\n  - kms: {{apiVersion: v2, name: vault, endpoint: 'unix://{}'}}\n",
        socket.display()
    );
    fs::write(&config, text).expect("a small file is written");
    let config = config.to_string_lossy().into_owned();
    let flags = ["--encryption-provider-config", &config];
    let mut cluster = Cluster::start_on(Machine::new(), &flags);
    cluster.kubectl("create secret generic s --from-literal password=hunter2");
    let stored = |text: &str| {
        let store = cluster.data_dir().join("store");
        let files = fs::read_dir(store).expect("the store is there").flatten();
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        files.filter_map(|file| fs::read(file.path()).ok()).any(|bytes| holds(&bytes))
    };
    assert!(stored("k8s:enc:kms:v2:vault:") && !stored("aHVudGVyMg=="), "what is on disk needs the plugin");
    plugin.rotate();
    cluster.kill_server();
    cluster.start_server(&flags);
    assert_eq!(cluster.kubectl("get secret s -o jsonpath={.data.password}").trim(), "aHVudGVyMg==");
    cluster.kubectl("create secret generic t --from-literal password=hunter3");
    assert_eq!(cluster.kubectl("get secret t -o jsonpath={.data.password}").trim(), "aHVudGVyMw==");
}

#[test]
fn a_key_that_was_replaced_is_needed_no_more_after_a_migration() {
    let files = tempfile::tempdir().expect("there is a place for files");
    let config = files.path().join("encryption.yaml");
    let write = |keys: &[(&str, &str)]| {
        let keys: Vec<String> =
            keys.iter().map(|(name, secret)| format!("{{name: {name}, secret: {secret}}}")).collect();
        let text = format!(
            "{{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: [{{resources: [secrets], \
             providers: [{{aesgcm: {{keys: [{}]}}}}]}}]}}",
            keys.join(", ")
        );
        fs::write(&config, text).expect("a small file is written");
    };
    let first = ("first", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let second = ("second", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    write(&[first]);
    let path = config.to_string_lossy().into_owned();
    let flags = ["--encryption-provider-config", &path, "--runtime-config", "storagemigration.k8s.io/v1beta1=true"];
    let mut cluster = Cluster::start_with(Machine::new(), &flags);
    cluster.kubectl("create secret generic s --from-literal password=hunter2");
    write(&[second, first]);
    cluster.kill_server();
    cluster.start_server(&flags);
    cluster.apply(
        "{apiVersion: storagemigration.k8s.io/v1beta1, kind: StorageVersionMigration, metadata: {name: secrets},
          spec: {resource: {group: '', resource: secrets}}}",
    );
    let succeeded = ".status.conditions[?(@.type==\"Succeeded\")].status";
    until("the migration is through", || {
        (cluster.field("storageversionmigration secrets", succeeded) == "True").then_some(())
    });
    // Nothing is left that only the first key would open.
    write(&[second]);
    cluster.kill_server();
    cluster.start_server(&flags);
    assert_eq!(cluster.kubectl("get secret s -o jsonpath={.data.password}").trim(), "aHVudGVyMg==");
}

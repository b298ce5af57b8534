//! The past: snapshots of the embedded datastore, and objects as they were.

use crate::support::{Cluster, until};

#[test]
fn a_snapshot_brings_a_cluster_back_here_and_elsewhere() {
    let mut cluster = Cluster::start_without_image();
    cluster.kubectl("create secret generic s --from-literal password=hunter2");
    let saved = cluster.keelson(&["snapshot", "save"]).succeeds();
    let file = saved.trim().rsplit(' ').next().expect("it says where").to_owned();
    cluster.keelson(&["secrets", "rotate-keys"]).succeeds();
    cluster.kubectl("delete secret s");
    let refused = cluster.keelson(&["snapshot", "restore", &file]).fails();
    assert!(refused.contains("stop the server first"), "{refused}");
    let no_snapshot = cluster.keelson(&["snapshot", "restore", "absent"]).fails();
    assert!(no_snapshot.contains("there is no snapshot absent"), "{no_snapshot}");

    cluster.kill_server();
    cluster.keelson(&["snapshot", "restore", &file]).succeeds();
    cluster.start_server(&["--snapshot-schedule", "@every 1s", "--snapshot-retention", "2"]);
    let password = "get secret s -o jsonpath={.data.password}";
    assert_eq!(cluster.kubectl(password).trim(), "aHVudGVyMg==", "it was encrypted by a key that was rotated away");

    let scheduled = |cluster: &Cluster| {
        let list = cluster.keelson(&["snapshot", "list"]).succeeds();
        let names = list.lines().filter_map(|line| line.split(' ').next());
        names.filter(|name| name.starts_with("scheduled-")).map(str::to_owned).collect::<Vec<String>>()
    };
    let first = until("a snapshot is taken", || scheduled(&cluster).into_iter().next());
    until("it is pruned", || (!scheduled(&cluster).contains(&first)).then_some(()));
    assert!(scheduled(&cluster).len() <= 2);

    cluster.kill_server();
    let newest = scheduled(&cluster).pop().expect("there are some");
    let newest = cluster.data_dir().join("snapshots").join(newest).with_extension("snapshot");
    let kept = cluster.scratch().join("kept.snapshot");
    std::fs::copy(newest, &kept).expect("a snapshot is a file");
    cluster.keelson(&["reset"]).succeeds();
    cluster.keelson(&["snapshot", "restore", kept.to_str().expect("a plain path")]).succeeds();
    cluster.start_server(&[]);
    assert_eq!(cluster.kubectl(password).trim(), "aHVudGVyMg==");
}

#[test]
fn objects_are_shown_as_they_were_and_made_again() {
    let cluster = Cluster::start_without_image();
    cluster.kubectl("create configmap settings --from-literal=color=blue");
    let version = cluster.field("configmap settings", ".metadata.resourceVersion");
    cluster.kubectl("patch configmap settings --type merge -p {\"data\":{\"color\":\"red\"}}");
    let now = cluster.field("configmap settings", ".metadata.resourceVersion");
    cluster.kubectl("delete configmap settings");

    let past = cluster.keelson(&["get", "configmap", "settings", "--at", &version, "-o", "yaml"]).succeeds();
    assert!(past.contains("color: blue"), "{past}");
    assert!(cluster.keelson(&["get", "configmaps", "--at", &now]).succeeds().contains("settings"));
    let gone = cluster.keelson(&["get", "configmap", "settings"]).fails();
    let ahead = cluster.keelson(&["get", "configmap", "settings", "--at", "1000000000"]).fails();
    assert!(
        gone.contains("not found") && ahead.contains("revision 1000000000 is ahead of the newest"),
        "{gone}{ahead}"
    );

    let undeleted = cluster.keelson(&["undelete", "configmap/settings", "--at", &version]).succeeds();
    assert_eq!(undeleted, "configmap/settings undeleted\n");
    assert_eq!(cluster.field("configmap settings", ".data.color"), "blue");
    let again = cluster.keelson(&["undelete", "configmap", "settings", "--at", &version]).fails();
    assert!(again.contains("already exists"), "{again}");
}

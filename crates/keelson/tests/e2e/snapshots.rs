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

#[test]
fn a_namespace_comes_back_with_what_was_in_it_as_it_was_at_a_time() {
    let cluster = Cluster::start_without_image();
    cluster.kubectl("create namespace shop");
    cluster.kubectl("create configmap settings -n shop --from-literal=color=blue");
    cluster.kubectl("create deployment web -n shop --image example.com/web --replicas 1");
    until("there is a pod", || (!cluster.kubectl("get pods -n shop -o name").is_empty()).then_some(()));
    let now = || {
        let list = cluster.kubectl("get --raw /api/v1/namespaces?limit=1");
        let list: serde_json::Value = serde_json::from_str(&list).expect("a list is JSON");
        list["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok()).expect("a number")
    };
    let before = now();
    // The revision of a time is known when time has been noted once more.
    let time = until("a time is noted", || {
        let time = jiff::Timestamp::now();
        let answer = cluster.kubectl(&format!("get --raw /keelson/revision?at={time}"));
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer is JSON");
        let revision = answer["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok());
        (revision? >= before).then(|| time.to_string())
    });
    cluster.kubectl("delete namespace shop --wait --timeout 60s");
    let past = cluster.keelson(&["get", "configmaps", "-n", "shop", "--at", &time]).succeeds();
    assert!(past.contains("settings"), "{past}");
    let wrong = |at: &str| cluster.keelson(&["get", "configmaps", "--at", at]).fails();
    let (rubbish, early, late) = (wrong("yesterday"), wrong("2020-01-01T00:00:00Z"), wrong("2120-01-01T00:00:00Z"));
    assert!(rubbish.contains("at: \"yesterday\" is neither a time such as"), "{rubbish}");
    assert!(early.contains("is forgotten; the past goes back to 20"), "{early}");
    assert!(late.contains("is yet to come"), "{late}");

    let undeleted = cluster.keelson(&["undelete", "namespace/shop", "--at", &time]).succeeds();
    assert!(undeleted.contains("namespace/shop undeleted\n") && undeleted.contains("deployment.apps/web undeleted"));
    assert!(!undeleted.contains("pod/") && !undeleted.contains("replicaset"), "controllers make them: {undeleted}");
    assert_eq!(cluster.field("configmap settings -n shop", ".data.color"), "blue");
    until("the pod is made again", || (!cluster.kubectl("get pods -n shop -o name").is_empty()).then_some(()));
    cluster.keelson(&["undelete", "namespace/shop", "--at", &time]).succeeds();
    let ago = cluster.keelson(&["get", "configmaps", "-n", "shop", "--at", "0s"]).succeeds();
    assert!(ago.contains("settings") || ago.contains("No resources found"), "{ago}");
}

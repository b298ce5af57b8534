//! `keelson reset` leaves the machine as it was.

use std::fs;
use std::path::Path;

use crate::support::manifests::{all, deployment, server, service};
use crate::support::{Cluster, Output};

#[test]
fn nothing_is_left_after_a_reset() {
    let mut cluster = Cluster::start();
    let memory = "volumeMounts: [{name: memory, mountPath: /memory}]";
    let pod = deployment("web", 2, &server(memory), "")
        .replace("containers:", "volumes: [{name: memory, emptyDir: {medium: Memory}}], containers:");
    cluster.apply(&all(&[&pod, &service("web")]));
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    let data = cluster.data_dir();
    let before = traces(&cluster, &data);
    assert!(before.iter().all(|(_, found)| !found.is_empty()), "there is something to leave: {before:?}");

    cluster.kill_server();
    cluster.keelson(&["reset"]).succeeds();
    for (what, found) in traces(&cluster, &data) {
        assert!(found.is_empty(), "{what}: {found:?}");
    }
    assert!(cluster.keelson(&["reset"]).succeeds().contains("nothing to reset"), "it can be repeated");
}

/// What a cluster leaves on a machine, by kind.
fn traces(cluster: &Cluster, data: &Path) -> Vec<(&'static str, Vec<String>)> {
    let inside = |program: &str, words: &[&str]| {
        let text = Output::of(cluster.machine.command(program).args(words)).succeeds();
        text.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let links = inside("ip", &["-brief", "link"]).into_iter().filter(|line| !line.starts_with("lo ")).collect();
    let group = format!("keelson-{}", group_digest(&data.join("containers")));
    vec![
        ("mounts", lines_with("/proc/self/mountinfo", data)),
        ("links", links),
        ("routes", inside("ip", &["route"])),
        ("rules", inside("nft", &["list", "ruleset"])),
        ("groups", groups().into_iter().filter(|path| path.contains(&group)).collect()),
        ("processes", processes(data)),
        ("files", if data.exists() { vec![data.display().to_string()] } else { Vec::new() }),
    ]
}

fn lines_with(file: &str, path: &Path) -> Vec<String> {
    let path = path.display().to_string();
    let text = fs::read_to_string(file).expect("the kernel tells");
    text.lines().filter(|line| line.contains(&path)).map(str::to_owned).collect()
}

fn group_digest(root: &Path) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(root.as_os_str().as_encoded_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The groups right below the root of each hierarchy.
fn groups() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the kernel tells");
    let roots = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let below = roots.flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
    below.map(|entry| entry.path().display().to_string()).collect()
}

fn processes(data: &Path) -> Vec<String> {
    let path = data.display().to_string();
    let all = fs::read_dir("/proc").expect("the kernel tells").flatten();
    let commands = all.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    commands.filter(|command| command.contains(&path)).collect()
}

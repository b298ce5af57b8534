//! Containers and pods that end, well or not, and what comes after them.

use crate::support::manifests::{deployment, pod, script, server};
use crate::support::{Cluster, Output, until};

#[test]
fn a_failing_container_is_restarted_with_growing_pauses() {
    let cluster = Cluster::start();
    cluster.apply(&pod("web", &format!("containers: [{}]", script("echo once; exit 3", ""))));
    cluster.until_field("pod web", ".status.containerStatuses[0].state.waiting.reason", "CrashLoopBackOff");
    assert_eq!(cluster.field("pod web", ".status.containerStatuses[0].lastState.terminated.exitCode"), "3");
    assert_eq!(cluster.field("pod web", ".status.containerStatuses[0].lastState.terminated.reason"), "Error");
    assert_eq!(cluster.field("pod web", ".status.phase"), "Running");
    assert!(cluster.until_event("web", "BackOff").contains("Back-off restarting failed container main in pod web"));
    assert!(cluster.kubectl("get pod web").contains("CrashLoopBackOff"));
    assert_eq!(cluster.kubectl("logs web --previous"), "once\n");
    assert!(cluster.kubectl("describe pod web").contains("Exit Code:    3"));
}

#[test]
fn pods_that_are_deleted_are_replaced() {
    let cluster = Cluster::start();
    cluster.apply(&deployment("web", 2, &server("env: [{name: DRAIN_MS, value: '0'}]"), ""));
    cluster.kubectl("rollout status deployment/web --timeout 60s");
    let before = cluster.kubectl("get pods -l app=web -o name");
    let first = before.lines().next().expect("there are two");
    cluster.kubectl(&format!("delete {first} --wait=true --timeout=30s"));
    cluster.kubectl("wait deployment/web --for=jsonpath={.status.readyReplicas}=2 --timeout 60s");
    let after = cluster.kubectl("get pods -l app=web -o name");
    assert!(!after.contains(first), "{first} was to go: {after}");
    assert_eq!(after.lines().count(), 2, "{after}");

    cluster.kubectl("scale deployment/web --replicas 4");
    cluster.kubectl("wait deployment/web --for=jsonpath={.status.readyReplicas}=4 --timeout 60s");
    cluster.kubectl("delete deployment/web --timeout=30s");
    until("no pods are left", || cluster.kubectl("get pods -o name").is_empty().then_some(()));
}

#[test]
fn a_failing_liveness_probe_restarts_the_container() {
    let cluster = Cluster::start();
    let probe = "livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, failureThreshold: 1}";
    cluster.apply(&pod("web", &format!("containers: [{}]", server(probe))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let container = cluster.field("pod web", ".status.containerStatuses[0].containerID");
    cluster.sh("pod/web", "wget -q -O - http://127.0.0.1:8080/break").succeeds();
    cluster.until_field("pod web", ".status.containerStatuses[0].restartCount", "1");
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    assert_ne!(cluster.field("pod web", ".status.containerStatuses[0].containerID"), container);
    let unhealthy = cluster.until_event("web", "Unhealthy");
    assert!(unhealthy.contains("Liveness probe failed: HTTP probe failed with statuscode: 500"), "{unhealthy}");
    let killing = cluster.until_event("web", "Killing");
    assert!(killing.contains("Container main failed liveness probe, will be restarted"), "{killing}");
}

#[test]
fn a_container_that_takes_too_much_memory_is_reported_as_oom_killed() {
    let cluster = Cluster::start();
    let limit = "resources: {limits: {memory: 32Mi}}";
    cluster.apply(&pod("web", &format!("restartPolicy: Never, containers: [{}]", server(limit))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let address = cluster.field("pod web", ".status.podIP");
    cluster.machine.try_http(&format!("http://{address}:8080/allocate?mb=100")).fails();
    cluster.until_field("pod web", ".status.containerStatuses[0].state.terminated.reason", "OOMKilled");
    assert_eq!(cluster.field("pod web", ".status.containerStatuses[0].state.terminated.exitCode"), "137");
    assert_eq!(cluster.field("pod web", ".status.phase"), "Failed");
}

#[test]
fn containers_outlive_a_killed_server_and_their_exit_codes_are_known_after() {
    let mut cluster = Cluster::start();
    let spec = format!("restartPolicy: Never, containers: [{}]", server(""));
    for name in ["stays", "ends"] {
        cluster.apply(&pod(name, &spec));
    }
    cluster.kubectl("wait pod/stays pod/ends --for=condition=Ready --timeout 60s");
    let url = |name: &str, path: &str| {
        format!("http://{}:8080{path}", cluster.field(&format!("pod {name}"), ".status.podIP"))
    };
    let (alive, exit) = (url("stays", "/"), url("ends", "/exit?code=7"));
    let id = cluster.field("pod stays", ".status.containerStatuses[0].containerID");

    cluster.kill_server();
    assert!(cluster.machine.http(&alive).contains("from stays"), "it serves on");
    cluster.machine.try_http(&exit).fails();
    cluster.start_server(&[]);

    cluster.until_field("pod ends", ".status.phase", "Failed");
    assert_eq!(cluster.field("pod ends", ".status.containerStatuses[0].state.terminated.exitCode"), "7");
    assert!(cluster.machine.http(&alive).contains("from stays"));
    assert_eq!(cluster.field("pod stays", ".status.containerStatuses[0].containerID"), id);
    assert_eq!(cluster.field("pod stays", ".status.containerStatuses[0].restartCount"), "0");
    assert!(cluster.kubectl("logs stays").contains("GET / 200 OK"));
    assert_eq!(cluster.sh("pod/stays", "exit 5").code, 5);
}

/// Containers are cloned from processes like the supervisor: what a clone takes from another thread, a lock or a
/// half-started thread, it keeps for good.
#[test]
fn the_processes_around_containers_have_one_thread() {
    let cluster = Cluster::start_without_image();
    let root = cluster.data_dir().join("containers");
    let root = root.to_str().expect("a plain path");
    let supervisor = Output::of(std::process::Command::new("pgrep").args(["-f", &format!("supervisor --root {root}")]));
    let threads = std::fs::read_dir(format!("/proc/{}/task", supervisor.succeeds().trim())).expect("it runs");
    assert_eq!(threads.count(), 1);
}

#[test]
fn init_containers_run_one_by_one_before_a_job_completes() {
    let cluster = Cluster::start();
    let step = |name: &str, script: &str| {
        format!(
            "{{name: {name}, image: keelson.dev/sample:v1, command: [sh, -c, '{script}'],
               volumeMounts: [{{name: work, mountPath: /shared}}]}}"
        )
    };
    cluster.apply(&format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: build}}, spec: {{completions: 2, parallelism: 2, template: {{spec: {{
           restartPolicy: Never, volumes: [{{name: work, emptyDir: {{}}}}],
           initContainers: [{}, {}], containers: [{}]}}}}}}}}",
        step("first", "echo first >> /shared/log"),
        step("second", "echo second >> /shared/log"),
        step("main", "cat /shared/log"),
    ));
    cluster.kubectl("wait job/build --for=condition=complete --timeout 60s");
    assert_eq!(cluster.field("job build", ".status.succeeded"), "2");
    assert_eq!(cluster.kubectl("logs job/build -c main").lines().collect::<Vec<_>>(), ["first", "second"]);
}

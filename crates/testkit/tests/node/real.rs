//! Real containers of the built-in runtime, without a network between them.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use archive::{ImageBuilder, Layer};
use async_trait::async_trait;
use containers::embedded::{Embedded, EmbeddedConfig};
use containers::{Runtime, SandboxConfig, SandboxNetwork};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{AttachParams, LogParams, Patch, PatchParams, PostParams, TerminalSize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::support::{Cluster, phase, restarts};

const IMAGE: &str = "docker.io/library/busybox:test";

struct NoNetwork;

#[async_trait]
impl SandboxNetwork for NoNetwork {
    async fn attach(&self, _: &str, _: &Path, _: &SandboxConfig) -> containers::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([10, 0, 0, 1])])
    }

    async fn detach(&self, _: &str) -> containers::Result<()> {
        Ok(())
    }

    async fn retain(&self, _: &[String]) -> containers::Result<()> {
        Ok(())
    }
}

/// A runtime of its own below the cluster's directory, with busybox in it.
async fn runtime(root: &Path) -> Arc<Embedded> {
    let config = EmbeddedConfig {
        root: root.join("root"),
        run: root.join("run"),
        network: Arc::new(NoNetwork),
        supervisor_command: vec![env!("CARGO_BIN_EXE_testkit-helper").into(), "supervisor".into()],
    };
    let runtime = Embedded::start(config).await.unwrap();
    let program = fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut layer = Layer::default().directory("bin", 0o755).unwrap().file("bin/busybox", 0o755, &program).unwrap();
    for name in ["sh", "cat", "echo", "sleep", "ls", "id", "grep", "env", "hostname", "tail", "httpd", "stty"] {
        layer = layer.symlink(&format!("bin/{name}"), "busybox").unwrap();
    }
    let image = ImageBuilder::default().layer(layer.directory("tmp", 0o1777).unwrap()).unwrap().env("PATH", "/bin");
    let path = root.join("images.tar");
    archive::write_docker(&[(&[IMAGE], &image)], fs::File::create(&path).unwrap()).unwrap();
    runtime.import_images(&path, mpsc::channel(1).0).await.unwrap();
    Arc::new(runtime)
}

fn shell(script: &str) -> Value {
    json!({"name": "main", "image": IMAGE, "command": ["sh", "-c", script], "terminationMessagePath": "/dev/termination-log"})
}

#[tokio::test]
async fn a_pod_logs_answers_exec_and_sees_its_volumes() {
    let cluster = Cluster::new().await;
    let runtime = runtime(cluster.root()).await;
    let agent = cluster.agent(runtime.clone(), true);
    cluster.node_ready().await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "default");
    let map = serde_json::from_value(json!({"metadata": {"name": "m"}, "data": {"k": "one"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();

    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    let script = format!("echo hello $WHO; cat {account}/namespace {account}/ca.crt; cat /etc/hosts; exec sleep 600");
    let mut main = shell(&script);
    main["env"] = json!([{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    main["volumeMounts"] = json!([{"name": "m", "mountPath": "/m"}, {"name": "scratch", "mountPath": "/scratch"}]);
    main["readinessProbe"] = json!({"exec": {"command": ["cat", "/m/k"]}, "periodSeconds": 1});
    let volumes =
        json!([{"name": "m", "configMap": {"name": "m"}}, {"name": "scratch", "emptyDir": {"medium": "Memory"}}]);
    cluster.create("web", json!({"containers": [main], "volumes": volumes})).await;
    cluster.ready("web").await;

    let logs = cluster.pods().logs("web", &LogParams::default()).await.unwrap();
    assert!(logs.starts_with("hello web\ndefaultCERTIFICATE# Kubernetes-managed hosts file.\n"), "{logs}");
    assert!(logs.contains("10.0.0.1\tweb\n"), "{logs}");

    let (remote, _listening) = cluster.remote().await;
    let params = AttachParams::default().stdin(true).stderr(false);
    let mut exec = remote.exec("web", ["sh", "-c", "cat; cat /m/k; exit 4"], &params).await.unwrap();
    let mut stdin = exec.stdin().unwrap();
    stdin.write_all(b"typed ").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let mut output = String::new();
    exec.stdout().unwrap().read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "typed one");
    let status = exec.take_status().unwrap().await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));

    let patch = Patch::Merge(json!({"data": {"k": "two"}}));
    maps.patch("m", &PatchParams::default(), &patch).await.unwrap();
    let changed = async {
        loop {
            let params = AttachParams::default().stderr(false);
            let mut exec = remote.exec("web", ["cat", "/m/k"], &params).await.unwrap();
            let mut text = String::new();
            exec.stdout().unwrap().read_to_string(&mut text).await.unwrap();
            if text == "two" {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), changed).await.expect("the volume follows the ConfigMap");

    cluster.delete("web", 1).await;
    cluster.until_gone("web").await;
    agent.stop().await;
}

#[tokio::test]
async fn containers_end_restart_and_leave_their_messages() {
    let cluster = Cluster::new().await;
    let runtime = runtime(cluster.root()).await;
    let _agent = cluster.agent(runtime.clone(), true);
    let job = json!({"restartPolicy": "Never", "initContainers": [{"name": "first", "image": IMAGE, "command": ["sh", "-c", "exit 0"]}],
        "containers": [shell("echo -n bye > /dev/termination-log; exit 7")]});
    cluster.create("job", job).await;
    cluster.create("again", json!({"containers": [shell("echo run; sleep 0.1; exit 1")]})).await;
    let job = cluster.until("job", "failed", |pod| phase(pod) == "Failed").await;
    let state = job.status.unwrap().container_statuses.unwrap()[0].state.clone().unwrap().terminated.unwrap();
    assert_eq!((state.exit_code, state.reason.as_deref(), state.message.as_deref()), (7, Some("Error"), Some("bye")));
    cluster.until("again", "started again", |pod| restarts(pod) > 0).await;
    let previous = LogParams { previous: true, ..LogParams::default() };
    assert_eq!(cluster.pods().logs("again", &previous).await.unwrap(), "run\n");
    for name in ["job", "again"] {
        cluster.delete(name, 1).await;
        cluster.until_gone(name).await;
    }
}

#[tokio::test]
async fn a_terminal_and_a_forwarded_port_reach_the_container() {
    let cluster = Cluster::new().await;
    let runtime = runtime(cluster.root()).await;
    let _agent = cluster.agent(runtime.clone(), true);
    let mut main = shell("echo -n served > /tmp/index.html; exec httpd -f -p 8080 -h /tmp");
    main["readinessProbe"] =
        json!({"exec": {"command": ["grep", "-q", ":1F90", "/proc/net/tcp6", "/proc/net/tcp"]}, "periodSeconds": 1});
    cluster.create("web", json!({"containers": [main]})).await;
    cluster.ready("web").await;
    let (remote, _listening) = cluster.remote().await;

    let mut exec = remote.exec("web", ["sh"], &AttachParams::interactive_tty()).await.unwrap();
    let mut size = exec.terminal_size().unwrap();
    size.try_send(TerminalSize { width: 91, height: 17 }).unwrap();
    let mut stdin = exec.stdin().unwrap();
    // The size comes by a channel of its own, which may be the slower one. Without a size stty says nothing and succeeds.
    stdin.write_all(b"until stty size 2>/dev/null | grep .; do sleep 0.1; done; exit 5\n").await.unwrap();
    let mut output = String::new();
    exec.stdout().unwrap().read_to_string(&mut output).await.unwrap();
    assert!(output.contains("17 91"), "{output}");
    let status = exec.take_status().unwrap().await.unwrap();
    assert_eq!(status.details.unwrap().causes.unwrap()[0].message.as_deref(), Some("5"));

    let mut forward = remote.portforward("web", &[8080]).await.unwrap();
    let mut stream = forward.take_stream(8080).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.ends_with("served"), "{page}");
    cluster.delete("web", 1).await;
    cluster.until_gone("web").await;
}

//! What containers may do, to the machine and to the API.

use crate::support::Cluster;
use crate::support::manifests::{pod, server};

#[test]
fn a_restricted_container_has_no_more_than_it_was_given() {
    let cluster = Cluster::start();
    let restricted = "securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 2000, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false,
                      capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}, volumeMounts: [{name: work, mountPath: /shared}]";
    let spec = "securityContext: {fsGroup: 3000}, volumes: [{name: work, emptyDir: {}}]";
    cluster.apply(&pod("web", &format!("{spec}, containers: [{}]", server(restricted))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let id = cluster.sh("pod/web", "id -u; id -g; id -G").succeeds();
    assert_eq!(id, "1000\n2000\n2000 3000\n");
    let status = cluster.sh("pod/web", "cat /proc/1/status").succeeds();
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or("no such line");
    assert_eq!(line("Seccomp:"), "2");
    assert_eq!(line("NoNewPrivs:"), "1");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
    assert!(cluster.sh("pod/web", "echo x > /tmp/x").stderr.contains("Read-only file system"));
    assert_eq!(cluster.sh("pod/web", "echo x > /shared/x; busybox stat -c %g /shared/x").succeeds(), "3000\n");
    let masked = cluster.sh("pod/web", "cat /proc/kcore | busybox wc -c; busybox wc -c < /proc/keys; ls /sys/firmware");
    assert!(masked.stdout.starts_with("0\n0\n"), "{masked:?}");
    assert_ne!(cluster.sh("pod/web", "busybox mount -t tmpfs none /shared").code, 0);
}

#[test]
fn a_root_user_is_refused_where_the_pod_forbids_it() {
    let cluster = Cluster::start();
    cluster.apply(&pod("web", &format!("securityContext: {{runAsNonRoot: true}}, containers: [{}]", server(""))));
    cluster.until_field("pod web", ".status.containerStatuses[0].state.waiting.reason", "CreateContainerConfigError");
    let failed = cluster.until_event("web", "Failed");
    assert!(failed.contains("container has runAsNonRoot and image will run as root"), "{failed}");
}

#[test]
fn a_pods_token_reaches_the_api_as_far_as_its_role_allows() {
    let cluster = Cluster::start();
    cluster.kubectl("create serviceaccount reader");
    cluster.apply(&pod("web", &format!("serviceAccountName: reader, containers: [{}]", server(""))));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    // Busybox knows no authorities, so curl outside speaks with the token, and the pod only to the port.
    let token = cluster.sh("pod/web", "cat /var/run/secrets/kubernetes.io/serviceaccount/token").succeeds();
    let authority = cluster.sh("pod/web", "cat /var/run/secrets/kubernetes.io/serviceaccount/ca.crt").succeeds();
    let namespace = cluster.sh("pod/web", "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace").succeeds();
    assert_eq!(namespace, "default");
    let file = cluster.scratch().join("ca.crt");
    std::fs::write(&file, authority).expect("a file is written");
    let ask = || {
        let mut curl = cluster.machine.command("curl");
        curl.args(["--silent", "--write-out", "%{http_code}", "--output", "/dev/null", "--max-time", "5", "--cacert"])
            .arg(&file);
        curl.args([
            "--header",
            &format!("Authorization: Bearer {token}"),
            "https://10.43.0.1/api/v1/namespaces/default/pods",
        ]);
        crate::support::Output::of(&mut curl).succeeds()
    };
    assert_eq!(ask(), "403");
    cluster.kubectl("create role pod-reader --verb=get,list --resource=pods");
    cluster.kubectl("create rolebinding reader --role=pod-reader --serviceaccount=default:reader");
    assert_eq!(ask(), "200");
    let may = cluster.kubectl("auth can-i list pods --as=system:serviceaccount:default:reader");
    assert_eq!(may, "yes\n");
    let may_not = cluster.try_kubectl("auth can-i delete pods --as=system:serviceaccount:default:reader");
    assert_eq!(may_not.stdout, "no\n");
    let reached = cluster.sh("pod/web", "busybox nc -w 2 10.43.0.1 443 < /dev/null && echo reached").succeeds();
    assert_eq!(reached, "reached\n");
    let forbidden = cluster.try_kubectl("get secrets --as=system:serviceaccount:default:reader").fails();
    assert!(
        forbidden.contains(
            "secrets is forbidden: User \"system:serviceaccount:default:reader\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\""
        ),
        "{forbidden}"
    );
}

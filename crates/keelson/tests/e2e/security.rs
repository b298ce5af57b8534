//! What containers may do, to the machine and to the API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::manifests::{pod, server};
use crate::support::{Cluster, Output, until};

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

#[test]
fn a_token_in_a_secret_is_made_used_noted_and_taken_back() {
    let cluster = Cluster::start_without_image();
    cluster.kubectl("create serviceaccount bot");
    cluster.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: held, annotations: {kubernetes.io/service-account.name: bot}}, \
         type: kubernetes.io/service-account-token}",
    );
    let entry = |key: &str| cluster.kubectl(&format!("get secret held -o jsonpath={{.data.{key}}}"));
    let token = until("there is a token", || Some(entry("token")).filter(|token| !token.is_empty()));
    assert_eq!(entry("namespace"), "ZGVmYXVsdA==");
    let token = STANDARD.decode(token).ok().and_then(|token| String::from_utf8(token).ok()).expect("it is text");
    let ask = || {
        let mut curl = cluster.machine.command("curl");
        curl.args(["--silent", "--include", "--insecure", "-H", &format!("Authorization: Bearer {token}")]);
        Output::of(curl.arg("https://127.0.0.1:6443/api")).succeeds()
    };
    let answer = ask();
    assert!(answer.starts_with("HTTP/2 200") && !answer.contains("warning:"), "{answer}");
    let label = |name: &str| cluster.field("secret held", &format!(".metadata.labels.kubernetes\\.io/{name}"));
    until("its use is noted", || (!label("legacy-token-last-used").is_empty()).then_some(()));
    cluster.field("configmap kube-apiserver-legacy-service-account-token-tracking -n kube-system", ".data.since");
    cluster.kubectl_with(&["patch", "serviceaccount", "bot", "-p", r#"{"secrets":[{"name":"held"}]}"#]).succeeds();
    let answer = ask();
    assert!(answer.contains("warning: 299 - \"Use tokens from the TokenRequest API or manually"), "{answer}");
    cluster.kubectl("label secret held kubernetes.io/legacy-token-invalid-since=2026-01-01");
    until("it is invalid", || ask().starts_with("HTTP/2 401").then_some(()));
    cluster.kubectl("label secret held kubernetes.io/legacy-token-invalid-since-");
    until("it holds again", || ask().starts_with("HTTP/2 200").then_some(()));
    let metrics = cluster.kubectl("get --raw /metrics");
    let count = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok());
    assert_eq!(count("serviceaccount_legacy_manual_token_uses_total"), Some(1));
    assert!(count("serviceaccount_legacy_auto_token_uses_total") >= Some(2));
    assert!(count("serviceaccount_invalid_legacy_auto_token_uses_total") >= Some(1));
    cluster.kubectl("delete serviceaccount bot");
    until("the Secret goes with its account", || (cluster.try_kubectl("get secret held").code != 0).then_some(()));
    assert!(ask().starts_with("HTTP/2 401"));
}

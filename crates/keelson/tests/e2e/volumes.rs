//! What containers are given: files, variables, memory.

use crate::support::manifests::{all, pod, server};
use crate::support::{Cluster, until_within};
use std::time::Duration;

/// Files of the API are refreshed about once a minute.
const REFRESH: Duration = Duration::from_secs(120);

#[test]
fn configuration_and_secrets_come_as_files_and_follow_their_objects() {
    let cluster = Cluster::start();
    let config = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {color: blue, size: big}}\n";
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {password: open-sesame}}\n";
    let mounts = "volumeMounts: [{name: settings, mountPath: /etc/settings}, {name: key, mountPath: /etc/key}, {name: about, mountPath: /etc/about},
                  {name: all, mountPath: /etc/all}, {name: memory, mountPath: /memory}]";
    let volumes = "volumes: [
        {name: settings, configMap: {name: settings}},
        {name: key, secret: {secretName: key, defaultMode: 0400}},
        {name: about, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}},
        {name: all, projected: {sources: [{configMap: {name: settings, items: [{key: color, path: deep/color}]}}, {secret: {name: key}},
                                          {serviceAccountToken: {path: token, expirationSeconds: 3600}}]}},
        {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]";
    cluster.apply(&all(&[config, secret, &pod("web", &format!("containers: [{}], {volumes}", server(mounts)))]));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let read = |script: &str| cluster.sh("pod/web", script).succeeds();
    assert_eq!(read("cat /etc/settings/color /etc/settings/size"), "bluebig");
    assert_eq!(read("cat /etc/key/password; busybox stat -L -c %a /etc/key/password"), "open-sesame400\n");
    assert_eq!(read("cat /etc/about/labels"), "app=\"web\"");
    assert_eq!(
        read("cat /etc/all/deep/color /etc/all/password; busybox test -s /etc/all/token && echo -token"),
        "blueopen-sesame-token\n"
    );
    assert!(read("cat /proc/mounts").contains("tmpfs /memory tmpfs rw"), "a volume in memory is a tmpfs");
    assert_eq!(cluster.sh("pod/web", "busybox dd if=/dev/zero of=/memory/full bs=1024 count=2048").code, 1);
    assert_ne!(cluster.sh("pod/web", "echo x > /etc/settings/color").code, 0, "files of the API are read-only");

    let version = read("busybox readlink /etc/settings/..data");
    cluster
        .kubectl_with(&["patch", "configmap", "settings", "-p", r#"{"data":{"color":"green","size":"small"}}"#])
        .succeeds();
    cluster.kubectl("label pod web color=green");
    until_within(REFRESH, "the files follow", || {
        (read("cat /etc/settings/color /etc/settings/size /etc/all/deep/color") == "greensmallgreen").then_some(())
    });
    assert_ne!(read("busybox readlink /etc/settings/..data"), version, "all files change at once");
    until_within(REFRESH, "the labels follow", || {
        read("cat /etc/about/labels").contains("color=\"green\"").then_some(())
    });
}

#[test]
fn variables_come_from_values_fields_objects_and_each_other() {
    let cluster = Cluster::start();
    let config = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {color: blue}}\n";
    let variables =
        "envFrom: [{configMapRef: {name: settings}, prefix: C_}], resources: {limits: {memory: 64Mi}}, env: [
        {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}},
        {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}},
        {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}},
        {name: BOTH, value: 'on $(NODE): $(NAME) $$(NAME) $(NONE)'},
        {name: ABSENT, valueFrom: {configMapKeyRef: {name: absent, key: x, optional: true}}}]";
    cluster.apply(&all(&[config, &pod("web", &format!("containers: [{}]", server(variables)))]));
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
    let said = cluster
        .sh(
            "pod/web",
            "echo $C_color; echo $MEMORY; echo \"$BOTH\"; echo ${ABSENT-none}; echo $KUBERNETES_SERVICE_HOST",
        )
        .succeeds();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["blue", "67108864", "on n1: web $(NAME) $(NONE)", "none", "10.43.0.1"]
    );
}

#[test]
fn a_pod_waits_for_the_objects_it_names() {
    let cluster = Cluster::start();
    let missing = "env: [{name: X, valueFrom: {secretKeyRef: {name: later, key: x}}}]";
    cluster.apply(&pod("web", &format!("containers: [{}]", server(missing))));
    cluster.until_field("pod web", ".status.containerStatuses[0].state.waiting.reason", "CreateContainerConfigError");
    assert!(cluster.until_event("web", "Failed").contains("secret \"later\" not found"));
    cluster.kubectl("create secret generic later --from-literal x=1");
    cluster.kubectl("wait pod/web --for=condition=Ready --timeout 60s");
}

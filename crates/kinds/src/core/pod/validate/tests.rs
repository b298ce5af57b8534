use machinery::Object;
use serde_json::{Value, json};

use super::*;
use crate::core::pod::defaults::default_pod;

/// A valid pod with `change` merged into its spec.
fn pod(change: Value) -> Object {
    let mut spec = json!({"containers": [{"name": "web", "image": "nginx:1"}]});
    for (field, value) in change.as_object().expect("an object") {
        spec[field] = value.clone();
    }
    let mut pod =
        Object::from_value(json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec})).unwrap();
    default_pod(&mut pod);
    pod
}

fn errors(change: Value) -> Vec<String> {
    let pod = pod(change);
    texts([validate(&pod), validate_create(&pod)].concat())
}

fn texts(errors: ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// A pod whose only container has these fields besides name and image.
fn container(change: Value) -> Value {
    let mut container = json!({"name": "web", "image": "nginx:1"});
    for (field, value) in change.as_object().expect("an object") {
        container[field] = value.clone();
    }
    json!({"containers": [container]})
}

#[test]
fn a_plain_pod_is_valid() {
    assert_eq!(errors(json!({})), [""; 0]);
    assert_eq!(
        errors(json!({
            "serviceAccountName": "default",
            "volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "b", "hostPath": {"path": "/x", "type": "Directory"}},
                {"name": "c", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p/q", "mode": 256}]}},
                {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]}}],
            "containers": [{"name": "web", "image": "nginx:1",
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
                "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "x/y"}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": 1}, "requests": {"cpu": "500m"}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "livenessProbe": {"exec": {"command": ["true"]}}}],
            "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
            "hostUsers": false, "os": {"name": "linux"}, "overhead": {"cpu": "10m"},
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}],
        })),
        [""; 0]
    );
}

#[test]
fn containers_are_checked() {
    let cases = [
        (json!({"containers": []}), "spec.containers: Required value"),
        (json!({"containers": [{"image": "a"}]}), "spec.containers[0].name: Required value"),
        (json!({"containers": [{"name": "a"}]}), "spec.containers[0].image: Required value"),
        (
            json!({"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]}),
            r#"spec.containers[1].name: Duplicate value: "a""#,
        ),
        (
            container(json!({"image": " x"})),
            r#"spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace"#,
        ),
        (
            container(json!({"imagePullPolicy": "Sometimes"})),
            r#"spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never""#,
        ),
        (container(json!({"ports": [{}]})), "spec.containers[0].ports[0].containerPort: Required value"),
        (
            container(json!({"ports": [{"containerPort": 70000}]})),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            container(json!({"ports": [{"containerPort": 1, "protocol": "X"}]})),
            r#"spec.containers[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP""#,
        ),
        (
            container(json!({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]})),
            r#"spec.containers[0].ports[1].name: Duplicate value: "a""#,
        ),
        (
            container(json!({"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]})),
            r#"spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//9""#,
        ),
        (
            container(json!({"volumeMounts": [{"name": "data", "mountPath": "/d"}]})),
            r#"spec.containers[0].volumeMounts[0].name: Not found: "data""#,
        ),
        (
            container(json!({"terminationMessagePolicy": "X"})),
            r#"spec.containers[0].terminationMessagePolicy: Unsupported value: "X": supported values: "FallbackToLogsOnError", "File""#,
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(errors(change.clone()), [expected], "{change}");
    }
}

#[test]
fn init_and_ephemeral_containers_have_less() {
    let probe = json!({"tcpSocket": {"port": 80}});
    let init = |container: Value| json!({"initContainers": [container]});
    assert_eq!(
        errors(init(json!({"name": "i", "image": "x", "readinessProbe": probe}))),
        [
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"
        ]
    );
    assert_eq!(
        errors(init(json!({"name": "i", "image": "x", "restartPolicy": "Always", "readinessProbe": probe}))),
        [""; 0]
    );
    assert_eq!(
        errors(init(json!({"name": "web", "image": "x"}))),
        [r#"spec.initContainers[0].name: Duplicate value: "web""#]
    );
    assert_eq!(
        errors(
            json!({"ephemeralContainers": [{"name": "e", "image": "x", "lifecycle": {}, "restartPolicy": "Always"}]})
        ),
        [
            "spec.ephemeralContainers[0].lifecycle: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers[0].restartPolicy: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ]
    );
    assert_eq!(
        errors(json!({"ephemeralContainers": [{"name": "e", "image": "x", "ports": [{"containerPort": 1}]}]})),
        [
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ]
    );
}

#[test]
fn environment_is_checked() {
    let env = |variable: Value| container(json!({"env": [variable]}));
    let cases = [
        (env(json!({"value": "x"})), "spec.containers[0].env[0].name: Required value"),
        (
            env(json!({"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})),
            r#"spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty"#,
        ),
        (
            env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.whatever"}}})),
            r#"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.whatever": error converting fieldPath: field label not supported: metadata.whatever"#,
        ),
        (
            env(json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}})),
            "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            env(json!({"name": "A", "valueFrom": {}})),
            r#"spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"#,
        ),
        (
            env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}})),
            r#"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs""#,
        ),
        (
            env(json!({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}})),
            r#"spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource"#,
        ),
        (
            container(json!({"envFrom": [{}]})),
            r#"spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`"#,
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(errors(change.clone()), [expected], "{change}");
    }
}

#[test]
fn probes_and_hooks_are_checked() {
    let cases = [
        (
            container(json!({"livenessProbe": {}})),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            container(json!({"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}})),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            container(json!({"readinessProbe": {"exec": {}, "periodSeconds": 1}})),
            "spec.containers[0].readinessProbe.exec.command: Required value",
        ),
        (
            container(json!({"readinessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}})),
            "spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            container(json!({"readinessProbe": {"tcpSocket": {"port": 1}, "initialDelaySeconds": -1}})),
            "spec.containers[0].readinessProbe.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            container(json!({"lifecycle": {"postStart": {"httpGet": {"port": 80, "scheme": "FTP"}}}})),
            r#"spec.containers[0].lifecycle.postStart.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS""#,
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(errors(change.clone()), [expected], "{change}");
    }
}

#[test]
fn resources_are_checked() {
    let with = |resources: Value| container(json!({"resources": resources}));
    let cases = [
        (
            with(json!({"limits": {"cpu": "-1"}, "requests": {"cpu": "-1"}})),
            vec![
                r#"spec.containers[0].resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0"#,
                r#"spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0"#,
            ],
        ),
        (
            with(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2000m"}})),
            vec![
                r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
            ],
        ),
        (
            with(json!({"limits": {"memory": "1Gi", "hugepages-2Mi": "3Mi"}, "requests": {"hugepages-2Mi": "3Mi"}})),
            vec![
                r#"spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
                r#"spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
            ],
        ),
        (
            with(json!({"limits": {"hugepages-2Mi": "2Mi"}})),
            vec!["spec.containers[0].resources: Forbidden: HugePages require cpu or memory"],
        ),
        (
            with(json!({"claims": [{"name": "gpu"}]})),
            vec![
                r#"spec.containers[0].resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is empty"#,
            ],
        ),
        (
            with(json!({"limits": {"gpu": "1"}})),
            vec![
                r#"spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified"#,
                r#"spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource for containers"#,
                r#"spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified"#,
                r#"spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers"#,
            ],
        ),
        (
            with(json!({"requests": {"example.com/gpu": "1"}})),
            vec![
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(errors(change.clone()), expected, "{change}");
    }
}

#[test]
fn volumes_are_checked() {
    let with = |volume: Value| json!({"volumes": [volume], "serviceAccountName": "default"});
    let cases = [
        (
            json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]}),
            r#"spec.volumes[1].name: Duplicate value: "a""#,
        ),
        (
            with(json!({"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}})),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (with(json!({"name": "a", "hostPath": {"path": ""}})), "spec.volumes[0].hostPath.path: Required value"),
        (
            with(json!({"name": "a", "hostPath": {"path": "/a/../b"}})),
            r#"spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain '..'"#,
        ),
        (with(json!({"name": "a", "configMap": {}})), "spec.volumes[0].configMap.name: Required value"),
        (
            with(json!({"name": "a", "secret": {"secretName": "s", "defaultMode": 512}})),
            "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
        ),
        (
            with(json!({"name": "a", "configMap": {"name": "c", "items": [{"key": "k", "path": "/abs"}]}})),
            r#"spec.volumes[0].configMap.items[0].path: Invalid value: "/abs": must be a relative path"#,
        ),
        (
            with(json!({"name": "a", "gcePersistentDisk": {"pdName": "d", "partition": 256}})),
            "spec.volumes[0].persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive",
        ),
        (
            with(json!({"name": "a", "csi": {"driver": "-"}})),
            r#"spec.volumes[0].csi.driver: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ),
        (
            with(
                json!({"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}),
            ),
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
        ),
        (
            with(json!({"name": "a", "iscsi": {"targetPortal": "p", "iqn": "x"}})),
            r#"spec.volumes[0].iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa"#,
        ),
        (
            with(json!({"name": "a", "downwardAPI": {"items": [{"path": "a"}]}})),
            "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
        ),
        (
            with(json!({"name": "a", "image": {"pullPolicy": "Never"}})),
            "spec.volumes[0].image.reference: Required value",
        ),
        (
            with(json!({"name": "a", "projected": {"sources": [
                {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
                {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}}]}})),
            r#"spec.volumes[0].projected: Invalid value: "c": conflicting duplicate paths"#,
        ),
        (
            with(
                json!({"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]}}),
            ),
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(errors(change.clone()), [expected], "{change}");
    }
}

#[test]
fn placement_security_and_dns_are_checked() {
    let node_terms =
        |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}});
    let cases = [
        (
            json!({"restartPolicy": "No"}),
            r#"spec.restartPolicy: Unsupported value: "No": supported values: "Always", "OnFailure", "Never""#,
        ),
        (
            json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
            r#"spec.tolerations[0].operator: Invalid value: "b": value must be empty when `operator` is 'Exists'"#,
        ),
        (
            json!({"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]}),
            r#"spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be 'NoExecute' when `tolerationSeconds` is set"#,
        ),
        (
            node_terms(json!({"nodeSelectorTerms": []})),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            json!({"securityContext": {"runAsUser": -1}}),
            "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 4294967295, inclusive",
        ),
        (
            json!({"dnsPolicy": "None"}),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            json!({"hostNetwork": true, "containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 80, "hostPort": 81}]}]}),
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
        ),
        (json!({"hostUsers": false, "hostPID": true}), "spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"),
        (
            json!({"os": {"name": "windows"}, "securityContext": {"runAsUser": 1}}),
            "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
            "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
        ),
        (
            json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}),
            r#"spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.tcp_syncookies": may not be specified when 'hostNetwork' is true"#,
        ),
        (
            json!({"schedulingGates": [{"name": "a"}, {"name": "a"}]}),
            r#"spec.schedulingGates[1]: Duplicate value: "a""#,
        ),
        (
            node_terms(
                json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]}]}),
            ),
            r#"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#,
        ),
        (
            json!({"resourceClaims": [{"name": "a"}]}),
            r#"spec.resourceClaims[0]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"#,
        ),
        (
            container(
                json!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}),
            ),
            "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
        ),
        (
            json!({"resources": {"limits": {"cpu": "1"}}, "containers": [{"name": "a", "image": "a", "resources": {"limits": {"cpu": "2"}}}]}),
            r#"spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1"#,
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (
            json!({"nodeName": "n", "schedulingGates": [{"name": "g"}]}),
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ),
        (json!({"hostname": "a.b"}), r#"spec.hostname: Invalid value: "a.b": must not contain dots"#),
    ];
    for (change, expected) in cases {
        assert_eq!(errors(change.clone()), [expected], "{change}");
    }
}

#[test]
fn updates_change_images_and_little_else() {
    let old = pod(json!({"tolerations": [{"key": "a", "operator": "Exists"}], "activeDeadlineSeconds": 60}));
    let update = |change: Value| {
        let mut spec = old.get(&["spec"]).unwrap().clone();
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let mut new = old.clone();
        new.set(&["spec"], spec);
        default_pod(&mut new);
        texts(validate_update(&new, &old))
    };
    assert_eq!(update(json!({})), [""; 0]);
    assert_eq!(
        update(json!({"containers": [{"name": "web", "image": "nginx:2", "imagePullPolicy": "IfNotPresent"}]})),
        [""; 0]
    );
    assert_eq!(update(json!({"activeDeadlineSeconds": 30})), [""; 0]);
    assert_eq!(
        update(json!({"activeDeadlineSeconds": 90})),
        ["spec.activeDeadlineSeconds: Invalid value: 90: must be less than or equal to previous value"]
    );
    assert_eq!(
        update(json!({"containers": []})),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
    assert_eq!(
        update(json!({"tolerations": []})),
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    );
    let moved = update(json!({"nodeName": "n"}));
    assert!(
        moved[0]
            .starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"),
        "{moved:?}"
    );
    assert!(moved[0].ends_with("\n- nodeName: null\n+ nodeName: \"n\"\n"), "{moved:?}");
}

#[test]
fn a_container_that_ended_for_good_stays_ended() {
    let with = |state: Value| {
        let mut pod = pod(json!({"restartPolicy": "Never"}));
        pod.set(&["status", "containerStatuses"], json!([{"name": "web", "state": state}]));
        pod
    };
    let ended = with(json!({"terminated": {"exitCode": 0}}));
    assert_eq!(
        texts(validate_status_update(&with(json!({"running": {}})), &ended)),
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    );
    assert_eq!(texts(validate_status_update(&ended, &with(json!({"running": {}})))), [""; 0]);
}

#[test]
fn a_pods_status_is_checked_in_upstreams_words() {
    let told = |status: Value| {
        let pod = |status| Object::from_value(json!({"spec": {"containers": []}, "status": status})).unwrap();
        texts(validate_status_update(&pod(status), &pod(json!({}))))
    };
    let ip = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    let rows = [
        (json!({"podIP": "x"}), format!(r#"status.podIPs[0]: Invalid value: "x": {ip}"#)),
        (json!({"podIPs": [{"ip": "x"}]}), format!(r#"status.podIPs[0]: Invalid value: "x": {ip}"#)),
        (
            json!({"observedGeneration": -1}),
            "status.observedGeneration: Invalid value: -1: must be a non-negative integer".to_owned(),
        ),
    ];
    for (status, expected) in rows {
        assert_eq!(told(status), [expected]);
    }
    assert!(
        told(json!({"conditions": [{"type": "X Y"}]}))[0]
            .starts_with(r#"status.conditions[0].Type: Invalid value: "X Y""#)
    );
}

#[test]
fn templates_are_checked_below_their_path() {
    let object = json!({"template": {"metadata": {"labels": {"a": "-"}}, "spec": {"restartPolicy": "Always", "dnsPolicy": "Default"}}});
    let errors = texts(validate_template(&At::field(&Object::from_value(object).unwrap(), "template")));
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].starts_with(r#"template.labels: Invalid value: "-""#), "{errors:?}");
    assert_eq!(
        errors[1..],
        ["template.spec.terminationGracePeriodSeconds: Required value", "template.spec.containers: Required value"]
    );
}

#[test]
fn a_gated_pod_may_narrow_its_choice_of_nodes() {
    let terms = |values: Value| {
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": values}]}}})
    };
    let zone = json!({"key": "zone", "operator": "In", "values": ["a"]});
    let disk = json!({"key": "disk", "operator": "Exists"});
    let gated = |selector: Value, affinity: Value| {
        pod(json!({"schedulingGates": [{"name": "g"}], "nodeSelector": selector, "affinity": affinity}))
    };
    let old = gated(json!({"a": "b"}), terms(json!([zone])));
    let update = |new: Object| texts(validate_update(&new, &old));
    assert_eq!(update(gated(json!({"a": "b", "c": "d"}), terms(json!([zone, disk])))), [""; 0]);
    assert_eq!(
        update(gated(json!({}), terms(json!([zone])))),
        [
            "spec.nodeSelector: Invalid value: {}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        ]
    );
    let widened = update(gated(json!({"a": "b"}), terms(json!([disk]))));
    assert!(widened[0].ends_with("only additions are allowed (no mutations or deletions)"), "{widened:?}");
}

#[test]
fn a_resize_changes_cpu_and_memory_alone() {
    let with = |resources: Value| pod(container(json!({"resources": resources})));
    let old = with(json!({"requests": {"cpu": "1"}}));
    let resize = |resources: Value| texts(validate_resize(&with(resources), &old));
    assert_eq!(resize(json!({"requests": {"cpu": "2", "memory": "1Gi"}})), [""; 0]);
    let more = pod(json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}));
    let added = "spec.containers: Forbidden: containers may not be added or removed on resize";
    assert!(texts(validate_resize(&more, &old)).contains(&added.to_owned()));
    assert_eq!(
        resize(json!({"requests": {"memory": "1Gi"}})),
        ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]
    );
    assert_eq!(
        resize(json!({"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}})),
        ["spec: Forbidden: only cpu and memory resources are mutable"]
    );
    assert_eq!(
        resize(json!({})),
        [
            r#"spec: Invalid value: "": Pod QOS Class may not change as a result of resizing"#,
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        ]
    );
}

#[test]
fn annotations_that_mean_something_are_checked() {
    let with = |key: &str, value: &str| {
        let mut pod = pod(json!({}));
        pod.set(&["metadata", "annotations", key], value);
        pod
    };
    let cases = [
        (
            "kubernetes.io/config.mirror",
            "x",
            r#"metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set"#,
        ),
        (
            "controller.kubernetes.io/pod-deletion-cost",
            "+1",
            r#"metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit integer"#,
        ),
        (
            "container.apparmor.security.beta.kubernetes.io/other",
            "runtime/default",
            r#"metadata.annotations[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "other": container not found"#,
        ),
    ];
    for (key, value, expected) in cases {
        assert_eq!(texts(validate(&with(key, value))), [expected]);
    }
    let mirror = with("kubernetes.io/config.mirror", "x");
    assert_eq!(
        texts(validate_update(&pod(json!({})), &mirror)),
        [
            "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update mirror pod annotation"
        ]
    );
}

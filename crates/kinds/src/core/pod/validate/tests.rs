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
    texts(validate(&pod(change)))
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
        errors(json!({"ephemeralContainers": [{"name": "e", "image": "x", "ports": [{"containerPort": 1}]}]})),
        ["spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container"]
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
            container(json!({"envFrom": [{}]})),
            r#"spec.containers[0].envFrom[0]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`"#,
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
    let with = |volume: Value| json!({"volumes": [volume]});
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
            r#"spec.restartPolicy: Unsupported value: "No": supported values: "Always", "Never", "OnFailure""#,
        ),
        (
            json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
            r#"spec.tolerations[0].value: Invalid value: "b": value must be empty when `operator` is 'Exists'"#,
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
            "spec.dnsConfig: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
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
fn templates_are_checked_below_their_path() {
    let object = json!({"template": {"metadata": {"labels": {"a": "-"}}, "spec": {"restartPolicy": "Always", "dnsPolicy": "Default"}}});
    let errors = texts(validate_template(&At::field(&Object::from_value(object).unwrap(), "template")));
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with(r#"template.metadata.labels: Invalid value: "-""#), "{errors:?}");
    assert_eq!(errors[1], "template.spec.containers: Required value");
}

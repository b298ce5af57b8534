use serde_json::json;

use super::*;
use crate::testing::{Case, object};

const CLUSTER: &str = r#"
    namespaces base metadata.labels={"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/warn":"restricted"}
    namespaces strict metadata.labels={"pod-security.kubernetes.io/enforce":"restricted","pod-security.kubernetes.io/enforce-version":"v1.30"}
    namespaces noted metadata.labels={"pod-security.kubernetes.io/audit":"baseline"}
    namespaces free
"#;
const PLAIN: &str = r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
const PRIVILEGED: &str = r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i","securityContext":{"privileged":true}}]}}"#;
const PLAIN_VIOLATIONS: &str = "allowPrivilegeEscalation != false (container \"c\" must set \
    securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set \
    securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set \
    securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
    securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
const PRIVILEGED_VIOLATIONS: &str = "privileged (container \"c\" must not set securityContext.privileged=true)";

fn create(namespace: &str, pod: &str) -> (Result<(), String>, Vec<String>) {
    let case = Case::create("pods", namespace).cluster(CLUSTER);
    let result = case.validate(validate, Some(&object(pod)));
    (result.map_err(|error| error.message), case.context.warnings.take())
}

#[test]
fn levels_refuse_and_warn() {
    assert_eq!(create("free", PRIVILEGED), (Ok(()), vec![]));
    let (result, _) = create("base", PRIVILEGED);
    let expected =
        format!("pods \"a\" is forbidden: violates PodSecurity \"baseline:latest\": {PRIVILEGED_VIOLATIONS}");
    assert_eq!(result, Err(expected));
    let warning = format!("would violate PodSecurity \"restricted:latest\": {PLAIN_VIOLATIONS}");
    assert_eq!(create("base", PLAIN), (Ok(()), vec![warning]));
    let (result, _) = create("strict", PLAIN);
    let expected = format!("pods \"a\" is forbidden: violates PodSecurity \"restricted:v1.30\": {PLAIN_VIOLATIONS}");
    assert_eq!(result, Err(expected));
    let unknown = "Internal error occurred: failed to lookup namespace \"none\"".to_owned();
    assert_eq!(create("none", PLAIN), (Err(unknown), vec![]));
}

#[test]
fn the_audit_log_is_told() {
    let told = |namespace: &str, pod: &str| {
        let case = Case::create("pods", namespace).cluster(CLUSTER);
        let _refused = case.validate(validate, Some(&object(pod)));
        let annotations = case.context.annotations.take();
        annotations.into_iter().map(|(key, said)| format!("{key}={}", said.value)).collect::<Vec<_>>()
    };
    let violations = format!(
        "pod-security.kubernetes.io/audit-violations=would violate PodSecurity \"baseline:latest\": {PRIVILEGED_VIOLATIONS}"
    );
    let enforced = "pod-security.kubernetes.io/enforce-policy=privileged:latest".to_owned();
    assert_eq!(told("noted", PRIVILEGED), [violations, enforced.clone()]);
    assert_eq!(told("noted", PLAIN), [enforced]);
    assert_eq!(told("base", PLAIN), ["pod-security.kubernetes.io/enforce-policy=baseline:latest"]);
}

#[test]
fn templates_are_warned_about_only() {
    for (namespace, warnings) in [("base", 1), ("strict", 1), ("free", 0)] {
        let case = Case::create("deployments.apps", namespace).cluster(CLUSTER);
        let deployment = format!(r#"{{"metadata":{{"name":"d"}},"spec":{{"template":{PLAIN}}}}}"#);
        assert_eq!(case.validate(validate, Some(&object(&deployment))), Ok(()));
        assert_eq!(case.context.warnings.take().len(), warnings, "{namespace}");
    }
}

#[test]
fn updates_matter_where_containers_change() {
    let update = |old: &str, new: &str| {
        Case::update("pods", "base", object(old)).cluster(CLUSTER).validate(validate, Some(&object(new))).is_ok()
    };
    let tolerating = PRIVILEGED.replace(r#""spec":{"#, r#""spec":{"tolerations":[{"operator":"Exists"}],"#);
    let other = PRIVILEGED.replace(r#""image":"i""#, r#""image":"j""#);
    assert!(update(PRIVILEGED, &tolerating));
    assert!(!update(PRIVILEGED, &other));
    let old = object(PRIVILEGED);
    let container = old.list(&["spec", "containers"])[0]["name"].as_str().unwrap_or_default().to_owned();
    let annotated = |key: &str| {
        let mut new = old.clone();
        new.set(&["metadata", "annotations", key], "unconfined");
        serde_json::to_string(&new).unwrap()
    };
    assert!(update(PRIVILEGED, &annotated("example.com/a")));
    assert!(!update(PRIVILEGED, &annotated(&format!("container.apparmor.security.beta.kubernetes.io/{container}"))));
}

#[test]
fn some_are_held_to_nothing() {
    let config = json!({
        "apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "restricted"},
        "exemptions": {"usernames": ["trusted"], "runtimeClasses": ["vm"], "namespaces": ["free"]},
    });
    let config = Configuration::parse(&config).unwrap();
    let admitted = |namespace: &str, user: &str, class: &str| {
        let mut case = Case::create("pods", namespace).cluster(CLUSTER).user(user, &[]);
        case.options.pod_security = config.clone();
        let mut pod = object(PLAIN);
        pod.set(&["spec", "runtimeClassName"], class);
        case.validate(validate, Some(&pod)).is_ok()
    };
    assert!(!admitted("noted", "jane", ""), "the default holds");
    assert!(admitted("free", "jane", "") && admitted("noted", "trusted", "") && admitted("noted", "jane", "vm"));
}

#[test]
fn labels_are_checked_and_tell_of_pods() {
    let namespace = |level: &str| {
        object(&format!(
            r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"dev","labels":{{"pod-security.kubernetes.io/enforce":"{level}"}}}}}}"#
        ))
    };
    let error = Case::create("namespaces", "").validate(validate, Some(&namespace("x"))).unwrap_err();
    assert_eq!(
        error.message,
        "Namespace \"dev\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": \
         must be one of privileged, baseline, restricted"
    );
    let unchanged = Case::update("namespaces", "", namespace("x"));
    assert_eq!(unchanged.validate(validate, Some(&namespace("x"))), Ok(()), "old faults are forgiven");
    let pods = r#"
        pods/dev b spec={"containers":[{"name":"c","securityContext":{"privileged":true}}]}
        pods/dev a spec={"containers":[{"name":"c","securityContext":{"privileged":true}}]}
        pods/dev fine spec={"containers":[{"name":"c"}]}
    "#;
    let stricter = Case::update("namespaces", "", namespace("privileged")).cluster(pods);
    assert_eq!(stricter.validate(validate, Some(&namespace("baseline"))), Ok(()));
    assert_eq!(
        stricter.context.warnings.take(),
        [
            "existing pods in namespace \"dev\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 1 other pod): privileged",
        ]
    );
}

#[test]
fn older_standards_ask_for_less() {
    let pod = object(PLAIN);
    let reasons = |minor: u16| {
        let standard = Standard { level: Level::Restricted, version: Version::Minor(minor) };
        violations(standard, &pod).iter().map(Violation::reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(0), ["runAsNonRoot != true"]);
    assert_eq!(reasons(8), ["allowPrivilegeEscalation != false", "runAsNonRoot != true"]);
    assert_eq!(reasons(19), ["allowPrivilegeEscalation != false", "runAsNonRoot != true", "seccompProfile"]);
    assert_eq!(reasons(22).len(), 4);
    let probed = object(r#"{"spec":{"containers":[{"name":"c","livenessProbe":{"httpGet":{"host":"10.0.0.1"}}}]}}"#);
    let of = |version| describe(Standard { level: Level::Baseline, version }, &probed).is_some();
    assert!(of(Version::Latest) && of(Version::Minor(34)) && !of(Version::Minor(33)));
}

#[test]
fn standards_hold() {
    for (level, spec, expected) in [
        (Level::Baseline, r#"{"hostNetwork":true,"hostPID":true}"#, "host namespaces (hostNetwork=true, hostPID=true)"),
        (Level::Baseline, r#"{"volumes":[{"name":"v","hostPath":{}}]}"#, "hostPath volumes (volume \"v\")"),
        (
            Level::Baseline,
            r#"{"containers":[{"name":"c","ports":[{"hostPort":80}]},{"name":"d","ports":[{"hostPort":81}]}]}"#,
            "hostPort (containers \"c\", \"d\" use hostPorts 80, 81)",
        ),
        (
            Level::Baseline,
            r#"{"containers":[{"name":"c","securityContext":{"capabilities":{"add":["CHOWN","NET_ADMIN"]}}}]}"#,
            "non-default capabilities (container \"c\" must not include \"NET_ADMIN\" in \
                 securityContext.capabilities.add)",
        ),
        (
            Level::Baseline,
            r#"{"securityContext":{"sysctls":[{"name":"kernel.msgmax"},{"name":"net.ipv4.tcp_syncookies"}]}}"#,
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            Level::Baseline,
            r#"{"securityContext":{"seccompProfile":{"type":"Unconfined"}}}"#,
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            Level::Restricted,
            r#"{"securityContext":{"runAsNonRoot":true,"runAsUser":0,"seccompProfile":{"type":"RuntimeDefault"}},
                "volumes":[{"name":"v","nfs":{}}],
                "containers":[{"name":"c","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}"#,
            "restricted volume types (volume \"v\" uses restricted volume type \"nfs\"), runAsUser=0 (pod must not \
                 set runAsUser=0)",
        ),
        (
            Level::Restricted,
            r#"{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},
                "volumes":[{"name":"v","emptyDir":{}}],
                "containers":[{"name":"c","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"],"add":["NET_BIND_SERVICE"]}}}]}"#,
            "",
        ),
    ] {
        let pod = object(&format!(r#"{{"spec":{spec}}}"#));
        let standard = Standard { level, version: Version::Latest };
        assert_eq!(describe(standard, &pod).unwrap_or_default(), expected, "{spec}");
    }
}

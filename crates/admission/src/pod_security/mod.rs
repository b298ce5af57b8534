//! The pod security standards, enforced by labels of the namespace.
//!
//! `enforce` refuses pods, `warn` tells the client; `audit` is for audit logs and does nothing here.
//! Versions are accepted and not told apart: the newest standard holds.

mod baseline;
mod check;
mod restricted;

use auth::view::Resource;
use machinery::{ApiError, Object, field};
use registry::Operation;
use serde_json::Value;

use crate::Admit;
use check::Violation;

const LABEL: &str = "pod-security.kubernetes.io";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// Kinds that make pods, with where their pod template is.
const WORKLOADS: [(&str, &str, &[&str]); 8] = [
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];

pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let Some(object) = object else { return Ok(()) };
    if !matches!(admit.request.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    if admit.is(Resource::NAMESPACES, "") {
        return namespace(object);
    }
    if admit.is(Resource::PODS, "") || admit.is(Resource::PODS, "ephemeralcontainers") {
        return pod(admit, object);
    }
    workload(admit, object);
    Ok(())
}

/// The level a namespace asks for in a mode, with its version.
fn level(namespace: &Object, mode: &str) -> (Level, String) {
    let label = |key: String| namespace.str(&["metadata", "labels", &key]).to_owned();
    let level = label(format!("{LABEL}/{mode}"));
    let version = label(format!("{LABEL}/{mode}-version"));
    // A label that can not be read is held for the strictest in what refuses nothing, and for none else.
    let level = match Level::parse(&level) {
        Some(level) => level,
        None if level.is_empty() => Level::Privileged,
        None => Level::Restricted,
    };
    (level, if version.is_empty() { "latest".to_owned() } else { version })
}

fn namespace(namespace: &Object) -> Result<(), ApiError> {
    let labels = namespace.labels();
    let mut errors = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        let key = format!("{LABEL}/{mode}");
        if let Some(level) = labels.get(&key).filter(|level| Level::parse(level).is_none()) {
            let path = field::Path::new("metadata").child("labels").key(&key);
            let why = "must be one of privileged, baseline, restricted";
            errors.push(field::Error::invalid(&path, level.clone(), why));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(&namespace.gvk(), namespace.name(), &errors)) }
}

fn pod(admit: &Admit<'_>, pod: &Object) -> Result<(), ApiError> {
    if admit.request.old.is_some_and(|old| old.get(&["spec"]) == pod.get(&["spec"])) {
        return Ok(());
    }
    let Some(namespace) = admit.view.get(Resource::NAMESPACES, "", admit.request.namespace) else { return Ok(()) };
    let (enforced, version) = level(&namespace, "enforce");
    if let Some(violations) = describe(enforced, pod) {
        let why = format!("violates PodSecurity \"{}:{version}\": {violations}", enforced.name());
        return Err(admit.forbidden(Some(pod), why));
    }
    warn(admit, &namespace, pod);
    Ok(())
}

fn workload(admit: &Admit<'_>, object: &Object) {
    let kind = admit.request.kind;
    let found = WORKLOADS.iter().find(|(group, resource, _)| (kind.group, kind.resource) == (*group, *resource));
    let Some((_, _, path)) = found.filter(|_| admit.request.subresource.is_empty()) else { return };
    let Some(Value::Object(template)) = object.get(path) else { return };
    if admit.request.old.is_some_and(|old| old.get(path) == object.get(path)) {
        return;
    }
    if let Some(namespace) = admit.view.get(Resource::NAMESPACES, "", admit.request.namespace) {
        warn(admit, &namespace, &Object(template.clone()));
    }
}

fn warn(admit: &Admit<'_>, namespace: &Object, pod: &Object) {
    let (level, version) = level(namespace, "warn");
    if let Some(violations) = describe(level, pod) {
        let warning = format!("would violate PodSecurity \"{}:{version}\": {violations}", level.name());
        admit.request.context.warnings.add(warning);
    }
}

/// What of the pod is beyond the level; nothing if all is within.
fn describe(level: Level, pod: &Object) -> Option<String> {
    let violations = violations(level, pod);
    let texts: Vec<String> = violations.iter().map(Violation::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn violations(level: Level, pod: &Object) -> Vec<Violation> {
    let checks: &[check::Check] = match level {
        Level::Privileged => &[],
        Level::Baseline => baseline::CHECKS,
        Level::Restricted => restricted::CHECKS,
    };
    checks.iter().filter_map(|check| check(pod)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    const CLUSTER: &str = r#"
        namespaces base metadata.labels={"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/warn":"restricted"}
        namespaces strict metadata.labels={"pod-security.kubernetes.io/enforce":"restricted","pod-security.kubernetes.io/enforce-version":"v1.30"}
        namespaces free
    "#;
    const PLAIN: &str = r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}"#;
    const PLAIN_VIOLATIONS: &str = "allowPrivilegeEscalation != false (container \"c\" must set \
        securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set \
        securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set \
        securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
        securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";

    #[test]
    fn levels_refuse_and_warn() {
        let create = |namespace: &str, pod: &str| {
            let case = Case::create("pods", namespace).cluster(CLUSTER);
            let result = case.validate(validate, Some(&object(pod)));
            (result.map_err(|error| error.message), case.context.warnings.take())
        };
        let privileged =
            r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","securityContext":{"privileged":true}}]}}"#;
        assert_eq!(create("free", privileged), (Ok(()), vec![]));
        let (result, _) = create("base", privileged);
        let expected = "pods \"a\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"c\" \
                        must not set securityContext.privileged=true)";
        assert_eq!(result, Err(expected.to_owned()));
        let warning = format!("would violate PodSecurity \"restricted:latest\": {PLAIN_VIOLATIONS}");
        assert_eq!(create("base", PLAIN), (Ok(()), vec![warning]));
        let (result, _) = create("strict", PLAIN);
        let expected =
            format!("pods \"a\" is forbidden: violates PodSecurity \"restricted:v1.30\": {PLAIN_VIOLATIONS}");
        assert_eq!(result, Err(expected));
    }

    #[test]
    fn templates_are_warned_about_only() {
        let case = Case::create("deployments.apps", "base").cluster(CLUSTER);
        let deployment = format!(r#"{{"metadata":{{"name":"d"}},"spec":{{"template":{PLAIN}}}}}"#);
        assert_eq!(case.validate(validate, Some(&object(&deployment))), Ok(()));
        assert_eq!(case.context.warnings.take().len(), 1);
    }

    #[test]
    fn labels_are_checked() {
        let labelled = object(
            r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a","labels":{"pod-security.kubernetes.io/enforce":"x"}}}"#,
        );
        let error = Case::create("namespaces", "").validate(validate, Some(&labelled)).unwrap_err();
        assert_eq!(
            error.message,
            "Namespace \"a\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": \
             must be one of privileged, baseline, restricted"
        );
    }

    #[test]
    fn standards_hold() {
        for (level, spec, expected) in [
            (
                Level::Baseline,
                r#"{"hostNetwork":true,"hostPID":true}"#,
                "host namespaces (hostNetwork=true, hostPID=true)",
            ),
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
            assert_eq!(describe(level, &pod).unwrap_or_default(), expected, "{spec}");
        }
    }
}

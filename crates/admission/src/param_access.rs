//! Nobody has a policy read for them what they may not read themselves: its parameters.
//!
//! upstream: pkg/registry/admissionregistration/validatingadmissionpolicy/authz.go and its likes

use auth::Decision;
use auth::authz::Attributes;
use auth::view::Resource;
use machinery::field::{Error, Path};
use machinery::{ApiError, GroupVersion, GroupVersionKind, Object, UserInfo};
use registry::Operation;
use serde_json::Value;

use crate::Admit;

const POLICIES: [Resource; 2] = [Resource::VALIDATING_ADMISSION_POLICIES, Resource::MUTATING_ADMISSION_POLICIES];
/// Each with the policies that it binds.
const BINDINGS: [(Resource, Resource); 2] = [
    (Resource::VALIDATING_ADMISSION_POLICY_BINDINGS, Resource::VALIDATING_ADMISSION_POLICIES),
    (Resource::MUTATING_ADMISSION_POLICY_BINDINGS, Resource::MUTATING_ADMISSION_POLICIES),
];
const ALL: &str = "*";

pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let request = admit.request;
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let Some(object) = object.filter(|_| writes && !request.context.user.in_group(UserInfo::MASTERS)) else {
        return Ok(());
    };
    let (field, checked) = if POLICIES.iter().any(|of| admit.is(*of, "")) {
        ("paramKind", of_policy(admit, object))
    } else if let Some((_, policies)) = BINDINGS.into_iter().find(|(of, _)| admit.is(*of, "")) {
        ("paramRef", of_binding(admit, object, policies))
    } else {
        return Ok(());
    };
    checked.map_err(|why| {
        let error = Error::forbidden(&Path::new("spec").child(field), why);
        ApiError::invalid(&request.kind.gvk(), object.name(), &[error])
    })
}

fn of_policy(admit: &Admit<'_>, policy: &Object) -> Result<(), String> {
    let Some(kind) = given(policy, "paramKind").filter(|_| changes(admit, policy, &["paramKind"])) else {
        return Ok(());
    };
    let read = Read { name: ALL, namespace: ALL, ..Read::of_kind(admit, kind) };
    read.check(admit, "get", |user| {
        let (kind, version) = (text(kind, "kind"), text(kind, "apiVersion"));
        format!(
            "user {user} must have \"get\" permission on all objects of the referenced paramKind \
             (kind={kind}, apiVersion={version})"
        )
    })
}

fn of_binding(admit: &Admit<'_>, binding: &Object, policies: Resource) -> Result<(), String> {
    let Some(reference) = given(binding, "paramRef").filter(|_| changes(admit, binding, &["paramRef", "policyName"]))
    else {
        return Ok(());
    };
    let policy_name = binding.str(&["spec", "policyName"]);
    let policy = admit.view.get(policies, "", policy_name);
    let kind = policy.as_ref().and_then(|policy| given(policy, "paramKind"));
    let read = kind.map_or_else(Read::everything, |kind| Read::of_kind(admit, kind));
    let unknown = match (&policy, kind) {
        (None, _) => Some(format!("get policy {policy_name}")),
        (_, Some(kind)) if read.resource == ALL => {
            Some(format!("resolve paramKind &{{{} {}}}", text(kind, "apiVersion"), text(kind, "kind")))
        }
        _ => None,
    };
    let read = Read { name: text(reference, "name"), namespace: text(reference, "namespace"), ..read };
    let verb = if read.name.is_empty() { "list" } else { "get" };
    read.check(admit, verb, |user| match unknown {
        Some(what) => format!(
            "unable to {what} to determine minimum required permissions and user {user} does not have {verb:?} \
             permission for all groups, versions and resources"
        ),
        None => format!("user {user} does not have {verb:?} permission on the object referenced by paramRef"),
    })
}

/// Whether what was authorized before is not what is now written.
fn changes(admit: &Admit<'_>, object: &Object, fields: &[&str]) -> bool {
    let same = |old: &Object| fields.iter().all(|field| old.get(&["spec", field]) == object.get(&["spec", field]));
    !admit.request.old.is_some_and(same)
}

fn given<'a>(object: &'a Object, field: &str) -> Option<&'a Value> {
    object.get(&["spec", field]).filter(|value| value.is_object())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// What parameters can be. What is not known is everything.
struct Read<'a> {
    of: GroupVersion,
    resource: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Read<'a> {
    fn everything() -> Self {
        Self {
            of: GroupVersion { group: ALL.to_owned(), version: ALL.to_owned() },
            resource: ALL,
            namespace: "",
            name: "",
        }
    }

    fn of_kind(admit: &Admit<'_>, kind: &'a Value) -> Self {
        let of = GroupVersion::parse(text(kind, "apiVersion"));
        let gvk = GroupVersionKind::new(of.group.as_str(), of.version.as_str(), text(kind, "kind"));
        let resource = admit.kinds.by_gvk(&gvk).map_or(ALL, |kind| kind.resource);
        Self { of, resource, ..Self::everything() }
    }

    fn check(&self, admit: &Admit<'_>, verb: &str, refusal: impl FnOnce(&str) -> String) -> Result<(), String> {
        let user = &admit.request.context.user;
        let attributes = Attributes {
            user: user.clone(),
            verb: verb.to_owned(),
            namespace: self.namespace.to_owned(),
            api_group: self.of.group.clone(),
            api_version: self.of.version.clone(),
            resource: self.resource.to_owned(),
            name: self.name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        match admit.authorizer.authorize(&attributes) {
            decision if decision.allowed() => Ok(()),
            Decision::Failed { why, .. } => Err(format!("failed to authorize request: {why}")),
            _ => Err(refusal(&shown(user))),
        }
    }
}

/// As Go prints its structure.
fn shown(user: &UserInfo) -> String {
    let extra = user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" ")));
    let extra = extra.collect::<Vec<_>>().join(" ");
    format!("&{{{} {} [{}] map[{extra}]}}", user.name, user.uid, user.groups.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Case, object};

    const ACCESS: &str = r#"
        clusterroles everything rules=[{"verbs":["get","list"],"apiGroups":["*"],"resources":["*"]}]
        clusterroles maps rules=[{"verbs":["get"],"apiGroups":[""],"resources":["configmaps"]}]
        clusterroles one rules=[{"verbs":["get"],"apiGroups":[""],"resources":["configmaps"],"resourceNames":["limits"]}]
        clusterrolebindings all roleRef={"kind":"ClusterRole","name":"everything"} subjects=[{"kind":"User","name":"reader"}]
        clusterrolebindings maps roleRef={"kind":"ClusterRole","name":"maps"} subjects=[{"kind":"User","name":"mapper"}]
        rolebindings/dev one roleRef={"kind":"ClusterRole","name":"one"} subjects=[{"kind":"User","name":"jane"}]
        validatingadmissionpolicies sized spec={"paramKind":{"apiVersion":"v1","kind":"ConfigMap"}}
        validatingadmissionpolicies strange spec={"paramKind":{"apiVersion":"none.io/v1","kind":"None"}}
    "#;

    fn refusal(case: Case, user: &str, new: &Object) -> Option<String> {
        let group = if user == "root" { UserInfo::MASTERS } else { "team" };
        let checked = case.cluster(ACCESS).user(user, &[group]).validate(validate, Some(new));
        checked.err().map(|error| {
            assert_eq!(error.code(), 422, "{error}");
            error.message
        })
    }

    fn with_spec(spec: Value) -> Object {
        Object::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_policy_takes_parameters_that_its_writer_may_read() {
        let policy = |api_version: &str, kind: &str| {
            with_spec(json!({"paramKind": {"apiVersion": api_version, "kind": kind}, "failurePolicy": "Fail"}))
        };
        let (maps, strange) = (policy("v1", "ConfigMap"), policy("none.io/v1", "None"));
        let lacking = |user: &str, kind: &str| {
            Some(format!(
                "is invalid: spec.paramKind: Forbidden: user &{{{user}  [team system:authenticated] map[]}} must have \
                 \"get\" permission on all objects of the referenced paramKind ({kind})"
            ))
        };
        for resource in ["validatingadmissionpolicies", "mutatingadmissionpolicies"] {
            let resource = format!("{resource}.admissionregistration.k8s.io");
            for (user, old, new, expected) in [
                ("root", None, &maps, None),
                ("reader", None, &maps, None),
                ("reader", None, &strange, None),
                ("mapper", None, &maps, None),
                ("mapper", None, &strange, lacking("mapper", "kind=None, apiVersion=none.io/v1")),
                ("jane", None, &with_spec(json!({})), None),
                ("jane", None, &maps, lacking("jane", "kind=ConfigMap, apiVersion=v1")),
                ("jane", Some(&maps), &maps, None),
                ("jane", Some(&strange), &maps, lacking("jane", "kind=ConfigMap, apiVersion=v1")),
            ] {
                let case = match old {
                    None => Case::create(&resource, ""),
                    Some(old) => Case::update(&resource, "", object(&json!(old).to_string())),
                };
                let found = refusal(case, user, new);
                let tail = found.as_deref().map(|text| text.split_once(" \"p\" ").unwrap().1);
                assert_eq!(tail, expected.as_deref(), "{user} {new:?}");
            }
        }
    }

    #[test]
    fn a_binding_names_parameters_that_its_writer_may_read() {
        let binding = |policy: &str, reference: Value| with_spec(json!({"policyName": policy, "paramRef": reference}));
        let named = |policy: &str| binding(policy, json!({"name": "limits", "namespace": "dev"}));
        let everywhere = binding("sized", json!({"name": "limits"}));
        let selected = binding("sized", json!({"selector": {}, "namespace": "dev"}));
        for (user, old, new, expected) in [
            ("root", None, named("none"), None),
            ("reader", None, named("none"), None),
            ("reader", None, selected.clone(), None),
            ("jane", None, with_spec(json!({"policyName": "sized"})), None),
            ("jane", None, named("sized"), None),
            (
                "jane",
                None,
                everywhere.clone(),
                Some("WHO does not have \"get\" permission on the object referenced by paramRef"),
            ),
            ("jane", Some(&everywhere), everywhere.clone(), None),
            (
                "jane",
                Some(&named("sized")),
                everywhere.clone(),
                Some("WHO does not have \"get\" permission on the object referenced by paramRef"),
            ),
            (
                "mapper",
                None,
                selected.clone(),
                Some("WHO does not have \"list\" permission on the object referenced by paramRef"),
            ),
            (
                "mapper",
                None,
                named("none"),
                Some(
                    "unable to get policy none to determine minimum required permissions and WHO does not have \"get\" permission for all groups, versions and resources",
                ),
            ),
            (
                "mapper",
                Some(&named("sized")),
                named("strange"),
                Some(
                    "unable to resolve paramKind &{none.io/v1 None} to determine minimum required permissions and WHO does not have \"get\" permission for all groups, versions and resources",
                ),
            ),
        ] {
            let resource = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
            let case = match old {
                None => Case::create(resource, ""),
                Some(old) => Case::update(resource, "", object(&json!(old).to_string())),
            };
            let who = format!("user &{{{user}  [team system:authenticated] map[]}}");
            let expected = expected.map(|text| {
                let kind = "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io";
                format!("{kind} \"p\" is invalid: spec.paramRef: Forbidden: {}", text.replace("WHO", &who))
            });
            assert_eq!(refusal(case, user, &new), expected, "{user} {new:?}");
        }
    }
}

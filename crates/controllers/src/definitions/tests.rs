use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::decide::{Step, Taken, View, decide};
use super::definition::Definition;

const NOW: &str = "2026-01-01T00:00:00Z";

fn definition(status: Value, metadata: Value) -> Definition {
    let names = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]});
    let spec = json!({"group": "example.com", "scope": "Namespaced", "names": names, "versions": [{"name": "v1", "served": true}]});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
}

fn step(definition: &Definition, taken: Taken, objects: Option<usize>) -> String {
    match decide(&View { definition, taken, objects, now: NOW }) {
        Step::Say(status) => {
            let conditions =
                status.conditions.iter().map(|of| format!("{} {} {}: {}", of.type_, of.status, of.reason, of.message));
            let names = &status.accepted_names;
            let named = format!("{} {} {} {:?}", names.plural, names.kind, names.list_kind, names.short_names);
            conditions.chain([named]).collect::<Vec<_>>().join("\n")
        }
        other => format!("{other:?}"),
    }
}

fn check(definition: &Definition, taken: Taken, objects: Option<usize>, wanted: Expect) {
    wanted.assert_eq(&step(definition, taken, objects));
}

#[test]
fn names_that_are_free_are_given_and_the_definition_is_established() {
    let wanted = expect![[r#"
        NamesAccepted True NoConflicts: no conflicts found
        Established True InitialNamesAccepted: the initial names have been accepted
        widgets Widget WidgetList ["wd"]"#]];
    check(&definition(json!({}), json!({"name": "w"})), Taken::default(), None, wanted);
}

#[test]
fn names_of_others_are_not_given() {
    let other =
        definition(json!({"acceptedNames": {"plural": "gadgets", "kind": "Widget", "shortNames": ["wd"]}}), json!({}));
    let wanted = expect![[r#"
        NamesAccepted False KindConflict: "Widget" is already in use
        Established False NotAccepted: not all names are accepted
        widgets  WidgetList []"#]];
    check(&definition(json!({}), json!({"name": "w"})), Taken::by([&other].into_iter()), None, wanted);
}

#[test]
fn what_is_established_stays_so_when_names_conflict_later() {
    let accepted = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"});
    let status = json!({"acceptedNames": accepted, "conditions": [{"type": "Established", "status": "True"}]});
    let other =
        definition(json!({"acceptedNames": {"plural": "others", "kind": "Other", "shortNames": ["wd"]}}), json!({}));
    let wanted = expect![[r#"
        Established True : 
        NamesAccepted False ShortNamesConflict: "wd" is already in use
        widgets Widget WidgetList []"#]];
    check(&definition(status, json!({"name": "w"})), Taken::by([&other].into_iter()), None, wanted);
}

#[test]
fn a_definition_waits_for_its_objects() {
    let metadata =
        json!({"name": "w", "deletionTimestamp": NOW, "finalizers": ["customresourcecleanup.apiextensions.k8s.io"]});
    let with = |reason: &str, status: &str| {
        let message = match reason {
            "InstanceDeletionInProgress" => "CustomResource deletion is in progress",
            "InstanceDeletionCompleted" => "removed all instances",
            _ => "",
        };
        let terminating = json!({"type": "Terminating", "status": status, "reason": reason, "message": message});
        definition(json!({"conditions": [{"type": "Established", "status": "True"}, terminating]}), metadata.clone())
    };
    let pending = with("InstanceDeletionPending", "True");
    assert!(step(&pending, Taken::default(), None).contains("InstanceDeletionInProgress"));
    let deleting = with("InstanceDeletionInProgress", "True");
    check(&deleting, Taken::default(), None, expect!["Count"]);
    check(&deleting, Taken::default(), Some(3), expect!["DeleteObjects"]);
    assert!(step(&deleting, Taken::default(), Some(0)).contains("Terminating False InstanceDeletionCompleted"));
    check(&with("InstanceDeletionCompleted", "False"), Taken::default(), None, expect!["Release"]);
    let never = definition(json!({}), metadata.clone());
    assert!(
        step(&never, Taken::default(), None)
            .contains("Terminating False NeverEstablished: resource was never established")
    );
}

#[test]
fn groups_of_the_community_need_approval() {
    let approval = |annotation: &str| {
        let mut of = definition(json!({}), json!({"annotations": {"api-approved.kubernetes.io": annotation}}));
        of.spec.group = "x.k8s.io".to_owned();
        step(&of, Taken::default(), None).lines().nth(2).unwrap_or_default().to_owned()
    };
    expect![[r#"
        KubernetesAPIApprovalPolicyConformant True ApprovedAnnotation: approved in https://github.com/kubernetes/kubernetes/pull/1"#]]
    .assert_eq(&approval("https://github.com/kubernetes/kubernetes/pull/1"));
    assert!(
        approval("unapproved, a test")
            .starts_with("KubernetesAPIApprovalPolicyConformant False UnapprovedAnnotation: not approved")
    );
    assert!(approval("").starts_with("KubernetesAPIApprovalPolicyConformant False MissingAnnotation"));
    assert!(approval("nothing").starts_with("KubernetesAPIApprovalPolicyConformant False InvalidAnnotation"));
}

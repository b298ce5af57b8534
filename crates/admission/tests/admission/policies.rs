//! ValidatingAdmissionPolicies and their bindings.

use machinery::{ApiError, Object, UserInfo};
use registry::{Context, DeleteOptions, Patch, Registry, Target};
use serde_json::{Value, json};

use crate::webhooks::rule;
use crate::{administrator, cluster_with_namespace, create, create_as, kind, named, object, set_up};

pub const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
pub const BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";

/// A policy about config maps, and its binding.
async fn policy(registry: &Registry, name: &str, spec: Value, binding: Value) {
    let mut of_policy = json!({"matchConstraints": {"resourceRules": [rule("CREATE,UPDATE /v1/configmaps")]}});
    of_policy.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    set_up(registry, POLICIES, "", json!({"metadata": {"name": name}, "spec": of_policy})).await;
    let mut of_binding = json!({"policyName": name, "validationActions": ["Deny"]});
    of_binding.as_object_mut().unwrap().extend(binding.as_object().unwrap().clone());
    set_up(registry, BINDINGS, "", json!({"metadata": {"name": format!("{name}-binding")}, "spec": of_binding})).await;
}

fn config_map(data: Value) -> Value {
    json!({"metadata": {"name": "a"}, "data": data})
}

async fn attempt(registry: &Registry, data: Value) -> Result<(), ApiError> {
    let cx = Context { dry_run: true, ..administrator() };
    create_as(registry, &cx, kind("configmaps"), "dev", config_map(data)).await.map(drop)
}

/// What is said of a config map with the value `1` by a policy with this spec.
async fn said(spec: Value) -> Result<(), (u16, String)> {
    let registry = cluster_with_namespace().await;
    policy(&registry, "rule", spec, json!({})).await;
    attempt(&registry, json!({"k": "1"})).await.map_err(|error| (error.code(), error.message))
}

#[tokio::test]
async fn validations_refuse_in_upstreams_words() {
    let validation = |expression: &str, more: Value| {
        let mut validation = json!({"expression": expression});
        validation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"validations": [validation]})
    };
    let denied = |code: u16, why: &str| {
        let head = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'rule' with binding 'rule-binding' denied request: ";
        Err((code, format!("{head}{why}")))
    };
    for (spec, expected) in [
        (validation("object.data.k == '1'", json!({})), Ok(())),
        (validation("object.data.k == '2'", json!({})), denied(422, "failed expression: object.data.k == '2'")),
        (validation("false", json!({"message": " no way "})), denied(422, "no way")),
        (
            validation("false", json!({"messageExpression": "'k is ' + object.data.k", "message": "unused"})),
            denied(422, "k is 1"),
        ),
        (validation("false", json!({"messageExpression": "'' + object.none.x", "message": "used"})), denied(422, "used")),
        (validation("false", json!({"messageExpression": "'two\\nlines'", "message": "used"})), denied(422, "used")),
        (validation("false", json!({"reason": "Forbidden"})), denied(403, "failed expression: false")),
        (validation("false", json!({"reason": "RequestEntityTooLarge"})), denied(413, "failed expression: false")),
        (
            validation("object.none.x == 1", json!({})),
            denied(422, "expression 'object.none.x == 1' resulted in error: no such key: none"),
        ),
        (
            json!({"failurePolicy": "Ignore", "validations": [{"expression": "object.none.x == 1"}]}),
            Ok(()),
        ),
        (
            json!({
                "variables": [
                    {"name": "k", "expression": "object.data.k"},
                    {"name": "twice", "expression": "variables.k + variables.k"},
                    {"name": "broken", "expression": "object.none.x"},
                ],
                "validations": [{"expression": "variables.twice == '11'"}, {"expression": "variables.twice == variables.k"}],
            }),
            denied(422, "failed expression: variables.twice == variables.k"),
        ),
        (
            json!({
                "variables": [{"name": "broken", "expression": "object.none.x"}],
                "validations": [{"expression": "variables.broken == 1"}],
            }),
            denied(
                422,
                "expression 'variables.broken == 1' resulted in error: composited variable \"broken\" fails to evaluate: \
                 no such key: none",
            ),
        ),
        (
            json!({
                "matchConditions": [{"name": "never", "expression": "object.metadata.name == 'b'"}],
                "validations": [{"expression": "false"}],
            }),
            Ok(()),
        ),
        (
            json!({
                "matchConditions": [{"name": "broken", "expression": "object.none.x == 1"}],
                "validations": [{"expression": "true"}],
            }),
            denied(422, "expression 'object.none.x == 1' resulted in error: no such key: none"),
        ),
        (
            validation(
                "request.operation == 'CREATE' && request.userInfo.username == 'root' && oldObject == null \
                 && namespaceObject.metadata.name == 'dev' && request.dryRun && request.options.kind == 'CreateOptions' \
                 && authorizer.requestResource.check('create').allowed() && !authorizer.serviceAccount('dev', 'bot').group('').resource('pods').check('get').allowed()",
                json!({}),
            ),
            Ok(()),
        ),
        (
            json!({"paramKind": {"apiVersion": "rules.example.com/v1", "kind": "Rule"}, "validations": [{"expression": "true"}]}),
            Err((
                422,
                "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'rule' denied request: failed to configure policy: \
                 failed to find resource referenced by paramKind: 'rules.example.com/v1, Kind=Rule'"
                    .to_owned(),
            )),
        ),
    ] {
        assert_eq!(said(spec.clone()).await, expected, "{spec}");
    }
}

/// As many steps as there are numbers, to the power of `depth`.
fn loops(depth: usize, innermost: &str) -> String {
    let list = format!("[{}]", (0..20).map(|number| number.to_string()).collect::<Vec<_>>().join(","));
    let open: String = (0..depth).map(|at| format!("{list}.all(v{at}, ")).collect();
    format!("{open}{innermost}{}", ")".repeat(depth))
}

#[tokio::test]
async fn what_costs_too_much_is_stopped_and_decided_by_the_failure_policy() {
    let (limit, budget) = (
        "resulted in error: operation cancelled: actual cost limit exceeded",
        "denied request: validation failed due to running out of cost budget, no further validation rules will be run",
    );
    // Each is within its own limit, all together are not.
    let many = vec![json!({"expression": loops(4, "true")}); 40];
    let patterns = loops(3, "('a' + '(x+x+)+y').matches('^(a|b|ab)*(x+x+)+$' + '')  || true");
    for (spec, why) in [
        (json!({"validations": [{"expression": loops(5, "true")}]}), limit),
        (json!({"validations": [{"expression": loops(4, &patterns)}]}), limit),
        (json!({"validations": many}), budget),
        (
            json!({
                "variables": [{"name": "endless", "expression": loops(5, "true")}],
                "validations": [{"expression": "variables.endless"}],
            }),
            "\"endless\" fails to evaluate: operation cancelled: actual cost limit exceeded",
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": loops(5, "true")}], "validations": [{"expression": "true"}]}),
            limit,
        ),
    ] {
        let error = said(spec.clone()).await.unwrap_err();
        assert!(error.0 == 422 && error.1.ends_with(why), "{}", error.1);
        let mut ignoring = spec;
        ignoring["failurePolicy"] = json!("Ignore");
        assert_eq!(said(ignoring).await, Ok(()), "{why}");
    }
}

#[tokio::test]
async fn an_annotation_that_can_not_be_made_is_decided_by_the_failure_policy() {
    let annotation = json!({"key": "k", "valueExpression": "string(object.none.x)"});
    let annotating = |policy: &str| json!({"failurePolicy": policy, "auditAnnotations": [annotation]});
    let why = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'rule' with binding 'rule-binding' denied request: \
               expression 'string(object.none.x)' resulted in error: no such key: none";
    assert_eq!(said(annotating("Fail")).await, Err((422, why.to_owned())));
    assert_eq!(said(annotating("Ignore")).await, Ok(()));
}

#[tokio::test]
async fn actions_warn_and_audit() {
    let registry = cluster_with_namespace().await;
    let spec = json!({
        "validations": [{"expression": "true"}, {"expression": "object.data.k == '2'", "message": "k must be 2"}],
        "auditAnnotations": [
            {"key": "value", "valueExpression": "'k=' + object.data.k"},
            {"key": "nothing", "valueExpression": "null"},
        ],
    });
    policy(&registry, "rule", spec, json!({"validationActions": ["Warn", "Audit"]})).await;
    let cx = Context { user: UserInfo::new("jane", &[]), ..Context::default() };
    create_as(&registry, &cx, kind("configmaps"), "dev", config_map(json!({"k": "1"}))).await.unwrap();
    let warning = "Validation failed for ValidatingAdmissionPolicy 'rule' with binding 'rule-binding': k must be 2";
    assert_eq!(cx.warnings.take(), [warning]);
    let annotations = cx.annotations.take();
    let failure = &annotations["validation.policy.admission.k8s.io/validation_failure"].value;
    assert_eq!(
        serde_json::from_str::<Value>(failure).unwrap(),
        json!([{
            "message": "k must be 2", "policy": "rule", "binding": "rule-binding", "expressionIndex": 1,
            "validationActions": ["Warn", "Audit"],
        }])
    );
    assert_eq!(annotations["rule/value"].value, "k=1");
    assert_eq!(annotations.len(), 2);
}

#[tokio::test]
async fn parameters_are_found_by_name_and_by_label() {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [rule("CREATE /v1/secrets,namespaces")]},
        "validations": [{"expression": "object.metadata.name != params.data.forbidden", "messageExpression": "'forbidden by ' + params.metadata.name"}],
    });
    let denied = |why: &str| Err(format!("denied request: {why}"));
    let missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    let clusterwide = "failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
    let by_label = json!({"matchLabels": {"of": "rule"}});
    for (reference, resource, expected) in [
        (json!({"name": "one", "parameterNotFoundAction": "Deny"}), "secrets", denied("forbidden by one")),
        (json!({"name": "two", "parameterNotFoundAction": "Deny"}), "secrets", Ok(())),
        (json!({"name": "none", "parameterNotFoundAction": "Deny"}), "secrets", denied(missing)),
        (json!({"name": "none", "parameterNotFoundAction": "Allow"}), "secrets", Ok(())),
        (json!({"selector": by_label, "parameterNotFoundAction": "Deny"}), "secrets", denied("forbidden by one")),
        (
            json!({"selector": {"matchLabels": {"of": "x"}}, "parameterNotFoundAction": "Deny"}),
            "secrets",
            denied(missing),
        ),
        (json!({"name": "one", "namespace": "prod", "parameterNotFoundAction": "Deny"}), "secrets", denied(missing)),
        (json!({"name": "one", "parameterNotFoundAction": "Deny"}), "namespaces", denied("forbidden by one")),
    ] {
        let registry = cluster_with_namespace().await;
        for (name, forbidden) in [("one", "a"), ("two", "b")] {
            let map = json!({"metadata": {"name": name, "labels": {"of": "rule"}}, "data": {"forbidden": forbidden}});
            create(&registry, "configmaps", "dev", map.clone()).await.unwrap();
            create(&registry, "namespaces", "", named(&format!("{name}-ns"))).await.unwrap();
        }
        policy(&registry, "rule", spec.clone(), json!({"paramRef": reference})).await;
        let namespace = if resource == "secrets" { "dev" } else { "" };
        let outcome = create(&registry, resource, namespace, named("a")).await.map(drop);
        let found = outcome.map_err(|error| error.message[error.message.find("denied").unwrap_or(0)..].to_owned());
        // A new Namespace lies in itself, where no parameter can be yet.
        let expected = if resource == "namespaces" { denied(missing) } else { expected };
        assert_eq!(found, expected, "{reference} {resource}");
    }
    let registry = cluster_with_namespace().await;
    let nodes = json!({"matchConstraints": {"resourceRules": [rule("CREATE /v1/nodes")]}, "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": [{"expression": "true"}]});
    policy(&registry, "rule", nodes, json!({"paramRef": {"name": "one", "parameterNotFoundAction": "Deny"}})).await;
    let error = create(&registry, "nodes", "", named("n")).await.unwrap_err().message;
    assert!(error.ends_with(clusterwide), "{error}");
}

#[tokio::test]
async fn a_policy_can_not_take_what_is_never_stored_for_parameters() {
    let registry = cluster_with_namespace().await;
    let reviews = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"});
    let spec = json!({"paramKind": reviews, "validations": [{"expression": "true"}]});
    policy(&registry, "rule", spec, json!({"paramRef": {"name": "a", "parameterNotFoundAction": "Allow"}})).await;
    let error = attempt(&registry, json!({})).await.unwrap_err().message;
    let why = "failed to configure policy: failed to find resource referenced by paramKind: 'authentication.k8s.io/v1, \
               Kind=TokenReview'";
    assert!(error.ends_with(why), "{error}");
}

#[tokio::test]
async fn what_is_in_a_namespace_that_is_gone_passes_no_policy() {
    let (registry, cx) = (cluster_with_namespace().await, administrator());
    let rules = json!({"resourceRules": [rule("DELETE /v1/configmaps")]});
    let spec = json!({
        "matchConstraints": rules, "failurePolicy": "Ignore", "validations": [{"expression": "namespaceObject == null"}],
    });
    policy(&registry, "rule", spec, json!({})).await;
    create(&registry, "configmaps", "dev", named("a")).await.unwrap();
    let options = DeleteOptions::default();
    registry.delete(&cx, kind("namespaces"), "", "dev", &options).await.unwrap();
    let finalized = |namespace: &mut Object| {
        namespace.remove(&["spec", "finalizers"]);
        Ok(())
    };
    registry.mutate(&cx, kind("namespaces"), "", "dev", "finalize", finalized).await.unwrap();
    registry.get(kind("namespaces"), "", "dev", "").await.unwrap_err();
    let error = registry.delete(&cx, kind("configmaps"), "dev", "a", &options).await.unwrap_err();
    assert_eq!((error.code(), error.message.as_str()), (404, "namespaces \"dev\" not found"));
}

#[tokio::test]
async fn bindings_narrow_what_a_policy_is_about() {
    let registry = cluster_with_namespace().await;
    create(&registry, "namespaces", "", json!({"metadata": {"name": "prod", "labels": {"env": "prod"}}}))
        .await
        .unwrap();
    let resources = json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}});
    policy(&registry, "rule", json!({"validations": [{"expression": "false"}]}), json!({"matchResources": resources}))
        .await;
    create(&registry, "configmaps", "dev", named("a")).await.unwrap();
    create(&registry, "configmaps", "prod", named("a")).await.unwrap_err();
    let excluded = cluster_with_namespace().await;
    let constraints = json!({
        "resourceRules": [rule("* /v1/*")], "excludeResourceRules": [rule("* /v1/secrets"), rule("* /v1/namespaces")],
    });
    let spec = json!({"matchConstraints": constraints, "validations": [{"expression": "false"}]});
    policy(&excluded, "rule", spec, json!({})).await;
    create(&excluded, "secrets", "dev", named("a")).await.unwrap();
    create(&excluded, "configmaps", "dev", named("a")).await.unwrap_err();
}

#[tokio::test]
async fn a_changed_policy_holds_at_once_and_updates_see_the_old_object() {
    let registry = cluster_with_namespace().await;
    let immutable = json!({"validations": [{"expression": "oldObject == null || object.data.k == oldObject.data.k"}]});
    policy(&registry, "rule", immutable, json!({})).await;
    create(&registry, "configmaps", "dev", config_map(json!({"k": "1"}))).await.unwrap();
    let (cx, maps) = (administrator(), kind("configmaps"));
    let change = async |value: &str| {
        let patch = Patch::Merge(json!({"data": {"k": value}}));
        registry.patch(&cx, maps, "dev", "a", Target::Main, &patch).await.map(drop)
    };
    assert_eq!(change("2").await.unwrap_err().code(), 422);
    let mut spec = registry.get(kind(POLICIES), "", "rule", "").await.unwrap().object();
    spec.set(&["spec", "validations"], json!([{"expression": "true"}]));
    registry.update(&cx, kind(POLICIES), "", "rule", Target::Main, spec).await.unwrap();
    registry.get(kind(POLICIES), "", "rule", "").await.unwrap();
    change("2").await.unwrap();
    let scale = object(json!({"metadata": {"name": "none"}}));
    assert!(registry.update(&cx, maps, "dev", "none", Target::Main, scale).await.is_err());
}

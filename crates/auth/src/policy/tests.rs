use std::collections::{BTreeSet, HashSet};

use super::*;
use crate::authz::Attributes;
use crate::authz::testing::of_resource;

fn find(kind: &str, name: &str) -> Object {
    let found = bootstrap_policy().into_iter().find(|object| object.kind() == kind && object.name() == name);
    found.unwrap_or_else(|| panic!("{kind} {name}"))
}

#[test]
fn roles_read_as_upstream_prints_them() {
    let role = find("ClusterRole", "system:node-proxier");
    assert_eq!(role.str(&["metadata", "labels", "kubernetes.io/bootstrapping"]), "rbac-defaults");
    assert_eq!(role.annotation(AUTOUPDATE), Some("true"));
    assert_eq!(
        role.list(&["rules"])[0],
        json!({"apiGroups": [""], "resources": ["endpoints", "services"], "verbs": ["list", "watch"]})
    );
    let admin = find("ClusterRole", "admin");
    assert_eq!(
        admin.get(&["aggregationRule", "clusterRoleSelectors"]),
        Some(&json!([{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}]))
    );
}

#[test]
fn every_object_is_named_once_and_every_binding_has_its_role() {
    let objects = bootstrap_policy();
    let names: HashSet<_> = objects.iter().map(|o| (o.kind(), o.namespace(), o.name())).collect();
    assert_eq!(names.len(), objects.len());
    for binding in objects.iter().filter(|object| object.kind().ends_with("Binding")) {
        let kind = binding.str(&["roleRef", "kind"]);
        let namespace = if kind == "Role" { binding.namespace() } else { "" };
        assert!(names.contains(&(kind, namespace, binding.str(&["roleRef", "name"]))), "{}", binding.name());
    }
}

#[test]
fn nothing_is_granted_to_the_anonymous_but_health_and_version() {
    let anonymous = json!("system:unauthenticated");
    let granted: Vec<String> = bootstrap_policy()
        .iter()
        .filter(|object| object.list(&["subjects"]).iter().any(|subject| subject["name"] == anonymous))
        .map(|object| object.name().to_owned())
        .collect();
    assert_eq!(granted, ["system:public-info-viewer"]);
}

/// Upstream's ClusterRoles, but those of controllers.
const ROLES: &str = "
    admin cluster-admin edit view system:aggregate-to-admin system:aggregate-to-edit system:aggregate-to-view
    system:auth-delegator system:basic-user system:discovery system:heapster system:kube-aggregator
    system:kube-controller-manager system:kube-dns system:kube-scheduler system:kubelet-api-admin system:monitoring
    system:node system:node-bootstrapper system:node-problem-detector system:node-proxier
    system:persistent-volume-provisioner system:public-info-viewer system:service-account-issuer-discovery
    system:volume-scheduler
    system:certificates.k8s.io:certificatesigningrequests:nodeclient
    system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
    system:certificates.k8s.io:kube-apiserver-client-approver
    system:certificates.k8s.io:kube-apiserver-client-kubelet-approver
    system:certificates.k8s.io:kubelet-serving-approver system:certificates.k8s.io:legacy-unknown-approver";

/// Upstream's controllers that have a role, each bound to the service account of its name.
const CONTROLLERS: &str = "
    attachdetach-controller certificate-controller clusterrole-aggregation-controller cronjob-controller
    daemon-set-controller deployment-controller disruption-controller endpoint-controller endpointslice-controller
    endpointslicemirroring-controller ephemeral-volume-controller expand-controller generic-garbage-collector
    horizontal-pod-autoscaler job-controller legacy-service-account-token-cleaner namespace-controller
    node-controller persistent-volume-binder pod-garbage-collector pv-protection-controller
    pvc-protection-controller replicaset-controller replication-controller resource-claim-controller
    resourcequota-controller root-ca-cert-publisher route-controller selinux-warning-controller
    service-account-controller service-cidrs-controller service-controller statefulset-controller
    ttl-after-finished-controller ttl-controller validatingadmissionpolicy-status-controller
    volumeattributesclass-protection-controller";

/// What there is besides.
const OWN: &str = "keelson:controllers keelson:node-network system:aggregated-metrics-reader
    system:controller:service-address-repair";

#[test]
fn there_are_upstreams_roles_and_a_few_of_our_own() {
    let found: BTreeSet<String> =
        bootstrap_policy().iter().filter(|of| of.kind() == "ClusterRole").map(|of| of.name().to_owned()).collect();
    let controllers = CONTROLLERS.split_whitespace().map(controller_name);
    let expected = ROLES.split_whitespace().chain(OWN.split_whitespace()).map(str::to_owned).chain(controllers);
    assert_eq!(found, expected.collect());
    for name in CONTROLLERS.split_whitespace() {
        let subject = json!([{"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}]);
        assert_eq!(json!(find("ClusterRoleBinding", &controller_name(name)).list(&["subjects"])), subject, "{name}");
    }
}

/// The rules of a role, with those of the roles it gathers.
fn rules(name: &str) -> Vec<Rule> {
    let role = find("ClusterRole", name);
    let gathers = role.list(&["aggregationRule", "clusterRoleSelectors"]);
    let labels = gathers.iter().filter_map(|of| of["matchLabels"].as_object()).flat_map(|labels| labels.keys());
    let mut all = Rule::list(&role);
    for label in labels {
        let gathered = bootstrap_policy().into_iter().filter(|of| of.labels().contains_key(label));
        all.extend(gathered.flat_map(|of| rules(of.name())));
    }
    all
}

/// `get:pods/log`, `list:deployments.apps`, `approve:signers.certificates.k8s.io=NAME`, `get:/healthz`
fn attributes(question: &str) -> Attributes {
    let (verb, of) = question.split_once(':').expect("VERB:RESOURCE");
    let verb = verb.to_owned();
    if of.starts_with('/') {
        return Attributes { verb, path: of.to_owned(), ..Attributes::default() };
    }
    let (of, name) = of.split_once('=').unwrap_or((of, ""));
    Attributes { verb, name: name.to_owned(), ..of_resource(of) }
}

/// Role, what it grants, what it does not.
const FACTS: &[(&str, &str, &str)] = &[
    ("cluster-admin", "delete:anything.example.com escalate:clusterroles.rbac.authorization.k8s.io post:/any", ""),
    (
        "admin",
        "create:roles.rbac.authorization.k8s.io deletecollection:rolebindings.rbac.authorization.k8s.io
         create:localsubjectaccessreviews.authorization.k8s.io get:secrets create:pods/exec list:resourcequotas",
        "create:clusterroles.rbac.authorization.k8s.io escalate:roles.rbac.authorization.k8s.io
         bind:roles.rbac.authorization.k8s.io create:resourcequotas update:namespaces delete:namespaces list:nodes
         create:endpoints create:endpointslices.discovery.k8s.io update:limitranges",
    ),
    (
        "edit",
        "get:secrets create:secrets impersonate:serviceaccounts create:serviceaccounts/token create:pods/attach
         create:pods/exec create:pods/portforward get:pods/proxy create:pods/eviction get:services/proxy
         patch:deployments.apps/scale create:deployments.apps/rollback delete:jobs.batch create:cronjobs.batch
         update:horizontalpodautoscalers.autoscaling create:ingresses.networking.k8s.io
         create:networkpolicies.networking.k8s.io create:poddisruptionbudgets.policy
         create:persistentvolumeclaims watch:leases.coordination.k8s.io create:leases.coordination.k8s.io
         create:resourceclaims.resource.k8s.io delete:resourceclaimtemplates.resource.k8s.io create:events",
        "list:roles.rbac.authorization.k8s.io create:roles.rbac.authorization.k8s.io create:endpoints
         create:endpointslices.discovery.k8s.io update:deployments.apps/status create:controllerrevisions.apps
         impersonate:users update:pods/status create:pods/binding create:resourceslices.resource.k8s.io
         update:resourceclaims.resource.k8s.io/status",
    ),
    (
        "view",
        "get:pods watch:pods/log get:pods/status list:configmaps list:endpoints list:endpointslices.discovery.k8s.io
         get:deployments.apps/scale list:controllerrevisions.apps get:cronjobs.batch/status list:events
         get:persistentvolumeclaims/status list:serviceaccounts get:services/status list:namespaces
         list:resourcequotas/status list:limitranges list:bindings get:ingresses.networking.k8s.io/status
         list:resourceclaims.resource.k8s.io get:resourceclaims.resource.k8s.io/status
         list:resourceclaimtemplates.resource.k8s.io",
        "get:secrets list:secrets create:pods get:pods/exec get:pods/proxy get:services/proxy
         impersonate:serviceaccounts list:leases.coordination.k8s.io list:roles.rbac.authorization.k8s.io
         list:nodes list:persistentvolumes get:serviceaccounts/token",
    ),
    (
        "system:node",
        "create:nodes patch:nodes/status get:secrets watch:configmaps get:persistentvolumes
         update:persistentvolumeclaims/status create:pods delete:pods create:pods/eviction update:pods/status
         create:serviceaccounts/token get:serviceaccounts create:certificatesigningrequests.certificates.k8s.io
         create:tokenreviews.authentication.k8s.io create:subjectaccessreviews.authorization.k8s.io
         delete:leases.coordination.k8s.io update:csinodes.storage.k8s.io list:csidrivers.storage.k8s.io
         get:volumeattachments.storage.k8s.io list:runtimeclasses.node.k8s.io get:resourceclaims.resource.k8s.io
         deletecollection:resourceslices.resource.k8s.io create:events",
        "delete:nodes update:secrets create:secrets update:pods create:pods/binding create:pods/exec
         list:persistentvolumes list:leases.coordination.k8s.io create:serviceaccounts
         update:certificatesigningrequests.certificates.k8s.io/approval list:volumeattachments.storage.k8s.io
         get:nodes/proxy",
    ),
    (
        "system:kube-scheduler",
        "create:pods/binding create:bindings delete:pods patch:pods/status list:nodes list:poddisruptionbudgets.policy
         update:resourceclaims.resource.k8s.io/status patch:resourceclaims.resource.k8s.io update:pods/finalizers
         list:resourceslices.resource.k8s.io list:volumeattachments.storage.k8s.io list:csistoragecapacities.storage.k8s.io
         update:leases.coordination.k8s.io=kube-scheduler create:leasecandidates.coordination.k8s.io",
        "create:pods update:pods update:nodes update:leases.coordination.k8s.io=other get:secrets
         update:persistentvolumes patch:pods/finalizers",
    ),
    (
        "system:kube-controller-manager",
        "list:anything.example.com create:serviceaccounts/token update:secrets delete:secrets
         update:leases.coordination.k8s.io=kube-controller-manager create:subjectaccessreviews.authorization.k8s.io",
        "get:pods create:pods delete:serviceaccounts update:leases.coordination.k8s.io=other",
    ),
    (
        "system:volume-scheduler",
        "patch:persistentvolumes update:persistentvolumeclaims list:storageclasses.storage.k8s.io",
        "create:persistentvolumes delete:persistentvolumeclaims",
    ),
    ("system:discovery", "get:/api get:/apis/apps/v1 get:/openapi/v3 get:/version get:/readyz", "get:/metrics post:/api"),
    ("system:public-info-viewer", "get:/healthz get:/livez get:/readyz get:/version", "get:/api get:/openapi/v2"),
    ("system:monitoring", "get:/metrics get:/metrics/slis get:/livez/ping get:nodes/metrics", "get:/api list:nodes"),
    (
        "system:basic-user",
        "create:selfsubjectaccessreviews.authorization.k8s.io create:selfsubjectrulesreviews.authorization.k8s.io
         create:selfsubjectreviews.authentication.k8s.io",
        "create:subjectaccessreviews.authorization.k8s.io create:tokenreviews.authentication.k8s.io",
    ),
    ("system:kubelet-api-admin", "proxy:nodes get:nodes/log create:nodes/proxy get:nodes/configz", "update:nodes"),
    (
        "system:service-account-issuer-discovery",
        "get:/.well-known/openid-configuration get:/openid/v1/jwks",
        "get:/api get:/.well-known/other",
    ),
    (
        "system:controller:clusterrole-aggregation-controller",
        "escalate:clusterroles.rbac.authorization.k8s.io update:clusterroles.rbac.authorization.k8s.io",
        "bind:clusterroles.rbac.authorization.k8s.io escalate:roles.rbac.authorization.k8s.io
         create:clusterroles.rbac.authorization.k8s.io",
    ),
    (
        "system:controller:pvc-protection-controller",
        "update:persistentvolumeclaims list:pods get:pods",
        "delete:persistentvolumeclaims patch:persistentvolumeclaims update:pods",
    ),
    ("system:controller:pv-protection-controller", "update:persistentvolumes", "delete:persistentvolumes list:pods"),
    (
        "system:controller:volumeattributesclass-protection-controller",
        "update:volumeattributesclasses.storage.k8s.io list:persistentvolumeclaims get:persistentvolumes",
        "delete:volumeattributesclasses.storage.k8s.io update:persistentvolumes",
    ),
    (
        "system:controller:resourcequota-controller",
        "list:anything.example.com update:resourcequotas/status",
        "get:pods update:resourcequotas",
    ),
    (
        "system:controller:generic-garbage-collector",
        "delete:anything.example.com patch:anything.example.com",
        "create:anything.example.com deletecollection:anything.example.com",
    ),
    (
        "system:controller:namespace-controller",
        "deletecollection:anything.example.com update:namespaces/finalize",
        "create:anything.example.com update:namespaces",
    ),
    (
        "system:controller:certificate-controller",
        "approve:signers.certificates.k8s.io=kubernetes.io/kube-apiserver-client-kubelet
         sign:signers.certificates.k8s.io=kubernetes.io/kube-apiserver-client",
        "approve:signers.certificates.k8s.io=kubernetes.io/kube-apiserver-client
         sign:signers.certificates.k8s.io=example.com/own",
    ),
    (
        "system:controller:legacy-service-account-token-cleaner",
        "delete:secrets get:configmaps=kube-apiserver-legacy-service-account-token-tracking",
        "list:secrets get:configmaps=other",
    ),
    ("system:controller:service-account-controller", "create:serviceaccounts", "delete:serviceaccounts get:secrets"),
];

#[test]
fn roles_grant_what_upstreams_do() {
    for (role, granted, withheld) in FACTS {
        let rules = rules(role);
        for (questions, expected) in [(granted, true), (withheld, false)] {
            for question in questions.split_whitespace() {
                let attributes = attributes(question);
                assert_eq!(rules.iter().any(|rule| rule.allows(&attributes)), expected, "{role} {question}");
            }
        }
    }
}

/// Electing a leader takes Leases and candidates for them, and nothing else of the namespace.
#[test]
fn leaders_are_elected_by_leases_alone() {
    let verbs = json!(["create", "get", "list", "update", "watch"]);
    for (component, accounts) in [
        ("kube-controller-manager", "kube-controller-manager leader-election-controller"),
        ("kube-scheduler", "kube-scheduler"),
    ] {
        let name = format!("system::leader-locking-{component}");
        let rules = ["leases", "leasecandidates"]
            .map(|resource| json!({"verbs": verbs, "apiGroups": ["coordination.k8s.io"], "resources": [resource]}));
        assert_eq!(find("Role", &name).list(&["rules"]), rules);
        let binding = find("RoleBinding", &name);
        let users = binding.list(&["subjects"]).iter().filter(|by| by["kind"] == "User");
        assert_eq!(users.map(|by| by["name"].clone()).collect::<Vec<_>>(), [json!(format!("system:{component}"))]);
        let bound = binding.list(&["subjects"]).iter().filter(|by| by["kind"] == "ServiceAccount");
        let bound: Vec<&str> = bound.filter_map(|by| by["name"].as_str()).collect();
        assert_eq!(bound.join(" "), accounts);
    }
}

#[test]
fn groups_hold_upstreams_roles_and_what_joining_takes() {
    let held_by = |subject: &str| {
        let bound = |of: &&Object| {
            of.kind().ends_with("Binding") && of.list(&["subjects"]).iter().any(|by| by["name"] == subject)
        };
        let policy = bootstrap_policy();
        let roles = policy.iter().filter(bound).map(|of| of.str(&["roleRef", "name"]).to_owned());
        roles.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    };
    for (subject, expected) in [
        ("system:masters", "cluster-admin"),
        ("system:authenticated", "system:basic-user system:discovery system:public-info-viewer"),
        ("system:unauthenticated", "system:public-info-viewer"),
        ("system:monitoring", "system:monitoring"),
        ("system:serviceaccounts", "system:service-account-issuer-discovery"),
        ("system:kube-proxy", "system:node-proxier"),
        (
            "system:kube-scheduler",
            "extension-apiserver-authentication-reader system::leader-locking-kube-scheduler system:kube-scheduler \
             system:volume-scheduler",
        ),
        ("system:nodes", "keelson:node-network system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"),
    ] {
        assert_eq!(held_by(subject), expected, "{subject}");
    }
    assert!(find("ClusterRoleBinding", "system:node").list(&["subjects"]).is_empty());
}

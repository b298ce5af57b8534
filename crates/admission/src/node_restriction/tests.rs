use auth::csr::{self, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER};
use auth::pki::LeafSpec;
use serde_json::{Value, json};

use super::*;
use crate::testing::Case;

const CLUSTER: &str = r#"
    nodes n1 metadata.uid="u1"
    serviceaccounts/dev web metadata.uid="s1"
    pods/dev mine metadata.uid="p1" spec={"nodeName":"n1","serviceAccountName":"web"}
    pods/dev other metadata.uid="p2" spec={"nodeName":"n2","serviceAccountName":"web"}
    pods/dev mirror metadata.uid="p3" metadata.annotations={"kubernetes.io/config.mirror":"x"} spec={"nodeName":"n1"}
    pods/dev waiting metadata.uid="p4" spec={}
"#;

fn object(value: Value) -> Object {
    Object::from_value(value).expect("an object")
}

/// As node `n1`: `ok`, or what is said after the name of the object.
fn answer(case: Case, new: Option<Value>) -> String {
    let case = case.cluster(CLUSTER).user("system:node:n1", &["system:nodes"]);
    match case.validate(validate, new.map(object).as_ref()) {
        Ok(()) => "ok".to_owned(),
        Err(error) => {
            error.message.split_once("is forbidden: ").map_or(error.message.clone(), |(_, why)| why.to_owned())
        }
    }
}

fn update(resource: &str, namespace: &str, old: Value) -> Case {
    Case::update(resource, namespace, object(old))
}

#[test]
fn only_nodes_are_restricted() {
    let labels = object(json!({"metadata": {"name": "n2", "labels": {"node-restriction.kubernetes.io/a": "b"}}}));
    for (user, groups, expected) in [
        ("jane", &["system:nodes"][..], "ok"),
        ("system:node:n1", &[], "ok"),
        ("system:node:", &["system:nodes"], "could not determine node from user \"system:node:\""),
    ] {
        let result = Case::create("nodes", "").user(user, groups).validate(validate, Some(&labels));
        let told = result.map_or_else(|error| error.message, |()| "ok".to_owned());
        assert!(told.ends_with(expected), "{user}: {told}");
    }
    assert_eq!(answer(Case::create("configmaps", "dev"), Some(json!({}))), "ok");
}

#[test]
fn a_node_changes_itself_within_limits() {
    let labels = |labels: Value| json!({"metadata": {"name": "n1", "labels": labels}});
    let set = r#"node "n1" is not allowed to set the following labels: "#;
    for (new, expected) in [
        (labels(json!({"x": "y", "example.com/a": "b"})), "ok".to_owned()),
        (
            labels(json!({"kubernetes.io/hostname": "a", "node.kubernetes.io/z": "1", "a.node.kubernetes.io/z": "1"})),
            "ok".to_owned(),
        ),
        (
            labels(
                json!({"topology.kubernetes.io/zone": "a", "kubelet.kubernetes.io/a": "", "beta.kubernetes.io/os": ""}),
            ),
            "ok".to_owned(),
        ),
        (
            labels(json!({"node-restriction.kubernetes.io/a": "b", "kubernetes.io/role": "x"})),
            format!("{set}kubernetes.io/role, node-restriction.kubernetes.io/a"),
        ),
        (
            labels(json!({"my.node-restriction.kubernetes.io/a": "b"})),
            format!("{set}my.node-restriction.kubernetes.io/a"),
        ),
        (
            labels(json!({"node-role.kubernetes.io/control-plane": ""})),
            format!("{set}node-role.kubernetes.io/control-plane"),
        ),
        (labels(json!({"other.k8s.io/a": "b"})), format!("{set}other.k8s.io/a")),
        (json!({"metadata": {"name": "n2"}}), r#"node "n1" is not allowed to modify node "n2""#.to_owned()),
        (
            json!({"metadata": {"name": "n1"}, "spec": {"configSource": {}}}),
            r#"node "n1" is not allowed to create pods with a non-nil configSource"#.to_owned(),
        ),
        (json!({"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "a"}]}}), "ok".to_owned()),
    ] {
        assert_eq!(answer(Case::create("nodes", ""), Some(new.clone())), expected, "{new}");
    }
    let old = json!({"metadata": {"name": "n1", "labels": {"k8s.io/kept": "a"}, "ownerReferences": []}, "spec": {"taints": [{"key": "a"}]}});
    let with = |path: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(path).expect("it is there") = value;
        new
    };
    for (new, expected) in [
        (old.clone(), "ok"),
        (with("/metadata/labels", json!({"k8s.io/kept": "a", "x": "y"})), "ok"),
        (with("/metadata/labels", json!({})), "is not allowed to modify labels: k8s.io/kept"),
        (
            with("/metadata/labels", json!({"k8s.io/kept": "b", "k8s.io/a": "b"})),
            "is not allowed to modify labels: k8s.io/a, k8s.io/kept",
        ),
        (with("/spec/taints", json!([])), r#"node "n1" is not allowed to modify taints"#),
        (
            with("/metadata/ownerReferences", json!([{"name": "x"}])),
            r#"node "n1" is not allowed to modify ownerReferences"#,
        ),
        (
            with("/spec", json!({"configSource": {}, "taints": [{"key": "a"}]})),
            r#"node "n1" is not allowed to update configSource to a new non-nil configSource"#,
        ),
    ] {
        for resource in ["nodes", "nodes/status"] {
            assert_eq!(answer(update(resource, "", old.clone()), Some(new.clone())), expected, "{new}");
        }
    }
    assert_eq!(answer(Case::delete("nodes", "", "n1"), None), "ok");
    assert_eq!(answer(Case::delete("nodes", "", "n2"), None), r#"node "n1" is not allowed to modify node "n2""#);
}

#[test]
fn a_node_makes_mirror_pods_that_refer_to_nothing() {
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": true});
    let pod = json!({
        "metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
    });
    let owners = |change: Value| {
        let mut owner = owner.clone();
        change.as_object().expect("fields").iter().for_each(|(field, value)| owner[field] = value.clone());
        ("/metadata/ownerReferences", json!([owner]))
    };
    let volumes = |volume: Value| ("/spec", json!({"nodeName": "n1", "containers": [], "volumes": [volume]}));
    let projected = |source: Value| volumes(json!({"name": "v", "projected": {"sources": [source]}}));
    let own = "node \"n1\" can only create pods with";
    let refers = "node \"n1\" can not create pods that reference";
    for ((path, value), expected) in [
        (("/metadata/name", json!("m")), "ok".to_owned()),
        (
            ("/metadata/annotations", json!({})),
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods"
                .to_owned(),
        ),
        (("/spec/nodeName", json!("n2")), format!("{own} spec.nodeName set to itself")),
        (("/metadata/ownerReferences", json!([])), format!("{own} an owner reference set to itself")),
        (("/metadata/ownerReferences", json!([owner, owner])), format!("{own} a single owner reference set to itself")),
        (owners(json!({"kind": "Pod"})), format!("{own} an owner reference set to itself")),
        (owners(json!({"name": "n2"})), format!("{own} an owner reference set to itself")),
        (owners(json!({"controller": false})), format!("{own} a controller owner reference set to itself")),
        (owners(json!({"blockOwnerDeletion": false})), "ok".to_owned()),
        (
            owners(json!({"blockOwnerDeletion": true})),
            "node \"n1\" must not set blockOwnerDeletion on an owner reference".to_owned(),
        ),
        (owners(json!({"uid": "u9"})), "node n1 UID mismatch: expected u9 got u1".to_owned()),
        (("/spec", json!({"nodeName": "n1", "serviceAccountName": "x"})), format!("{refers} serviceaccounts")),
        (("/spec", json!({"nodeName": "n1", "imagePullSecrets": [{"name": "x"}]})), format!("{refers} secrets")),
        (("/spec", json!({"nodeName": "n1", "resourceClaims": [{"name": "x"}]})), format!("{refers} resourceclaims")),
        (volumes(json!({"name": "v", "hostPath": {"path": "/"}})), "ok".to_owned()),
        (volumes(json!({"name": "v", "secret": {"secretName": "s"}})), format!("{refers} secrets")),
        (volumes(json!({"name": "v", "configMap": {"name": "s"}})), format!("{refers} configmaps")),
        (volumes(json!({"name": "v", "csi": {"driver": "d"}})), format!("{refers} csidrivers (via CSI volumes)")),
        (
            volumes(json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}})),
            format!("{refers} persistentvolumeclaims"),
        ),
        (
            volumes(json!({"name": "v", "ephemeral": {}})),
            format!("{refers} persistentvolumeclaims (via ephemeral volumes)"),
        ),
        (volumes(json!({"name": "v", "glusterfs": {}})), format!("{refers} endpoints (via glusterFS volumes)")),
        (projected(json!({"downwardAPI": {}})), "ok".to_owned()),
        (projected(json!({"serviceAccountToken": {}})), format!("{refers} serviceaccounts (via projected volumes)")),
        (projected(json!({"clusterTrustBundle": {}})), format!("{refers} clustertrustbundles")),
        (projected(json!({"podCertificate": {}})), format!("{refers} podcertificates")),
    ] {
        let mut pod = pod.clone();
        *pod.pointer_mut(path).expect("it is there") = value.clone();
        assert_eq!(answer(Case::create("pods", "dev"), Some(pod)), expected, "{path} {value}");
    }
}

#[test]
fn a_node_writes_about_its_own_pods() {
    let pod = |node: &str| json!({"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {"nodeName": node}, "status": {"resourceClaimStatuses": [{"name": "gpu"}]}});
    let with = |path: &str, value: Value| {
        let mut new = pod("n1");
        *new.pointer_mut(path).expect("it is there") = value;
        new
    };
    let extended =
        json!({"resourceClaimStatuses": [{"name": "gpu"}], "extendedResourceClaimStatus": {"resourceClaimName": "x"}});
    for (resource, old, new, expected) in [
        ("pods/status", pod("n1"), with("/status/resourceClaimStatuses", json!([{"name": "gpu"}])), "ok"),
        (
            "pods/status",
            pod("n2"),
            pod("n2"),
            r#"node "n1" can only update pod status for pods with spec.nodeName set to itself"#,
        ),
        (
            "pods/status",
            pod("n1"),
            with("/metadata/labels", json!({})),
            r#"node "n1" cannot update labels through pod status"#,
        ),
        (
            "pods/status",
            pod("n1"),
            with("/status", json!({"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "c"}]})),
            r#"node "n1" cannot update resource claim statues"#,
        ),
        (
            "pods/status",
            pod("n1"),
            with("/status", extended),
            r#"node "n1" cannot update extended resource claim status"#,
        ),
        (
            "pods",
            pod("n1"),
            pod("n1"),
            r#"unexpected operation "UPDATE", node "n1" can only create and delete mirror pods"#,
        ),
        (
            "pods/resize",
            pod("n1"),
            pod("n1"),
            r#"unexpected pod subresource "resize", only 'status' and 'eviction' are allowed"#,
        ),
    ] {
        assert_eq!(answer(update(resource, "dev", old), Some(new)), expected, "{resource}");
    }
    let binding = Case::create("pods/binding", "dev");
    assert_eq!(
        answer(binding, Some(json!({}))),
        r#"unexpected pod subresource "binding", only 'status' and 'eviction' are allowed"#
    );
    for (pod, expected) in [
        ("mine", "ok"),
        ("other", "node n1 can only evict pods with spec.nodeName set to itself"),
        ("waiting", "node n1 can only evict pods with spec.nodeName set to itself"),
        ("gone", "pod \"gone\" not found"),
    ] {
        let eviction = json!({"metadata": {"name": pod}});
        assert_eq!(answer(Case::create("pods/eviction", "dev"), Some(eviction)), expected, "{pod}");
    }
    for (node, expected) in [("n1", "ok"), ("n2", r#"node "n1" can only delete pods with spec.nodeName set to itself"#)]
    {
        assert_eq!(answer(Case::delete("pods", "dev", "a").before(object(pod(node))), None), expected);
    }
}

#[test]
fn a_node_reports_what_a_claim_was_given() {
    let claim = json!({"metadata": {"name": "c"}, "spec": {"volumeName": "v"}, "status": {"phase": "Bound", "capacity": {"storage": "1"}}});
    let with = |path: &str, value: Value| {
        let mut new = claim.clone();
        *new.pointer_mut(path).expect("it is there") = value;
        new
    };
    let other = r#"node "n1" is not allowed to update fields other than status.quantity and status.conditions"#;
    for (resource, new, expected) in [
        ("persistentvolumeclaims/status", with("/status/capacity", json!({"storage": "2"})), "ok"),
        (
            "persistentvolumeclaims/status",
            with(
                "/status",
                json!({"phase": "Bound", "conditions": [], "allocatedResources": {}, "allocatedResourceStatuses": {}}),
            ),
            "ok",
        ),
        (
            "persistentvolumeclaims/status",
            with("/metadata", json!({"name": "c", "resourceVersion": "9", "managedFields": []})),
            "ok",
        ),
        ("persistentvolumeclaims/status", with("/status/phase", json!("Lost")), other),
        ("persistentvolumeclaims/status", with("/metadata", json!({"name": "c", "finalizers": ["x"]})), other),
        ("persistentvolumeclaims/status", with("/spec/volumeName", json!("w")), other),
        ("persistentvolumeclaims", claim.clone(), "may only update PVC status"),
    ] {
        assert_eq!(answer(update(resource, "dev", claim.clone()), Some(new.clone())), expected, "{new}");
    }
    assert_eq!(answer(Case::create("persistentvolumeclaims", "dev"), Some(claim)), "may only update PVC status");
}

#[test]
fn a_node_gets_tokens_for_its_own_pods() {
    let token = |pod: &str, uid: &str| {
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid});
        json!({"spec": {"boundObjectRef": bound, "audiences": ["granted"]}})
    };
    let cluster = r#"
        clusterroles ask rules=[{"verbs":["request-serviceaccounts-token-audience"],"apiGroups":[""],"resources":["granted"],"resourceNames":["web"]}]
        clusterrolebindings ask roleRef={"kind":"ClusterRole","name":"ask"} subjects=[{"kind":"Group","name":"system:nodes"}]
    "#;
    let unbound = "node requested token not bound to a pod";
    for (request, expected) in [
        (token("mine", "p1"), "ok"),
        (token("other", "p2"), "node requested token bound to a pod scheduled on a different node"),
        (token("waiting", "p4"), "node requested token bound to a pod scheduled on a different node"),
        (token("gone", "p1"), "pod \"gone\" not found"),
        (
            token("mine", "p2"),
            "the UID in the bound object reference (p2) does not match the UID in record. The object might have been \
             deleted and then recreated",
        ),
        (token("mine", ""), "node requested token with a pod binding without a uid"),
        (token("", "p1"), unbound),
        (json!({"spec": {}}), unbound),
        (json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "a", "uid": "b"}}}), unbound),
        (json!({"spec": {"boundObjectRef": {"apiVersion": "v2", "kind": "Pod", "name": "a", "uid": "b"}}}), unbound),
    ] {
        let case = Case::create("serviceaccounts/token", "dev").named("web").cluster(cluster);
        assert_eq!(answer(case, Some(request.clone())), expected, "{request}");
    }
    assert_eq!(answer(Case::create("serviceaccounts", "dev"), Some(json!({}))), "ok");
}

#[test]
fn tokens_are_for_whom_the_pod_needs_them() {
    let driver = |driver: &str| json!({"name": "v", "csi": {"driver": driver}});
    let claim = |claim: &str| json!({"name": "v", "persistentVolumeClaim": {"claimName": claim}});
    let projected = |audience: Value| json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"audience": audience}}]}});
    let cluster = r#"
        csidrivers d spec={"tokenRequests":[{"audience":"vault"}]}
        csidrivers plain spec={}
        persistentvolumeclaims/dev bound spec={"volumeName":"pv"}
        persistentvolumeclaims/dev asking-v spec={"volumeName":"pv"}
        persistentvolumeclaims/dev unbound spec={}
        persistentvolumeclaims/dev lost spec={"volumeName":"gone"}
        persistentvolumes pv spec={"csi":{"driver":"d"}}
    "#;
    let not_found = |audience: &str| {
        format!(
            "audience {audience:?} not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience"
        )
    };
    let unknown = |what: &str| format!("error validating audience \"vault\": {what} not found");
    let ok = || "ok".to_owned();
    for (volumes, audiences, expected) in [
        (json!([projected(json!("vault"))]), json!(["vault"]), ok()),
        (json!([projected(json!("vault"))]), json!(["bank"]), not_found("bank")),
        (json!([projected(json!("vault"))]), json!([]), not_found("")),
        (json!([projected(json!(null))]), json!([]), ok()),
        (json!([projected(json!(""))]), json!([]), ok()),
        (json!([]), json!(["vault"]), not_found("vault")),
        (
            json!([projected(json!("vault"))]),
            json!(["vault", "bank"]),
            "node may only request 0 or 1 audiences".to_owned(),
        ),
        (json!([driver("d")]), json!(["vault"]), ok()),
        (json!([driver("d")]), json!(["bank"]), not_found("bank")),
        (json!([driver("plain")]), json!(["vault"]), not_found("vault")),
        (json!([driver("gone")]), json!(["vault"]), unknown("csidriver.storage.k8s.io \"gone\"")),
        (json!([claim("bound")]), json!(["vault"]), ok()),
        (json!([claim("bound")]), json!(["bank"]), not_found("bank")),
        (json!([claim("unbound")]), json!(["vault"]), not_found("vault")),
        (json!([claim("gone")]), json!(["vault"]), unknown("persistentvolumeclaim \"gone\"")),
        (json!([claim("lost")]), json!(["vault"]), unknown("persistentvolume \"gone\"")),
        (json!([claim("lost"), driver("d")]), json!(["vault"]), ok()),
        (json!([{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]), json!(["vault"]), ok()),
    ] {
        let pod = json!({"metadata": {"name": "asking", "namespace": "dev", "uid": "p9"}, "spec": {"nodeName": "n1", "volumes": volumes}});
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "asking", "uid": "p9"});
        let request = json!({"spec": {"boundObjectRef": bound, "audiences": audiences}});
        let case = Case::create("serviceaccounts/token", "dev").cluster(cluster);
        case.objects.put("pods", object(pod));
        assert_eq!(answer(case, Some(request)), expected, "{volumes} {audiences}");
    }
}

#[test]
fn a_node_gets_certificates_for_its_own_pods() {
    let request = |change: Value| {
        let mut spec = json!({"podName": "mine", "podUID": "p1", "nodeName": "n1", "nodeUID": "u1",
            "serviceAccountName": "web", "serviceAccountUID": "s1"});
        change.as_object().expect("fields").iter().for_each(|(field, value)| spec[field] = value.clone());
        json!({"metadata": {"name": "r"}, "spec": spec})
    };
    let internal = "Internal error occurred: ";
    for (change, expected) in [
        (json!({}), "ok".to_owned()),
        (
            json!({"nodeName": "n2"}),
            r#"PodCertificateRequest.Spec.NodeName="n2", which is not the requesting node "n1""#.to_owned(),
        ),
        (
            json!({"nodeUID": "u9"}),
            format!(r#"{internal}PodCertificateRequest for pod "dev/mine" names node UID "u9", inconsistent with the running node ("u1")"#),
        ),
        (
            json!({"podName": "gone"}),
            format!(r#"{internal}while retrieving pod "dev/gone" named in the PodCertificateRequest: pod "gone" not found"#),
        ),
        (
            json!({"podUID": "p9"}),
            format!(r#"{internal}PodCertificateRequest for pod "dev/mine" contains pod UID ("p9") which differs from running pod "p1""#),
        ),
        (
            json!({"podName": "other", "podUID": "p2"}),
            r#"pod "dev/other" is not running on node "n1" named in the PodCertificateRequest"#.to_owned(),
        ),
        (json!({"podName": "mirror", "podUID": "p3"}), r#"pod "dev/mirror" is a mirror pod"#.to_owned()),
        (
            json!({"serviceAccountName": "root"}),
            r#"PodCertificateRequest for pod "dev/mine" contains serviceAccountName ("root") that differs from running pod ("web")"#.to_owned(),
        ),
        (
            json!({"serviceAccountUID": "s9"}),
            format!(r#"{internal}PodCertificateRequest for pod "dev/mine" names service account UID "s9", which differs from the running service account ("s1")"#),
        ),
    ] {
        let case = Case::create("podcertificaterequests.certificates.k8s.io", "dev");
        assert_eq!(answer(case, Some(request(change.clone()))), expected, "{change}");
    }
    let old = request(json!({}));
    let status = update("podcertificaterequests.certificates.k8s.io/status", "dev", old.clone());
    assert_eq!(answer(status, Some(old)), "unexpected operation UPDATE");
}

#[test]
fn a_node_asks_to_be_signed_as_itself() {
    for (signer, name, expected) in [
        (KUBELET_CLIENT_SIGNER, "system:node:n1", "ok"),
        (KUBELET_SERVING_SIGNER, "system:node:n1", "ok"),
        (KUBELET_CLIENT_SIGNER, "system:node:n2", "can only create a node CSR with CN=system:node:n1"),
        (KUBELET_SERVING_SIGNER, "jane", "can only create a node CSR with CN=system:node:n1"),
        ("example.com/other", "system:node:n2", "ok"),
    ] {
        let (pem, _) = csr::new_request(&LeafSpec::client(name, &["system:nodes"])).expect("a request");
        let request = csr::object("r", signer, &pem);
        let case = Case::create("certificatesigningrequests.certificates.k8s.io", "");
        assert_eq!(answer(case, Some(request.into_value())), expected, "{signer} {name}");
    }
    let unreadable = json!({"spec": {"signerName": KUBELET_CLIENT_SIGNER, "request": "eA=="}});
    let case = Case::create("certificatesigningrequests.certificates.k8s.io", "");
    assert!(answer(case, Some(unreadable)).starts_with("unable to parse csr: "));
}

#[test]
fn what_bears_the_name_of_the_node_is_its_own() {
    let lease = "can only access node lease with the same name as the requesting node";
    let csi = "can only access CSINode with the same name as the requesting node";
    for (resource, namespace, name, expected) in [
        ("leases.coordination.k8s.io", "kube-node-lease", "n1", "ok"),
        ("leases.coordination.k8s.io", "kube-node-lease", "n2", lease),
        (
            "leases.coordination.k8s.io",
            "kube-system",
            "n1",
            r#"can only access leases in the "kube-node-lease" system namespace"#,
        ),
        ("csinodes.storage.k8s.io", "", "n1", "ok"),
        ("csinodes.storage.k8s.io", "", "n2", csi),
    ] {
        let new = json!({"metadata": {"name": name}});
        assert_eq!(answer(Case::create(resource, namespace), Some(new.clone())), expected, "{resource} {name}");
        assert_eq!(answer(update(resource, namespace, new.clone()), Some(new)), expected, "{resource} {name}");
        assert_eq!(answer(Case::delete(resource, namespace, name), None), expected, "{resource} {name}");
    }
    let slice = |node: &str| json!({"metadata": {"name": "s"}, "spec": {"nodeName": node}});
    let resource = "resourceslices.resource.k8s.io";
    assert_eq!(answer(Case::create(resource, ""), Some(slice("n1"))), "ok");
    let foreign = "ResourceSlice with the same NodeName as the requesting node";
    assert_eq!(answer(Case::create(resource, ""), Some(slice("n2"))), format!("can only create {foreign}"));
    assert_eq!(
        answer(Case::create(resource, ""), Some(json!({"spec": {"allNodes": true}}))),
        format!("can only create {foreign}")
    );
    assert_eq!(answer(Case::delete(resource, "", "s").before(object(slice("n1"))), None), "ok");
    let deleted = Case::delete(resource, "", "s").before(object(slice("n2")));
    assert_eq!(answer(deleted, None), format!("can only delete {foreign}"));
}

use machinery::UserInfo;

use super::*;
use crate::authz::testing::of_resource;
use crate::view::testing::Objects;

const CLUSTER: &str = r#"
    pods/dev web spec={"nodeName":"n1","serviceAccountName":"web-sa","imagePullSecrets":[{"name":"pull"}],"resourceClaims":[{"name":"g","resourceClaimName":"gpu"},{"name":"t","resourceClaimTemplateName":"tpl"}],"volumes":[{"name":"a","secret":{"secretName":"tls"}},{"name":"b","configMap":{"name":"conf"}},{"name":"c","persistentVolumeClaim":{"claimName":"data"}},{"name":"d","projected":{"sources":[{"configMap":{"name":"ca"}},{"secret":{"name":"proj"}}]}},{"name":"e","ephemeral":{}},{"name":"f","csi":{"driver":"d","nodePublishSecretRef":{"name":"publish"}}},{"name":"g","flexVolume":{"driver":"x","secretRef":{"name":"flex"}}}],"containers":[{"name":"c","env":[{"name":"X","valueFrom":{"secretKeyRef":{"name":"env"}}},{"name":"Y","valueFrom":{"configMapKeyRef":{"name":"key"}}}],"envFrom":[{"configMapRef":{"name":"all"}},{"secretRef":{"name":"every"}}]}],"initContainers":[{"name":"i","envFrom":[{"secretRef":{"name":"init"}}]}],"ephemeralContainers":[{"name":"e","envFrom":[{"secretRef":{"name":"debug"}}]}]} status={"resourceClaimStatuses":[{"name":"t","resourceClaimName":"made"}],"extendedResourceClaimStatus":{"resourceClaimName":"extended"}}
    pods/dev other spec={"nodeName":"n2","serviceAccountName":"other-sa","volumes":[{"name":"a","secret":{"secretName":"foreign"}},{"name":"b","persistentVolumeClaim":{"claimName":"theirs"}}]}
    pods/dev waiting spec={"serviceAccountName":"waiting-sa","volumes":[{"name":"a","secret":{"secretName":"early"}}]}
    pods/dev mirror metadata.annotations={"kubernetes.io/config.mirror":"x"} spec={"nodeName":"n1","serviceAccountName":"admin","volumes":[{"name":"a","secret":{"secretName":"stolen"}}]}
    persistentvolumeclaims/dev data spec={"volumeName":"pv1"}
    persistentvolumeclaims/dev theirs spec={"volumeName":"pv2"}
    persistentvolumes pv1 spec={"claimRef":{"namespace":"dev","name":"data"},"csi":{"nodeStageSecretRef":{"namespace":"dev","name":"csi"}}}
    persistentvolumes pv2 spec={"claimRef":{"namespace":"dev","name":"theirs"},"csi":{"nodeStageSecretRef":{"namespace":"dev","name":"their-csi"}}}
    persistentvolumes pv3 spec={"claimRef":{"namespace":"dev","name":"nobody"}}
    persistentvolumes pv4 spec={}
    volumeattachments va1 spec={"nodeName":"n1"}
    volumeattachments va2 spec={"nodeName":"n2"}
    resourceslices s1 spec={"nodeName":"n1"}
    resourceslices s2 spec={"nodeName":"n2"}
    resourceslices s3 spec={"allNodes":true}
    podcertificaterequests/dev r1 spec={"nodeName":"n1"}
    podcertificaterequests/dev r2 spec={"nodeName":"n2"}
"#;

const UNRELATED: &str = "no relationship found between node 'n1' and this object";

/// `"get secrets dev/tls"`, `"create serviceaccounts/token dev/web-sa"`, `"list pods /?spec.nodeName=n1"`.
fn attributes(question: &str) -> Attributes {
    let words: Vec<&str> = question.split(' ').collect();
    let (namespace, name) = words[2].split_once('/').unwrap_or(("", words[2]));
    let (name, field_selector) = name.split_once('?').unwrap_or((name, ""));
    Attributes {
        user: UserInfo::new("system:node:n1", &["system:nodes"]),
        verb: words[0].to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        field_selector: field_selector.to_owned(),
        ..of_resource(words[1])
    }
}

/// What node `n1` is told: `yes`, or why there is no opinion.
fn check(questions: &[(&str, &str)]) {
    let objects = Objects::default();
    objects.apply(CLUSTER);
    let authorizer = NodeAuthorizer::new(Arc::new(objects));
    for (question, expected) in questions {
        let told = match authorizer.authorize(&attributes(question)) {
            Decision::Allow(_) => "yes".to_owned(),
            decision => decision.reason().to_owned(),
        };
        assert_eq!(told, *expected, "{question}");
    }
}

#[test]
fn a_node_reads_what_its_pods_refer_to() {
    let all = "can only read namespaced object of this type";
    check(&[
        ("get secrets dev/tls", "yes"),
        ("list secrets dev/tls", "yes"),
        ("watch secrets dev/tls", "yes"),
        ("get secrets dev/env", "yes"),
        ("get secrets dev/every", "yes"),
        ("get secrets dev/init", "yes"),
        ("get secrets dev/debug", "yes"),
        ("get secrets dev/proj", "yes"),
        ("get secrets dev/pull", "yes"),
        ("get secrets dev/publish", "yes"),
        ("get secrets dev/flex", "yes"),
        ("get secrets dev/csi", "yes"),
        ("get secrets dev/their-csi", UNRELATED),
        ("get secrets dev/foreign", UNRELATED),
        ("get secrets dev/early", UNRELATED),
        ("get secrets dev/stolen", UNRELATED),
        ("get secrets dev/none", UNRELATED),
        ("get secrets prod/tls", UNRELATED),
        ("list secrets dev/", "No Object name found"),
        ("list secrets /", all),
        ("watch configmaps /", all),
        ("update secrets dev/tls", "can only read resources of this type"),
        ("delete configmaps dev/conf", "can only read resources of this type"),
        ("get secrets/status dev/tls", "cannot read subresource"),
        ("get configmaps dev/conf", "yes"),
        ("get configmaps dev/ca", "yes"),
        ("get configmaps dev/all", "yes"),
        ("get configmaps dev/key", "yes"),
        ("get configmaps dev/none", UNRELATED),
    ]);
}

#[test]
fn a_node_reads_the_storage_and_devices_of_its_pods() {
    let one = "can only get individual resources of this type";
    check(&[
        ("get persistentvolumeclaims dev/data", "yes"),
        ("get persistentvolumeclaims dev/web-e", "yes"),
        ("get persistentvolumeclaims dev/theirs", UNRELATED),
        ("list persistentvolumeclaims dev/data", one),
        ("delete persistentvolumeclaims dev/data", one),
        ("patch persistentvolumeclaims/status dev/data", "yes"),
        ("update persistentvolumeclaims/status dev/data", "yes"),
        ("update persistentvolumeclaims/status dev/theirs", UNRELATED),
        ("delete persistentvolumeclaims/status dev/data", "can only get/update/patch this type"),
        ("get persistentvolumes pv1", "yes"),
        ("get persistentvolumes pv2", UNRELATED),
        ("get persistentvolumes pv3", UNRELATED),
        ("get persistentvolumes pv4", UNRELATED),
        ("get persistentvolumes pv9", UNRELATED),
        ("list persistentvolumes ", one),
        ("update persistentvolumes pv1", one),
        ("get volumeattachments.storage.k8s.io va1", "yes"),
        ("get volumeattachments.storage.k8s.io va2", UNRELATED),
        ("list volumeattachments.storage.k8s.io ", one),
        ("get volumeattachments.storage.k8s.io/status va1", "cannot get subresource"),
        ("list csidrivers.storage.k8s.io ", "yes"),
        ("watch csidrivers.storage.k8s.io ", "yes"),
        ("delete csidrivers.storage.k8s.io d", ""),
        ("get resourceclaims.resource.k8s.io dev/gpu", "yes"),
        ("get resourceclaims.resource.k8s.io dev/made", "yes"),
        ("get resourceclaims.resource.k8s.io dev/extended", "yes"),
        ("get resourceclaims.resource.k8s.io dev/tpl", UNRELATED),
        ("list resourceclaims.resource.k8s.io dev/", one),
        ("update resourceclaims.resource.k8s.io/status dev/gpu", one),
    ]);
}

#[test]
fn a_node_asks_for_what_its_pods_are_known_by() {
    let slices = "can only list/watch/deletecollection resourceslices with nodeName field selector";
    check(&[
        ("create serviceaccounts/token dev/web-sa", "yes"),
        ("create serviceaccounts/token dev/other-sa", UNRELATED),
        ("create serviceaccounts/token dev/waiting-sa", UNRELATED),
        ("create serviceaccounts/token dev/admin", UNRELATED),
        ("create serviceaccounts/token prod/web-sa", UNRELATED),
        ("create serviceaccounts/token dev/", "No Object name found"),
        ("create serviceaccounts dev/web-sa", "can only create token subresource"),
        ("get serviceaccounts dev/web-sa", "yes"),
        ("get serviceaccounts dev/admin", UNRELATED),
        ("get serviceaccounts/token dev/web-sa", "cannot get subresource"),
        ("delete serviceaccounts dev/web-sa", "can only create token or get serviceaccount for nodes"),
        ("create podcertificaterequests.certificates.k8s.io dev/", "yes"),
        ("get podcertificaterequests.certificates.k8s.io dev/r1", "yes"),
        ("get podcertificaterequests.certificates.k8s.io dev/r2", UNRELATED),
        ("watch podcertificaterequests.certificates.k8s.io /?spec.nodeName=n1", "yes"),
        (
            "list podcertificaterequests.certificates.k8s.io /?spec.nodeName=n2",
            "can only list/watch PodCertificateRequests with nodeName field selector",
        ),
        (
            "update podcertificaterequests.certificates.k8s.io/status dev/r1",
            "nodes may not access the status subresource of PodCertificateRequests",
        ),
        (
            "delete podcertificaterequests.certificates.k8s.io dev/r1",
            "only the following verbs are allowed for a PodCertificateRequest: create, get, list, watch",
        ),
        ("create certificatesigningrequests.certificates.k8s.io ", "yes"),
        ("update certificatesigningrequests.certificates.k8s.io/approval a", ""),
        ("create tokenreviews.authentication.k8s.io ", "yes"),
        ("create subjectaccessreviews.authorization.k8s.io ", "yes"),
        ("create resourceslices.resource.k8s.io ", "yes"),
        ("get resourceslices.resource.k8s.io s1", "yes"),
        ("patch resourceslices.resource.k8s.io s1", "yes"),
        ("delete resourceslices.resource.k8s.io s2", UNRELATED),
        ("get resourceslices.resource.k8s.io s3", UNRELATED),
        ("list resourceslices.resource.k8s.io /?spec.nodeName=n1", "yes"),
        ("deletecollection resourceslices.resource.k8s.io /?spec.nodeName=n1", "yes"),
        ("list resourceslices.resource.k8s.io /?spec.nodeName=n2", slices),
        ("watch resourceslices.resource.k8s.io /?spec.driver=a", slices),
        ("list resourceslices.resource.k8s.io /", slices),
    ]);
}

#[test]
fn a_node_writes_what_is_its_own() {
    let lease = "can only access node lease with the same name as the requesting node";
    let csi = "can only access CSINode with the same name as the requesting node";
    let pods = "can only list/watch pods with spec.nodeName field selector";
    check(&[
        ("get nodes n1", "yes"),
        ("watch nodes n1", "yes"),
        ("get nodes n2", "node 'n1' cannot read 'n2', only its own Node object"),
        ("list nodes ", "node 'n1' cannot read all nodes, only its own Node object"),
        ("create nodes ", "yes"),
        ("patch nodes n2", "yes"),
        ("patch nodes/status n1", "yes"),
        ("delete nodes n1", ""),
        ("get nodes/proxy n1", ""),
        ("update leases.coordination.k8s.io kube-node-lease/n1", "yes"),
        ("get leases.coordination.k8s.io kube-node-lease/n2", lease),
        ("update leases.coordination.k8s.io kube-node-lease/n2", lease),
        (
            "update leases.coordination.k8s.io kube-system/n1",
            r#"can only access leases in the "kube-node-lease" system namespace"#,
        ),
        ("create leases.coordination.k8s.io kube-node-lease/", "yes"),
        (
            "list leases.coordination.k8s.io kube-node-lease/",
            "can only get, create, update, patch, or delete a node lease",
        ),
        ("get csinodes.storage.k8s.io n1", "yes"),
        ("get csinodes.storage.k8s.io n2", csi),
        ("create csinodes.storage.k8s.io ", "yes"),
        ("list csinodes.storage.k8s.io ", "can only get, create, update, patch, or delete a CSINode"),
        ("get csinodes.storage.k8s.io/status n1", "cannot authorize CSINode subresources"),
        ("get pods dev/web", "yes"),
        ("get pods dev/mirror", "yes"),
        ("get pods dev/other", UNRELATED),
        ("get pods dev/waiting", UNRELATED),
        ("list pods /?spec.nodeName=n1", "yes"),
        ("watch pods dev/?spec.nodeName=n1,status.phase=Running", "yes"),
        ("list pods /?spec.nodeName=n2", pods),
        ("list pods /?spec.nodeName!=n1", pods),
        ("list pods /", pods),
        ("patch pods/status dev/web", "yes"),
        ("create pods/eviction dev/web", "yes"),
        ("create pods dev/", "yes"),
        ("delete pods dev/other", "yes"),
        ("update pods dev/web", ""),
        ("deletecollection pods dev/", ""),
        ("create pods/binding dev/web", ""),
        ("create pods/exec dev/web", ""),
        ("list services /", "yes"),
        ("list runtimeclasses.node.k8s.io ", "yes"),
        ("create deployments.apps dev/", ""),
        ("list namespaces ", ""),
        ("create clusterrolebindings.rbac.authorization.k8s.io ", ""),
    ]);
}

#[test]
fn it_has_no_opinion_on_others() {
    let objects = Objects::default();
    objects.apply(CLUSTER);
    let authorizer = NodeAuthorizer::new(Arc::new(objects));
    for (user, groups, expected) in [
        ("system:node:n1", &[][..], ""),
        ("jane", &["system:nodes"], ""),
        ("system:node:", &["system:nodes"], r#"unknown node for user "system:node:""#),
        ("system:node:n2", &["system:nodes"], "no relationship found between node 'n2' and this object"),
    ] {
        let attributes = Attributes { user: UserInfo::new(user, groups), ..attributes("get secrets dev/tls") };
        assert_eq!(authorizer.authorize(&attributes), Decision::NoOpinion(expected.to_owned()), "{user}");
    }
}

//! What tables show: the columns of every kind, and rows of objects that have something to tell.

use kinds::{Column, KindDef};
use machinery::Object;
use serde_json::{Value, json};

/// `Name Status` of kinds, in this form: `Name[:type][/format][+]`; a text has no type, `+` is for wide columns.
const HEADERS: &[(&str, &str, &str)] = &[
    ("", "configmaps", "Name/name, Data, Age"),
    ("", "endpoints", "Name/name, Endpoints, Age"),
    ("", "events", "Last Seen, Type, Reason, Object, Subobject+, Source+, Message, First Seen+, Count+, Name/name+"),
    ("", "limitranges", "Name/name, Created At:date"),
    ("", "namespaces", "Name/name, Status, Age"),
    (
        "",
        "nodes",
        "Name/name, Status, Roles, Age, Version, Internal-IP+, External-IP+, OS-Image+, Kernel-Version+, \
         Container-Runtime+",
    ),
    (
        "",
        "persistentvolumeclaims",
        "Name/name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode+",
    ),
    (
        "",
        "persistentvolumes",
        "Name/name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, VolumeAttributesClass, \
         Reason, Age, VolumeMode+",
    ),
    ("", "pods", "Name/name, Ready, Status, Restarts, Age, IP+, Node+, Nominated Node+, Readiness Gates+"),
    ("", "podtemplates", "Name/name, Containers, Images, Pod Labels"),
    (
        "",
        "replicationcontrollers",
        "Name/name, Desired:integer, Current:integer, Ready:integer, Age, Containers+, Images+, Selector+",
    ),
    ("", "resourcequotas", "Name/name, Request, Limit, Age"),
    ("", "secrets", "Name/name, Type, Data, Age"),
    ("", "serviceaccounts", "Name/name, Age"),
    ("", "services", "Name/name, Type, Cluster-IP, External-IP, Port(s), Age, Selector+"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", "Name/name, Mutations:integer, ParamKind, Age"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", "Name/name, PolicyName, ParamRef, Age"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "Name/name, Webhooks:integer, Age"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", "Name/name, Validations:integer, ParamKind, Age"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", "Name/name, PolicyName, ParamRef, Age"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "Name/name, Webhooks:integer, Age"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "Name/name, Created At:date"),
    ("apiregistration.k8s.io", "apiservices", "Name/name, Service, Available, Age"),
    ("apps", "controllerrevisions", "Name/name, Controller, Revision, Age"),
    (
        "apps",
        "daemonsets",
        "Name/name, Desired:integer, Current:integer, Ready:integer, Up-to-date:integer, Available:integer, \
         Node Selector, Age, Containers+, Images+, Selector+",
    ),
    ("apps", "deployments", "Name/name, Ready, Up-to-date, Available, Age, Containers+, Images+, Selector+"),
    (
        "apps",
        "replicasets",
        "Name/name, Desired:integer, Current:integer, Ready:integer, Age, Containers+, Images+, Selector+",
    ),
    ("apps", "statefulsets", "Name/name, Ready, Age, Containers+, Images+"),
    ("autoscaling", "horizontalpodautoscalers", "Name/name, Reference, Targets, MinPods, MaxPods, Replicas, Age"),
    (
        "batch",
        "cronjobs",
        "Name/name, Schedule, Timezone, Suspend:boolean, Active:integer, Last Schedule, Age, Containers+, Images+, \
         Selector+",
    ),
    ("batch", "jobs", "Name/name, Status, Completions, Duration, Age, Containers+, Images+, Selector+"),
    ("certificates.k8s.io", "clustertrustbundles", "Name/name, SignerName"),
    ("certificates.k8s.io", "podcertificaterequests", "Name/name, Age"),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        "Name/name, Age, SignerName, Requestor, RequestedDuration, Condition",
    ),
    ("coordination.k8s.io", "leasecandidates", "Name/name, LeaseName, BinaryVersion, EmulationVersion, Age"),
    ("coordination.k8s.io", "leases", "Name/name, Holder, Age"),
    ("discovery.k8s.io", "endpointslices", "Name/name, AddressType, Ports, Endpoints, Age"),
    (
        "flowcontrol.apiserver.k8s.io",
        "flowschemas",
        "Name/name, PriorityLevel, MatchingPrecedence, DistinguisherMethod, Age, MissingPL",
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations",
        "Name/name, Type, NominalConcurrencyShares, Queues, HandSize, QueueLengthLimit, Age",
    ),
    ("networking.k8s.io", "ingressclasses", "Name/name, Controller, Parameters, Age"),
    ("networking.k8s.io", "ingresses", "Name/name, Class, Hosts, Address, Ports, Age"),
    ("networking.k8s.io", "ipaddresses", "Name/name, ParentRef"),
    ("networking.k8s.io", "networkpolicies", "Name/name, Pod-Selector, Age"),
    ("networking.k8s.io", "servicecidrs", "Name/name, CIDRs, Age"),
    ("node.k8s.io", "runtimeclasses", "Name/name, Handler, Age"),
    ("policy", "poddisruptionbudgets", "Name/name, Min Available, Max Unavailable, Allowed Disruptions:integer, Age"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "Name/name, Role, Age, Users+, Groups+, ServiceAccounts+"),
    ("rbac.authorization.k8s.io", "clusterroles", "Name/name, Created At:date"),
    ("rbac.authorization.k8s.io", "rolebindings", "Name/name, Role, Age, Users+, Groups+, ServiceAccounts+"),
    ("rbac.authorization.k8s.io", "roles", "Name/name, Created At:date"),
    ("resource.k8s.io", "deviceclasses", "Name/name, Age"),
    ("resource.k8s.io", "resourceclaims", "Name/name, State, Age"),
    ("resource.k8s.io", "resourceclaimtemplates", "Name/name, Age"),
    ("resource.k8s.io", "resourceslices", "Name/name, Node, Driver, Pool, Age"),
    ("scheduling.k8s.io", "priorityclasses", "Name/name, Value:integer, Global-Default:boolean, Age, PreemptionPolicy"),
    (
        "storage.k8s.io",
        "csidrivers",
        "Name/name, AttachRequired:boolean, PodInfoOnMount:boolean, StorageCapacity:boolean, TokenRequests, \
         RequiresRepublish:boolean, Modes, Age",
    ),
    ("storage.k8s.io", "csinodes", "Name/name, Drivers:integer, Age"),
    ("storage.k8s.io", "csistoragecapacities", "Name/name, StorageClassName, Capacity"),
    (
        "storage.k8s.io",
        "storageclasses",
        "Name/name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age",
    ),
    ("storage.k8s.io", "volumeattachments", "Name/name, Attacher/name, PV, Node, Attached:boolean, Age"),
    ("storage.k8s.io", "volumeattributesclasses", "Name/name, DriverName, Age"),
    ("storagemigration.k8s.io", "storageversionmigrations", "Name/name, Age"),
];

fn header(column: &Column) -> String {
    let mut text = column.name.to_owned();
    if column.of_type != "string" {
        text += &format!(":{}", column.of_type);
    }
    if !column.format.is_empty() {
        text += &format!("/{}", column.format);
    }
    text + if column.priority == 0 { "" } else { "+" }
}

#[test]
fn tables_have_upstreams_columns() {
    for (group, resource, expected) in HEADERS {
        let kind = preferred(group, resource);
        assert_eq!(kind.shown_columns().iter().map(header).collect::<Vec<_>>().join(", "), *expected, "{kind:?}");
    }
    let stored = kinds::known().iter().filter(|kind| !kind.virtual_kind && kind.conversion.is_none());
    for kind in stored {
        assert!(
            HEADERS.iter().any(|(group, resource, _)| (*group, *resource) == (kind.group, kind.resource)),
            "{kind:?}"
        );
    }
}

fn preferred(group: &str, resource: &str) -> &'static KindDef {
    let found = kinds::known().iter().find(|kind| (kind.group, kind.resource) == (group, resource));
    found.unwrap_or_else(|| panic!("{group}/{resource}"))
}

/// The row of an object without name and age, which every kind shows alike.
fn row(kind: &KindDef, object: Value) -> String {
    let object = Object::from_value(object).unwrap();
    let told = kind.shown_columns().iter().filter(|column| !["Name", "Age"].contains(&column.name));
    let cell = |column: &Column| match (column.cell)(&object) {
        Value::String(text) => text,
        other => other.to_string(),
    };
    told.map(cell).collect::<Vec<_>>().join(" | ")
}

fn check(group: &str, resource: &str, cases: impl IntoIterator<Item = (Value, &'static str)>) {
    for (object, expected) in cases {
        assert_eq!(row(preferred(group, resource), object.clone()), expected, "{resource} {object}");
    }
}

#[test]
fn rows_of_workloads() {
    let template = json!({"spec": {"nodeSelector": {"b": "2", "a": "1"}, "containers": [
        {"name": "web", "image": "nginx"}, {"name": "log", "image": "fluent"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    check(
        "apps",
        "daemonsets",
        [(
            json!({"spec": {"selector": selector, "template": template}, "status": {"desiredNumberScheduled": 3,
            "currentNumberScheduled": 2, "numberReady": 1, "updatedNumberScheduled": 2}}),
            "3 | 2 | 1 | 2 | 0 | a=1,b=2 | web,log | nginx,fluent | app=web",
        )],
    );
    check(
        "apps",
        "deployments",
        [(
            json!({"spec": {"replicas": 3, "selector": selector, "template": template},
            "status": {"readyReplicas": 1, "updatedReplicas": 2}}),
            "1/3 | 2 | 0 | web,log | nginx,fluent | app=web",
        )],
    );
    check(
        "apps",
        "controllerrevisions",
        [
            (json!({"revision": 7}), "<none> | 7"),
            (
                json!({"revision": 1, "metadata": {"ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "a", "controller": true}]}}),
                "daemonset.apps/a | 1",
            ),
        ],
    );
    check(
        "batch",
        "jobs",
        [
            (
                json!({"spec": {"completions": 2}, "status": {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z",
                "completionTime": "2026-01-01T00:02:30Z", "conditions": [{"type": "Complete", "status": "True"}]}}),
                "Complete | 1/2 | 2m30s |  |  | <none>",
            ),
            (
                json!({"spec": {"parallelism": 3}, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
                "Terminating | 0/1 of 3 |  |  |  | <none>",
            ),
        ],
    );
    check(
        "batch",
        "cronjobs",
        [(
            json!({"spec": {"schedule": "@daily", "suspend": true, "timeZone": "Etc/UTC"}, "status": {"active": [{}]}}),
            "@daily | Etc/UTC | True | 1 | <none> |  |  | <none>",
        )],
    );
    check(
        "policy",
        "poddisruptionbudgets",
        [(json!({"spec": {"maxUnavailable": "20%"}, "status": {"disruptionsAllowed": 2}}), "N/A | 20% | 2")],
    );
}

#[test]
fn rows_of_the_network() {
    check(
        "",
        "endpoints",
        [
            (json!({}), "<none>"),
            (json!({"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.1"}]}]}), ""),
            (
                json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 443}]}]}),
                "10.0.0.1:80,[fd00::1]:80,10.0.0.1:443 + 1 more...",
            ),
        ],
    );
    check(
        "discovery.k8s.io",
        "endpointslices",
        [
            (json!({"addressType": "IPv4"}), "IPv4 | <unset> | <unset>"),
            (
                json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "dns"}, {}, {"port": 1}],
                "endpoints": [{"addresses": ["10.0.0.1"]}]}),
                "IPv4 | 80,dns,* + 1 more... | 10.0.0.1",
            ),
        ],
    );
    let hosts = |hosts: &[&str]| {
        let rules: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
        json!({"spec": {"rules": rules}})
    };
    check(
        "networking.k8s.io",
        "ingresses",
        [
            (hosts(&[]), "<none> | * |  | 80"),
            (hosts(&["", "a", "b", "c"]), "<none> | a,b,c |  | 80"),
            (hosts(&["a", "b", "c", ""]), "<none> | a,b,c + 1 more... |  | 80"),
            (
                json!({"spec": {"ingressClassName": "x", "tls": [{}]},
                "status": {"loadBalancer": {"ingress": [{"hostname": "b"}, {"ip": "1.2.3.4"}, {"hostname": "b"}]}}}),
                "x | * | 1.2.3.4,b | 80, 443",
            ),
        ],
    );
    check(
        "networking.k8s.io",
        "ingressclasses",
        [(
            json!({"spec": {"controller": "c", "parameters": {"apiGroup": "g.io", "kind": "P", "name": "n"}}}),
            "c | P.g.io/n",
        )],
    );
    check(
        "networking.k8s.io",
        "ipaddresses",
        [
            (json!({}), "<none>"),
            (
                json!({"spec": {"parentRef": {"group": "g.io", "resource": "Things", "namespace": "a", "name": "b"}}}),
                "things.g.io/a/b",
            ),
        ],
    );
    check("networking.k8s.io", "networkpolicies", [(json!({"spec": {"podSelector": {}}}), "<none>")]);
    check(
        "networking.k8s.io",
        "servicecidrs",
        [(json!({"spec": {"cidrs": ["10.0.0.0/8", "fd00::/64"]}}), "10.0.0.0/8,fd00::/64")],
    );
}

#[test]
fn rows_of_the_cluster() {
    check(
        "",
        "events",
        [
            (
                json!({"type": "Normal", "reason": "R", "involvedObject": {"kind": "Pod", "name": "a", "fieldPath": "spec"},
                "source": {"component": "kubelet", "host": "n1"}, "message": " done \n"}),
                "<unknown> | Normal | R | pod/a | spec | kubelet, n1 | done | <unknown> | 1",
            ),
            (
                json!({"involvedObject": {"kind": "Node"}, "series": {"count": 0}, "count": 4, "reportingComponent": "c"}),
                "<unknown> |  |  | node |  | c |  | <unknown> | 0",
            ),
        ],
    );
    check(
        "",
        "resourcequotas",
        [(
            json!({"status": {"hard": {"limits.cpu": "2", "pods": "10", "cpu": "4"}, "used": {"pods": "3"}}}),
            "cpu: 0/4, pods: 3/10 | limits.cpu: 0/2",
        )],
    );
    check(
        "certificates.k8s.io",
        "certificatesigningrequests",
        [
            (
                json!({"spec": {"signerName": "a/b", "username": "u", "expirationSeconds": 3600}}),
                "a/b | u | 60m | Pending",
            ),
            (
                json!({"status": {"certificate": "Yg==", "conditions": [{"type": "Approved"}, {"type": "Failed"}]}}),
                "<none> |  | <none> | Approved,Failed,Issued",
            ),
        ],
    );
    check(
        "flowcontrol.apiserver.k8s.io",
        "flowschemas",
        [(
            json!({"spec": {"priorityLevelConfiguration": {"name": "p"}, "matchingPrecedence": 5, "distinguisherMethod": {"type": "ByUser"}},
            "status": {"conditions": [{"type": "Dangling", "status": "False"}]}}),
            "p | 5 | ByUser | False",
        )],
    );
    check(
        "flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations",
        [
            (
                json!({"spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0}}}),
                "Exempt | <none> | <none> | <none> | <none>",
            ),
            (
                json!({"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 30,
                "limitResponse": {"queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}}}}}),
                "Limited | 30 | 64 | 8 | 50",
            ),
        ],
    );
    check(
        "rbac.authorization.k8s.io",
        "rolebindings",
        [(
            json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
            {"kind": "Group", "name": "g"}, {"kind": "ServiceAccount", "namespace": "a", "name": "s"},
            {"kind": "ServiceAccount", "name": "t"}]}),
            "Role/r | u, v | g | a/s, t",
        )],
    );
    check(
        "admissionregistration.k8s.io",
        "mutatingadmissionpolicies",
        [(json!({"spec": {"mutations": [{}, {}], "paramKind": {"apiVersion": "v1", "kind": "C"}}}), "2 | v1/C")],
    );
    check(
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        [
            (json!({"spec": {"policyName": "p"}}), "p | <unset>"),
            (json!({"spec": {"policyName": "p", "paramRef": {"name": "a"}}}), "p | */a"),
            (json!({"spec": {"policyName": "p", "paramRef": {"name": "a", "namespace": "b"}}}), "p | b/a"),
            (
                json!({"spec": {"policyName": "p", "paramRef": {"selector": {"matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "k", "operator": "In", "values": ["v", "w"]}]}}}}),
                "p | &LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{\
             LabelSelectorRequirement{Key:k,Operator:In,Values:[v w],},},}",
            ),
        ],
    );
}

#[test]
fn rows_of_storage_and_devices() {
    check(
        "",
        "persistentvolumeclaims",
        [
            (
                json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Pending"}}),
                "Pending |  |  |  |  | <unset> | <unset>",
            ),
            (
                json!({"spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Block", "volumeAttributesClassName": "c"},
                "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}}),
                "Bound | v | 2Gi | RWO,RWX | s | c | Block",
            ),
        ],
    );
    check(
        "",
        "persistentvolumes",
        [(
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "a", "name": "b"}}, "status": {"phase": "Bound"}}),
            "1Gi |  | Retain | Terminating | a/b |  | <unset> |  | <unset>",
        )],
    );
    check(
        "storage.k8s.io",
        "csidrivers",
        [(
            json!({"spec": {"attachRequired": true, "tokenRequests": [{"audience": "a"}, {"audience": "b"}]}}),
            "true | false | false | a,b | false | <none>",
        )],
    );
    let claim = |allocation: Value, reserved: Value, deleting: bool| {
        let mut claim = json!({"metadata": {}, "status": {"allocation": allocation, "reservedFor": reserved}});
        if deleting {
            claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        if allocation.is_null() {
            claim["status"].as_object_mut().unwrap().remove("allocation");
        }
        claim
    };
    check(
        "resource.k8s.io",
        "resourceclaims",
        [
            (claim(Value::Null, json!([]), false), "pending"),
            (claim(Value::Null, json!([{}]), false), "pending"),
            (claim(json!({}), json!([]), false), "allocated"),
            (claim(json!({}), json!([{}]), false), "allocated,reserved"),
            (claim(json!({}), json!([{}]), true), "deleted,allocated,reserved"),
            (claim(Value::Null, json!([]), true), "deleted"),
        ],
    );
}

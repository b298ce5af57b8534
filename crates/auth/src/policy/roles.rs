//! The default roles, but those of controllers.

use super::Line::{AllUrls, Named, On, Urls};
use super::{EVENTS, Line, READ, READ_UPDATE, READ_WRITE, Role, WRITE, cluster_role};

const CSR: &str = "certificates.k8s.io";

/// `system:node`, which no binding grants: the Node authorizer applies it.
pub(super) const NODE: &[Line] = &[
    On("create", "authentication.k8s.io", "tokenreviews"),
    On("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
    On(READ, "core", "services"),
    On("create get list watch", "core", "nodes"),
    On("update patch", "core", "nodes/status"),
    On("update patch", "core", "nodes"),
    On("create update patch", "core events.k8s.io", "events"),
    On(READ, "core", "pods"),
    On("create delete", "core", "pods"),
    On("update patch", "core", "pods/status"),
    On("create", "core", "pods/eviction"),
    On(READ, "core", "secrets configmaps"),
    On("get", "core", "persistentvolumeclaims persistentvolumes"),
    On("get", "core", "endpoints"),
    On("create get list watch", CSR, "certificatesigningrequests"),
    On("get create update patch delete", "coordination.k8s.io", "leases"),
    On("get", "storage.k8s.io", "volumeattachments"),
    On("get update patch", "core", "persistentvolumeclaims/status"),
    On("create", "core", "serviceaccounts/token"),
    On("get", "core", "serviceaccounts"),
    On(READ, "storage.k8s.io", "csidrivers"),
    On("get create update patch delete", "storage.k8s.io", "csinodes"),
    On(READ, "node.k8s.io", "runtimeclasses"),
    On("get", "resource.k8s.io", "resourceclaims"),
    On("deletecollection", "resource.k8s.io", "resourceslices"),
];

const EDIT: &[Line] = &[
    On(READ, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
    On("impersonate", "core", "serviceaccounts"),
    On(WRITE, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
    On("create", "core", "pods/eviction"),
    On(
        WRITE,
        "core",
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy
         persistentvolumeclaims configmaps secrets",
    ),
    On("create", "core", "serviceaccounts/token"),
    On(WRITE, "core events.k8s.io", "events"),
    On(
        WRITE,
        "apps",
        "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback
         replicasets replicasets/scale",
    ),
    On(WRITE, "autoscaling", "horizontalpodautoscalers"),
    On(WRITE, "batch", "jobs cronjobs"),
    On(
        WRITE,
        "extensions",
        "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale
         replicationcontrollers/scale networkpolicies",
    ),
    On(WRITE, "policy", "poddisruptionbudgets"),
    On(WRITE, "networking.k8s.io", "networkpolicies ingresses"),
    On(READ_WRITE, "coordination.k8s.io", "leases"),
    On(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
];

const VIEW: &[Line] = &[
    On(
        READ,
        "core",
        "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status
         endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps",
    ),
    On(
        READ,
        "core",
        "limitranges resourcequotas bindings pods/status resourcequotas/status namespaces/status
         replicationcontrollers/status pods/log",
    ),
    On(READ, "core", "namespaces"),
    On(READ, "core events.k8s.io", "events"),
    On(READ, "discovery.k8s.io", "endpointslices"),
    On(
        READ,
        "apps",
        "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status
         deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale",
    ),
    On(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    On(READ, "batch", "jobs cronjobs cronjobs/status jobs/status"),
    On(
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses
         ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale
         networkpolicies",
    ),
    On(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    On(READ, "networking.k8s.io", "networkpolicies ingresses ingresses/status"),
    On(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
];

const CONTROLLER_MANAGER: &[Line] = &[
    EVENTS,
    On("create", "coordination.k8s.io", "leases"),
    Named("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
    On("create", "core", "secrets serviceaccounts"),
    On("delete", "core", "secrets"),
    On("get", "core", "namespaces secrets serviceaccounts configmaps"),
    On("update", "core", "secrets serviceaccounts"),
    On("create", "authentication.k8s.io", "tokenreviews"),
    On("create", "authorization.k8s.io", "subjectaccessreviews"),
    On("list watch", "*", "*"),
    On("create", "core", "serviceaccounts/token"),
];

const SCHEDULER: &[Line] = &[
    EVENTS,
    On("create", "coordination.k8s.io", "leases"),
    Named("get update list watch", "coordination.k8s.io", "leases", "kube-scheduler"),
    On(READ_WRITE, "coordination.k8s.io", "leasecandidates"),
    On(READ, "core", "nodes"),
    On("get list watch delete", "core", "pods"),
    On("create", "core", "pods/binding bindings"),
    On("patch update", "core", "pods/status"),
    On(READ, "core", "services replicationcontrollers"),
    On(READ, "apps extensions", "replicasets"),
    On(READ, "apps", "statefulsets"),
    On(READ, "policy", "poddisruptionbudgets"),
    On(READ, "core", "persistentvolumeclaims persistentvolumes"),
    On("create", "authentication.k8s.io", "tokenreviews"),
    On("create", "authorization.k8s.io", "subjectaccessreviews"),
    On(READ, "storage.k8s.io", "csinodes"),
    On(READ, "core", "namespaces"),
    On(READ, "storage.k8s.io", "csidrivers"),
    On(READ, "storage.k8s.io", "csistoragecapacities"),
    On(READ, "storage.k8s.io", "volumeattachments"),
    On(READ, "resource.k8s.io", "deviceclasses"),
    On(READ_UPDATE, "resource.k8s.io", "resourceclaims"),
    On(READ_UPDATE, "resource.k8s.io", "resourceclaims/status"),
    On("update", "core", "pods/finalizers"),
    On(READ, "resource.k8s.io", "resourceslices"),
];

pub(super) const CLUSTER_ROLES: &[Role] = &[
    cluster_role("cluster-admin", &[On("*", "*", "*"), AllUrls]),
    cluster_role(
        "system:discovery",
        &[Urls("/livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*")],
    ),
    cluster_role(
        "system:monitoring",
        &[
            Urls("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
            On("get", "core", "nodes/metrics"),
        ],
    ),
    cluster_role(
        "system:basic-user",
        &[
            On("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
            On("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    cluster_role("system:public-info-viewer", &[Urls("/livez /readyz /healthz /version /version/")]),
    Role { name: "admin", namespace: "", aggregate_to: "", aggregated_from: "admin", lines: &[] },
    Role { name: "edit", namespace: "", aggregate_to: "admin", aggregated_from: "edit", lines: &[] },
    Role { name: "view", namespace: "", aggregate_to: "edit", aggregated_from: "view", lines: &[] },
    Role {
        name: "system:aggregate-to-admin",
        namespace: "",
        aggregate_to: "admin",
        aggregated_from: "",
        lines: &[
            On("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            On(READ_WRITE, "rbac.authorization.k8s.io", "roles rolebindings"),
        ],
    },
    Role { name: "system:aggregate-to-edit", namespace: "", aggregate_to: "edit", aggregated_from: "", lines: EDIT },
    Role { name: "system:aggregate-to-view", namespace: "", aggregate_to: "view", aggregated_from: "", lines: VIEW },
    Role {
        name: "system:aggregated-metrics-reader",
        namespace: "",
        aggregate_to: "view",
        aggregated_from: "",
        lines: &[On(READ, "metrics.k8s.io", "pods nodes")],
    },
    cluster_role(
        "system:heapster",
        &[On(READ, "core", "events pods nodes namespaces"), On(READ, "extensions", "deployments")],
    ),
    cluster_role("system:node", NODE),
    cluster_role(
        "system:node-problem-detector",
        &[On("get", "core", "nodes"), On("patch", "core", "nodes/status"), EVENTS],
    ),
    cluster_role(
        "system:kubelet-api-admin",
        &[
            On(READ, "core", "nodes"),
            On("proxy", "core", "nodes"),
            On("*", "core", "nodes/proxy nodes/metrics nodes/stats nodes/log nodes/configz nodes/healthz nodes/pods"),
        ],
    ),
    cluster_role("system:node-bootstrapper", &[On("create get list watch", CSR, "certificatesigningrequests")]),
    cluster_role(
        "system:auth-delegator",
        &[
            On("create", "authentication.k8s.io", "tokenreviews"),
            On("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    ),
    cluster_role("system:kube-aggregator", &[On(READ, "core", "services endpoints")]),
    cluster_role("system:kube-controller-manager", CONTROLLER_MANAGER),
    cluster_role(
        "system:kube-dns",
        &[On("list watch", "core", "endpoints services"), On("list watch", "discovery.k8s.io", "endpointslices")],
    ),
    cluster_role(
        "system:persistent-volume-provisioner",
        &[
            On("get list watch create delete", "core", "persistentvolumes"),
            On("get list watch update", "core", "persistentvolumeclaims"),
            On(READ, "storage.k8s.io", "storageclasses"),
            On("watch", "core", "events"),
            EVENTS,
        ],
    ),
    cluster_role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[On("create", CSR, "certificatesigningrequests/nodeclient")],
    ),
    cluster_role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[On("create", CSR, "certificatesigningrequests/selfnodeclient")],
    ),
    cluster_role(
        "system:volume-scheduler",
        &[
            On(READ_UPDATE, "core", "persistentvolumes"),
            On(READ, "storage.k8s.io", "storageclasses"),
            On(READ_UPDATE, "core", "persistentvolumeclaims"),
        ],
    ),
    cluster_role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[Named("approve", CSR, "signers", "kubernetes.io/legacy-unknown")],
    ),
    cluster_role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[Named("approve", CSR, "signers", "kubernetes.io/kubelet-serving")],
    ),
    cluster_role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[Named("approve", CSR, "signers", "kubernetes.io/kube-apiserver-client")],
    ),
    cluster_role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[Named("approve", CSR, "signers", "kubernetes.io/kube-apiserver-client-kubelet")],
    ),
    cluster_role(
        "system:service-account-issuer-discovery",
        &[Urls(
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    cluster_role(
        "system:node-proxier",
        &[
            On("list watch", "core", "services endpoints"),
            On(READ, "core", "nodes"),
            EVENTS,
            On("list watch", "discovery.k8s.io", "endpointslices"),
            On("list watch", "networking.k8s.io", "servicecidrs"),
        ],
    ),
    cluster_role("system:kube-scheduler", SCHEDULER),
    // Every node runs the pod network, the service proxy, network policy and DNS, which look beyond the
    // node's own pods. Upstream gives them service accounts of their own.
    cluster_role(
        "keelson:node-network",
        &[
            On(READ, "core", "services nodes namespaces pods endpoints"),
            On(READ, "discovery.k8s.io", "endpointslices"),
            On(READ, "networking.k8s.io", "networkpolicies servicecidrs"),
            Named(READ, "core", "configmaps", "keelson-cluster"),
        ],
    ),
];

const fn role(name: &'static str, namespace: &'static str, lines: &'static [Line]) -> Role {
    Role { name, namespace, aggregate_to: "", aggregated_from: "", lines }
}

/// Taking part in the election of a leader.
const LEADER_LOCKS: &[Line] = &[
    On("get watch list create update", "coordination.k8s.io", "leases"),
    On("get watch list create update", "coordination.k8s.io", "leasecandidates"),
];

pub(super) const NAMESPACE_ROLES: &[Role] = &[
    role(
        "extension-apiserver-authentication-reader",
        "kube-system",
        &[Named(READ, "core", "configmaps", "extension-apiserver-authentication")],
    ),
    role("system:controller:bootstrap-signer", "kube-system", &[On(READ, "core", "secrets")]),
    role("system:controller:cloud-provider", "kube-system", &[On("create get list watch", "core", "configmaps")]),
    role("system:controller:token-cleaner", "kube-system", &[On("get list watch delete", "core", "secrets"), EVENTS]),
    role("system::leader-locking-kube-controller-manager", "kube-system", LEADER_LOCKS),
    role("system::leader-locking-kube-scheduler", "kube-system", LEADER_LOCKS),
    role(
        "system:controller:bootstrap-signer",
        "kube-public",
        &[On(READ, "core", "configmaps"), Named("update", "core", "configmaps", "cluster-info"), EVENTS],
    ),
];

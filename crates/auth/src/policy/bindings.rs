//! Who gets the default roles.

use super::Binding;
use super::Subject::{self, Group, ServiceAccount, User};

const CONTROLLER_MANAGER: Subject = User("system:kube-controller-manager");
const SCHEDULER: Subject = User("system:kube-scheduler");
const AUTHENTICATED: Subject = Group("system:authenticated");
const NODES: Subject = Group("system:nodes");
const BOOTSTRAPPERS: Subject = Group("system:bootstrappers");

/// The role that unites those of all controllers.
pub(super) const ALL_CONTROLLERS: &str = "keelson:controllers";

/// A binding named as its role.
const fn grant(role: &'static str, subjects: &'static [Subject]) -> Binding {
    Binding { name: role, namespace: "", role, subjects }
}

const fn named_grant(name: &'static str, role: &'static str, subjects: &'static [Subject]) -> Binding {
    Binding { name, namespace: "", role, subjects }
}

pub(super) const CLUSTER_BINDINGS: &[Binding] = &[
    grant("cluster-admin", &[Group("system:masters")]),
    grant("system:monitoring", &[Group("system:monitoring")]),
    grant("system:discovery", &[AUTHENTICATED]),
    grant("system:basic-user", &[AUTHENTICATED]),
    grant("system:public-info-viewer", &[AUTHENTICATED, Group("system:unauthenticated")]),
    grant("system:node-proxier", &[User("system:kube-proxy")]),
    grant("system:kube-controller-manager", &[CONTROLLER_MANAGER]),
    grant("system:kube-dns", &[ServiceAccount("kube-dns")]),
    grant("system:kube-scheduler", &[SCHEDULER]),
    grant("system:volume-scheduler", &[SCHEDULER]),
    // Without subjects: the Node authorizer stands in for it.
    grant("system:node", &[]),
    grant("system:service-account-issuer-discovery", &[Group("system:serviceaccounts")]),
    grant(ALL_CONTROLLERS, &[CONTROLLER_MANAGER]),
    grant("keelson:node-network", &[NODES]),
    // How machines join and keep their certificates fresh.
    named_grant("keelson:node-bootstrap", "system:node-bootstrapper", &[BOOTSTRAPPERS]),
    named_grant(
        "keelson:node-approve-bootstrap",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[BOOTSTRAPPERS],
    ),
    named_grant(
        "keelson:node-approve-renewal",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[NODES],
    ),
];

const fn local(
    name: &'static str,
    namespace: &'static str,
    role: &'static str,
    subjects: &'static [Subject],
) -> Binding {
    Binding { name, namespace, role, subjects }
}

pub(super) const NAMESPACE_BINDINGS: &[Binding] = &[
    local(
        "system::extension-apiserver-authentication-reader",
        "kube-system",
        "extension-apiserver-authentication-reader",
        &[CONTROLLER_MANAGER, SCHEDULER],
    ),
    local(
        "system::leader-locking-kube-controller-manager",
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        &[CONTROLLER_MANAGER, ServiceAccount("kube-controller-manager"), ServiceAccount("leader-election-controller")],
    ),
    local(
        "system::leader-locking-kube-scheduler",
        "kube-system",
        "system::leader-locking-kube-scheduler",
        &[SCHEDULER, ServiceAccount("kube-scheduler")],
    ),
    local(
        "system:controller:bootstrap-signer",
        "kube-system",
        "system:controller:bootstrap-signer",
        &[ServiceAccount("bootstrap-signer"), CONTROLLER_MANAGER],
    ),
    local(
        "system:controller:cloud-provider",
        "kube-system",
        "system:controller:cloud-provider",
        &[ServiceAccount("cloud-provider")],
    ),
    local(
        "system:controller:token-cleaner",
        "kube-system",
        "system:controller:token-cleaner",
        &[ServiceAccount("token-cleaner"), CONTROLLER_MANAGER],
    ),
    local(
        "system:controller:bootstrap-signer",
        "kube-public",
        "system:controller:bootstrap-signer",
        &[ServiceAccount("bootstrap-signer"), CONTROLLER_MANAGER],
    ),
];

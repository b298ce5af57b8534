//! The roles and bindings that every cluster starts with.
//!
//! Kept as a short table: whitespace parts the words of a rule, and the word `core` stands for the API
//! group without a name. `roles` and `controllers` hold what upstream grants (upstream:
//! plugin/pkg/auth/authorizer/rbac/bootstrappolicy), `bindings` who gets it.
//!
//! Compared with upstream role by role. What differs is meant:
//! - `keelson:*` roles and bindings: how machines join, what the network on every node reads, and one role that unites
//!   those of all controllers, which run as `system:kube-controller-manager` and sign bootstrap data under that name.
//! - `system:aggregated-metrics-reader`, which comes with metrics-server elsewhere: metrics are built in.
//! - The certificate controller may approve `kubernetes.io/kubelet-serving`, as an approver is built in.
//! - `system:kube-dns` may read endpoint slices.
//! - The controllers of volumes may not read Services, which only Portworx's volumes need.
//! - Roles behind gates that are off by default are left out, such as those of cluster trust bundles, pod certificates
//!   and device taints; that of the migrator is there where migrations of stored versions are served.

mod bindings;
mod controllers;
mod reconcile;
mod roles;
#[cfg(test)]
mod tests;

use machinery::Object;
use serde_json::{Value, json};

use crate::authz::rules::Rule;
pub use reconcile::reconcile;

pub(crate) const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
const RBAC_VERSION: &str = "rbac.authorization.k8s.io/v1";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const CORE: &str = "core";

/// One line of a role.
#[derive(Clone, Copy)]
enum Line {
    /// Verbs, API groups, resources.
    On(&'static str, &'static str, &'static str),
    /// The same, for objects of these names.
    Named(&'static str, &'static str, &'static str, &'static str),
    /// GET of these paths.
    Urls(&'static str),
    /// Every verb on every path.
    AllUrls,
}

const READ: &str = "get list watch";
const WRITE: &str = "create update patch delete deletecollection";
const READ_WRITE: &str = "get list watch create update patch delete deletecollection";
const READ_UPDATE: &str = "get list watch update patch";

/// Writing events, which nearly every component does.
const EVENTS: Line = Line::On("create update patch", "core events.k8s.io", "events");

struct Role {
    name: &'static str,
    /// Empty for a ClusterRole.
    namespace: &'static str,
    /// The role counts into `admin`, `edit` or `view`; empty: into none.
    aggregate_to: &'static str,
    /// The role is made of all that count into it by this word; `lines` is then empty.
    aggregated_from: &'static str,
    lines: &'static [Line],
}

const fn cluster_role(name: &'static str, lines: &'static [Line]) -> Role {
    Role { name, namespace: "", aggregate_to: "", aggregated_from: "", lines }
}

/// Who a role is granted to.
#[derive(Clone, Copy)]
enum Subject {
    User(&'static str),
    Group(&'static str),
    /// A service account of `kube-system`.
    ServiceAccount(&'static str),
}

struct Binding {
    name: &'static str,
    namespace: &'static str,
    role: &'static str,
    subjects: &'static [Subject],
}

/// The default ClusterRoles, ClusterRoleBindings, Roles and RoleBindings, in this order.
pub fn bootstrap_policy() -> Vec<Object> {
    let mut objects: Vec<Object> = roles::CLUSTER_ROLES.iter().map(role_object).collect();
    objects.extend(controllers::CONTROLLERS.iter().map(|(name, lines)| controller_role(name, lines)));
    objects.push(all_controllers_role());
    objects.extend(bindings::CLUSTER_BINDINGS.iter().map(binding_object));
    objects.extend(controllers::CONTROLLERS.iter().map(|(name, _)| controller_binding(name)));
    objects.extend(roles::NAMESPACE_ROLES.iter().map(role_object));
    objects.extend(bindings::NAMESPACE_BINDINGS.iter().map(binding_object));
    objects
}

/// What is there besides where migrations of stored versions are served: upstream's role, for its account and for the
/// user that runs controllers here.
fn migrator_policy() -> Vec<Object> {
    const NAME: &str = "storage-version-migrator-controller";
    const LINES: &[Line] = &[
        Line::On("list create patch", "*", "*"),
        Line::On("update", "storagemigration.k8s.io", "storageversionmigrations/status"),
    ];
    let role = controller_name(NAME);
    let user = [Subject::User("system:kube-controller-manager")];
    vec![
        controller_role(NAME, LINES),
        controller_binding(NAME),
        binding("ClusterRoleBinding", "keelson:storage-version-migrator", "", &role, &user),
    ]
}

/// What the Node authorizer grants to every node: the rules of `system:node`.
pub(crate) fn node_rules() -> Vec<Rule> {
    roles::NODE.iter().map(|line| Rule::from_value(&line_value(line))).collect()
}

fn role_object(role: &Role) -> Object {
    let kind = if role.namespace.is_empty() { "ClusterRole" } else { "Role" };
    let mut object = named(kind, role.name, role.namespace);
    if !role.aggregate_to.is_empty() {
        let label = format!("{RBAC_GROUP}/aggregate-to-{}", role.aggregate_to);
        object.set(&["metadata", "labels", &label], "true");
    }
    if !role.aggregated_from.is_empty() {
        let label = format!("{RBAC_GROUP}/aggregate-to-{}", role.aggregated_from);
        object.set(&["aggregationRule"], json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}));
    }
    object.set(&["rules"], role.lines.iter().map(line_value).collect::<Vec<_>>());
    object
}

fn controller_name(name: &str) -> String {
    format!("system:controller:{name}")
}

fn controller_role(name: &str, lines: &[Line]) -> Object {
    let mut object = named("ClusterRole", &controller_name(name), "");
    object.set(&["rules"], lines.iter().map(line_value).collect::<Vec<_>>());
    object
}

/// Upstream's controllers act as a service account each. Ours may also run as one user, who then needs
/// what all of them need; and who patches where upstream's update.
fn all_controllers_role() -> Object {
    let mut object = named("ClusterRole", bindings::ALL_CONTROLLERS, "");
    let mut rules: Vec<Value> = Vec::new();
    for line in controllers::CONTROLLERS.iter().flat_map(|(_, lines)| lines.iter()) {
        let mut rule = line_value(line);
        if let Some(verbs) = rule["verbs"].as_array_mut().filter(|verbs| verbs.contains(&json!("update"))) {
            verbs.push(json!("patch"));
            verbs.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            verbs.dedup();
        }
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    object.set(&["rules"], rules);
    object
}

fn controller_binding(name: &'static str) -> Object {
    let role = controller_name(name);
    binding("ClusterRoleBinding", &role, "", &role, &[Subject::ServiceAccount(name)])
}

fn binding_object(of: &Binding) -> Object {
    let kind = if of.namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
    binding(kind, of.name, of.namespace, of.role, of.subjects)
}

fn binding(kind: &str, name: &str, namespace: &str, role: &str, subjects: &[Subject]) -> Object {
    let role_kind = if kind == "RoleBinding" { "Role" } else { "ClusterRole" };
    let mut object = named(kind, name, namespace);
    object.set(&["roleRef"], json!({"apiGroup": RBAC_GROUP, "kind": role_kind, "name": role}));
    if !subjects.is_empty() {
        object.set(&["subjects"], subjects.iter().map(subject_value).collect::<Vec<_>>());
    }
    object
}

fn subject_value(subject: &Subject) -> Value {
    match subject {
        Subject::User(name) => json!({"apiGroup": RBAC_GROUP, "kind": "User", "name": name}),
        Subject::Group(name) => json!({"apiGroup": RBAC_GROUP, "kind": "Group", "name": name}),
        Subject::ServiceAccount(name) => json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}),
    }
}

fn named(kind: &str, name: &str, namespace: &str) -> Object {
    let mut object = Object::default();
    object.set(&["apiVersion"], RBAC_VERSION);
    object.set(&["kind"], kind);
    object.set(&["metadata", "name"], name);
    if !namespace.is_empty() {
        object.set(&["metadata", "namespace"], namespace);
    }
    object.set(&["metadata", "labels", "kubernetes.io/bootstrapping"], "rbac-defaults");
    object.set(&["metadata", "annotations", AUTOUPDATE], "true");
    object
}

fn line_value(line: &Line) -> Value {
    match line {
        Line::On(verbs, groups, resources) => {
            json!({"apiGroups": words(groups), "resources": words(resources), "verbs": words(verbs)})
        }
        Line::Named(verbs, groups, resources, names) => json!({
            "apiGroups": words(groups), "resources": words(resources),
            "resourceNames": words(names), "verbs": words(verbs),
        }),
        Line::Urls(urls) => json!({"nonResourceURLs": words(urls), "verbs": ["get"]}),
        Line::AllUrls => json!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
    }
}

/// Sorted, as upstream sorts them.
fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = text.split_whitespace().map(|word| if word == CORE { "" } else { word }).collect();
    words.sort_unstable();
    words
}

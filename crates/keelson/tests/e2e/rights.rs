//! Who one is and what one may, as each kubectl tells and changes it.

use std::path::Path;

use auth::csr;
use auth::pki::LeafSpec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Cluster, Output};

const RULES: &str = r#"---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: readers}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, VERB]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ROLE}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: USER}]
"#;

struct Kubectl<'a> {
    cluster: &'a Cluster,
    program: &'a Path,
}

impl Kubectl<'_> {
    fn run(&self, line: &str) -> Output {
        Output::of(self.cluster.kubectl_command_of(self.program).args(line.split_whitespace()))
    }

    /// With a kubeconfig whose user is this.
    fn run_as(&self, user: &str, line: &str) -> Output {
        let kubeconfig = format!(
            "clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:6443', insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: u, user: {user}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
             current-context: x\n"
        );
        let kubeconfig = self.cluster.file("somebody", &kubeconfig);
        let mut command = self.cluster.machine.command(self.program.to_str().expect("a plain path"));
        command.arg("--kubeconfig").arg(kubeconfig).args(line.split_whitespace());
        Output::of(command.env("HOME", self.cluster.scratch()))
    }

    /// Name and groups of a user, as kubectl before 1.28 can ask too.
    fn whoami(&self, user: &str) -> String {
        let review = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
        let review = self.cluster.file("review.json", review);
        let path = "jsonpath={.status.userInfo.username}{.status.userInfo.groups}";
        self.run_as(user, &format!("create --validate=false -f {} -o {path}", review.display())).succeeds()
    }
}

pub fn drive(cluster: &Cluster, program: &Path) {
    let kubectl = Kubectl { cluster, program };
    rules(&kubectl);
    certificates(&kubectl);
    tokens(&kubectl);
    kubectl.run("delete clusterrolebinding,clusterrole readers").succeeds();
}

fn rules(kubectl: &Kubectl<'_>) {
    let reconcile = |verb: &str, role: &str, user: &str, more: &str| {
        let text = RULES.replace("VERB", verb).replace("ROLE", role).replace("USER", user);
        let file = kubectl.cluster.file("rules.yaml", &text);
        let said = kubectl.run(&format!("auth reconcile {more} -f {}", file.display()));
        said.clone().succeeds();
        said.stderr
    };
    let may = |line: &str| kubectl.run(&format!("auth can-i {line}")).stdout.trim().to_owned();
    reconcile("list", "readers", "jane", "");
    let said = reconcile("watch", "readers", "joe", "");
    assert_eq!(said.matches("reconciliation required update").count(), 2, "{said}");
    assert_eq!(
        [may("list pods --as jane"), may("watch pods --as joe"), may("delete pods --as joe")],
        ["yes", "yes", "no"]
    );
    reconcile("watch", "readers", "joe", "--remove-extra-permissions --remove-extra-subjects");
    assert_eq!(
        [may("get pods --as jane"), may("list pods --as joe"), may("watch pods -A --as joe")],
        ["no", "no", "yes"]
    );
    let said = reconcile("watch", "view", "joe", "");
    assert!(said.contains("reconciliation required recreate"), "{said}");
    assert_eq!(may("list services --as joe"), "yes");
    reconcile("watch", "readers", "joe", "");
    let list = kubectl.run("auth can-i --list --as joe").succeeds();
    let row = |of: &str| list.lines().find(|line| line.starts_with(of)).unwrap_or_default().to_owned();
    assert!(row("pods ").contains("[get watch]"), "{list}");
    assert!(row("selfsubjectreviews.authentication.k8s.io ").contains("[create]"), "{list}");
    assert_eq!(may("'*' '*' --as jane --as-group system:masters").as_str(), "yes");
    let refused = kubectl.run("get secrets --as joe --as-group dev").fails();
    assert!(refused.contains("secrets is forbidden: User \"joe\" cannot list resource \"secrets\""), "{refused}");
}

fn certificates(kubectl: &Kubectl<'_>) {
    let (request, key) = csr::new_request(&LeafSpec::client("jane", &["dev"])).expect("a request is made");
    for (name, answer) in [("jane", "approve"), ("other", "deny")] {
        let mut object = csr::object(name, "kubernetes.io/kube-apiserver-client", &request).into_value();
        object["spec"]["expirationSeconds"] = 3600.into();
        let file = kubectl.cluster.file("csr.json", &object.to_string());
        kubectl.run(&format!("create -f {}", file.display())).succeeds();
        kubectl.run(&format!("certificate {answer} {name}")).succeeds();
    }
    kubectl.cluster.until_field("csr jane", ".status.conditions[*].type", "Approved");
    let listed = kubectl.run("get csr --no-headers").succeeds();
    let row = |of: &str| listed.lines().find(|line| line.starts_with(of)).unwrap_or_default().to_owned();
    assert!(row("other ").ends_with("Denied") && row("jane ").contains("kubernetes-admin"), "{listed}");
    let certificate = crate::support::until("it is signed", || {
        let text = kubectl.cluster.field("csr jane", ".status.certificate");
        (!text.is_empty()).then_some(text)
    });
    let key = STANDARD.encode(key);
    let user = format!("{{client-certificate-data: {certificate}, client-key-data: {key}}}");
    assert_eq!(kubectl.whoami(&user), "jane[\"dev\",\"system:authenticated\"]");
    kubectl.run("delete csr jane other").succeeds();
}

fn tokens(kubectl: &Kubectl<'_>) {
    kubectl.run("create serviceaccount robot").succeeds();
    let token = kubectl.run("create token robot --duration 10m").succeeds();
    let plain = format!("{{token: {}}}", token.trim());
    let groups = r#"["system:serviceaccounts","system:serviceaccounts:default","system:authenticated"]"#;
    let robot = format!("system:serviceaccount:default:robot{groups}");
    assert_eq!(kubectl.whoami(&plain), robot);
    let elsewhere = kubectl.run("create token robot --audience vault").succeeds();
    let refused = kubectl.run_as(&format!("{{token: {}}}", elsewhere.trim()), "get pods").fails();
    assert!(refused.contains("You must be logged in to the server"), "{refused}");
    kubectl.run("delete serviceaccount robot").succeeds();
    let refused = kubectl.run_as(&plain, "get pods").fails();
    assert!(refused.contains("You must be logged in to the server"), "an account that is gone: {refused}");
}

//! The real kubectl, which must be on the path: these tests fail where it is not.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio_util::sync::DropGuard;

use crate::support::{Api, start};

struct Kubectl {
    home: TempDir,
    _api: Api,
    _serving: DropGuard,
}

impl Kubectl {
    async fn start() -> Self {
        let api = start().await.bootstrapped().await;
        let (address, serving) = api.listen().await;
        let home = tempfile::tempdir().unwrap();
        let ca = home.path().join("ca.crt");
        std::fs::write(&ca, api.authority.certificate_pem().unwrap()).unwrap();
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: 'https://{address}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: u, user: {{token: admin}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u, namespace: default}}}}]\n",
            ca.display()
        );
        std::fs::write(home.path().join("config"), config).unwrap();
        Self { home, _api: api, _serving: serving }
    }

    /// The output of `kubectl WORDS`, given `input`; what it says when it fails counts too.
    async fn run(&self, words: &str, input: &str) -> String {
        self.run_with(words, input, &[]).await
    }

    async fn run_with(&self, words: &str, input: &str, environment: &[(&str, &str)]) -> String {
        let mut child = Command::new("kubectl")
            .args(words.split(' '))
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("HOME", self.home.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl is on the path");
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    }

    async fn check(&self, words: &str, input: &str, wanted: &str) {
        let got = self.run(words, input).await;
        assert!(got.contains(wanted), "kubectl {words}\ngot: {got}\nwanted: {wanted}");
    }
}

impl Kubectl {
    /// Writes a script that stands in for a person's editor or for `diff`, and names it in the environment.
    fn script(&self, name: &str, body: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path.display().to_string()
    }
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: 'example.com/a:1'}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_manages_objects() {
    let kubectl = Kubectl::start().await;
    kubectl.check("create configmap settings --from-literal=a=1", "", "configmap/settings created").await;
    kubectl.check("get configmap settings -o jsonpath={.data.a}", "", "1").await;
    kubectl.check("get cm", "", "NAME").await;
    kubectl.check("label configmap settings tier=front", "", "configmap/settings labeled").await;
    kubectl.check("annotate configmap settings note=x", "", "configmap/settings annotated").await;
    kubectl.check("get configmaps -l tier=front -o name", "", "configmap/settings").await;
    kubectl.check("get configmap settings -o yaml", "", "note: x").await;
    kubectl.check("delete configmap settings", "", "configmap \"settings\" deleted").await;
    kubectl
        .check("get configmap settings", "", "Error from server (NotFound): configmaps \"settings\" not found")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_scales_and_waits() {
    let kubectl = Kubectl::start().await;
    kubectl.check("apply -f -", DEPLOYMENT, "deployment.apps/web created").await;
    kubectl.check("apply -f -", DEPLOYMENT, "deployment.apps/web unchanged").await;
    kubectl.check("apply -f -", &DEPLOYMENT.replace("a:1", "a:2"), "deployment.apps/web configured").await;
    kubectl.check("scale deployment web --replicas=3", "", "deployment.apps/web scaled").await;
    kubectl.check("get deployment web", "", "0/3").await;
    kubectl.check("wait deployment/web --for=jsonpath={.spec.replicas}=3 --timeout=10s", "", "condition met").await;
    kubectl.check("set image deployment/web a=example.com/a:3", "", "deployment.apps/web image updated").await;
    kubectl.check("describe deployment web", "", "example.com/a:3").await;
    kubectl.check("delete deployment web --wait=true", "", "deployment.apps \"web\" deleted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_on_the_server() {
    let kubectl = Kubectl::start().await;
    let applied = "deployment.apps/web serverside-applied";
    kubectl.check("apply --server-side -f -", DEPLOYMENT, applied).await;
    kubectl.check("apply --server-side -f -", DEPLOYMENT, applied).await;
    kubectl.check("get deployment web -o jsonpath={.metadata.generation}", "", "1").await;
    kubectl.check("scale deployment web --replicas=3", "", "scaled").await;
    kubectl
        .check(
            "apply --server-side -f -",
            DEPLOYMENT,
            "Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using apps/v1: \
             .spec.replicas",
        )
        .await;
    kubectl.check("apply --server-side --force-conflicts -f -", DEPLOYMENT, applied).await;
    kubectl.check("get deployment web -o jsonpath={.spec.replicas}", "", "2").await;
    let other = "apply --server-side --field-manager=other --dry-run=server -f -";
    kubectl
        .check(
            other,
            &DEPLOYMENT.replace("a:1", "a:2"),
            "conflict with \"kubectl\": .spec.template.spec.containers[name=\"a\"].image",
        )
        .await;
    kubectl.check("get deployment web -o yaml --show-managed-fields", "", "operation: Apply").await;
    let hidden = kubectl.run("get deployment web -o yaml", "").await;
    assert!(!hidden.contains("managedFields"), "{hidden}");
    let without_labels = DEPLOYMENT.replace(", labels: {app: web}}\nspec", "}\nspec");
    kubectl.check("apply --server-side -f -", &without_labels, applied).await;
    kubectl.check("get deployment web --show-labels", "", "<none>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_goes_over_to_applying_on_the_server_and_back() {
    let kubectl = Kubectl::start().await;
    let image = "get deployment web -o jsonpath={.spec.template.spec.containers[0].image}";
    kubectl.check("apply -f -", DEPLOYMENT, "deployment.apps/web created").await;
    let second = DEPLOYMENT.replace("a:1", "a:2");
    kubectl.check("apply --server-side -f -", &second, "deployment.apps/web serverside-applied").await;
    kubectl.check(image, "", "example.com/a:2").await;
    let managers = kubectl.run("get deployment web -o jsonpath={.metadata.managedFields[*].manager}", "").await;
    assert_eq!(managers, "kubectl kubectl-last-applied", "the fields of the client-side manager went over");
    kubectl.check("apply -f -", &DEPLOYMENT.replace("a:1", "a:3"), "deployment.apps/web configured").await;
    kubectl.check(image, "", "example.com/a:3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_differences_and_edits() {
    let kubectl = Kubectl::start().await;
    kubectl.check("apply -f -", DEPLOYMENT, "created").await;
    assert_eq!(kubectl.run("diff -f -", DEPLOYMENT).await, "");
    kubectl.check("diff -f -", &DEPLOYMENT.replace("a:1", "a:2"), "+      - image: example.com/a:2").await;
    kubectl.check("apply --server-side -f -", DEPLOYMENT, "serverside-applied").await;
    assert_eq!(kubectl.run("diff --server-side -f -", DEPLOYMENT).await, "");
    kubectl
        .check("diff --server-side -f -", &DEPLOYMENT.replace("a:1", "a:2"), "+      - image: example.com/a:2")
        .await;
    let editor = kubectl.script("editor", "sed -i 's/replicas: 2/replicas: 5/' \"$1\"");
    let edited = kubectl.run_with("edit deployment web", "", &[("KUBE_EDITOR", &editor)]).await;
    assert!(edited.contains("deployment.apps/web edited"), "{edited}");
    kubectl.check("get deployment web -o jsonpath={.spec.replicas}", "", "5").await;
    let managers = kubectl.run("get deployment web -o jsonpath={.metadata.managedFields[*].manager}", "").await;
    assert!(managers.contains("kubectl-edit"), "{managers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_makes_every_common_kind() {
    let kubectl = Kubectl::start().await;
    for (words, wanted) in [
        ("create namespace team", "namespace/team created"),
        ("create serviceaccount robot", "serviceaccount/robot created"),
        ("create token robot --duration=1h", "ey"),
        ("create secret generic key --from-literal=a=b", "secret/key created"),
        ("create deployment web --image=example.com/a:1 --replicas=2 --port=80", "deployment.apps/web created"),
        ("expose deployment web --port=80 --target-port=8080", "service/web exposed"),
        ("create service nodeport front --tcp=80:8080", "service/front created"),
        ("create job once --image=example.com/a:1", "job.batch/once created"),
        ("create cronjob tick --image=example.com/a:1 --schedule=@hourly", "cronjob.batch/tick created"),
        ("create ingress web --rule=example.com/*=web:80", "ingress.networking.k8s.io/web created"),
        ("create role reader --verb=get,list --resource=pods", "role.rbac.authorization.k8s.io/reader created"),
        (
            "create rolebinding readers --role=reader --user=jane",
            "rolebinding.rbac.authorization.k8s.io/readers created",
        ),
        ("create clusterrole all --verb=* --resource=*", "clusterrole.rbac.authorization.k8s.io/all created"),
        ("create quota small --hard=pods=3", "resourcequota/small created"),
        ("create pdb web --selector=app=web --min-available=1", "poddisruptionbudget.policy/web created"),
        ("create priorityclass high --value=1000", "priorityclass.scheduling.k8s.io/high created"),
        (
            "autoscale deployment web --min=1 --max=3 --cpu-percent=50",
            "horizontalpodautoscaler.autoscaling/web autoscaled",
        ),
        ("run one --image=example.com/a:1 --restart=Never", "pod/one created"),
        ("set resources deployment web --limits=cpu=1", "deployment.apps/web resource requirements updated"),
        ("set env deployment/web A=b", "deployment.apps/web env updated"),
        ("rollout restart deployment web", "deployment.apps/web restarted"),
        ("rollout pause deployment web", "deployment.apps/web paused"),
        ("patch deployment web -p {\"spec\":{\"replicas\":4}}", "deployment.apps/web patched"),
        ("get all", "deployment.apps/web"),
        ("get all -A", "service/kubernetes"),
        ("get pods,services -o wide", "service/front"),
        ("get events", "No resources found"),
        ("describe service web", "8080"),
        ("describe pod one", "example.com/a:1"),
        ("describe namespace default", "Active"),
        ("delete pod one --now", "pod \"one\" "),
        ("delete all --all --wait=false", "deleted"),
    ] {
        kubectl.check(words, "", wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_its_way() {
    let kubectl = Kubectl::start().await;
    kubectl.check("api-resources --api-group=apps", "", "deployments").await;
    kubectl.check("api-versions", "", "rbac.authorization.k8s.io/v1").await;
    kubectl.check("version", "", "v1.35.0").await;
    kubectl.check("get namespaces", "", "kube-node-lease   Active").await;
    kubectl.check("get svc kubernetes", "", "443/TCP").await;
    kubectl.check("auth can-i delete pods", "", "yes").await;
    kubectl.check("auth whoami", "", "admin").await;
    kubectl.check("get --raw /readyz", "", "ok").await;
    kubectl.check("explain deployment.spec.replicas", "", "FIELD: replicas <integer>").await;
    kubectl.check("explain pods --api-version=v1", "", "containers").await;
    kubectl.check("cluster-info", "", "Kubernetes control plane").await;
    kubectl.check("auth can-i --list", "", "Non-Resource URLs").await;
}

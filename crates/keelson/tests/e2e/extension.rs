//! A group that another process serves, found behind a Service, as an administrator sets it up.

use std::fs::{self, File};
use std::net::IpAddr;

use crate::support::{Cluster, Machine, Output, Script, Serving, bearer, until};

const NOTES: &str = "/apis/ext.acme.dev/v1/namespaces/default/notes";
const SERVICE: &str = "apiservice v1.ext.acme.dev";
/// Of a user that somebody would like to be.
const FORGED: [&str; 6] =
    ["-H", "X-Remote-User: root", "-H", "X-Corp-User: root", "-H", "X-Remote-Group: system:masters"];

const RIGHTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: ext}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: ext, namespace: ext}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: writer, namespace: ext}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "ext:system:auth-delegator"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{kind: ServiceAccount, name: ext, namespace: ext}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ext-auth-reader, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: ext, namespace: ext}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: writers, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
rules: [{apiGroups: [ext.acme.dev], resources: [notes], verbs: [create, get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: writers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writers}
subjects: [{kind: ServiceAccount, name: writer, namespace: ext}]
"#;

struct Extension {
    cluster: Cluster,
    address: String,
    serving: Serving,
    server: Option<Script>,
}

impl Extension {
    fn register() -> Extension {
        let cluster =
            Cluster::start_with(Machine::new(), &["--requestheader-username-headers", "X-Corp-User,X-Remote-User"]);
        cluster.apply(RIGHTS);
        let address = cluster.field("node n1", ".status.addresses[?(@.type==\"InternalIP\")].address");
        let own: IpAddr = address.parse().expect("a node has an address");
        let serving = Serving::issue(cluster.scratch(), "notes.ext.svc", own);
        let mut extension = Extension { cluster, address, serving, server: None };
        extension.serve("0");
        extension.cluster.apply(&extension.objects());
        extension
    }

    /// A Service without pods, the address behind it, and the APIService.
    fn objects(&self) -> String {
        let (address, port, bundle) = (&self.address, self.port(), &self.serving.bundle);
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: notes, namespace: ext}},
              spec: {{ports: [{{name: https, port: 443, targetPort: {port}}}]}}}}
---
{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{{name: https, port: {port}}}],
  metadata: {{name: notes-1, namespace: ext, labels: {{kubernetes.io/service-name: notes}}}},
  endpoints: [{{addresses: [{address}]}}]}}
---
{{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {{name: v1.ext.acme.dev}},
  spec: {{group: ext.acme.dev, version: v1, groupPriorityMinimum: 1000, versionPriority: 15, caBundle: {bundle},
          service: {{namespace: ext, name: notes}}}}}}\n"
        )
    }

    fn serve(&mut self, port: &str) {
        let file = |name: &str, text: &str| self.cluster.file(name, text).to_string_lossy().into_owned();
        let authority = file("cluster.crt", &self.cluster.field("configmap kube-root-ca.crt", ".data['ca\\.crt']"));
        let token = file("ext.token", &self.token("ext"));
        let [certificate, key] = self.serving.files();
        let words = [certificate, key, port, "https://127.0.0.1:6443", &authority, &token];
        self.server = Some(Script::start(&self.cluster.machine, "extension.py", &words));
    }

    fn port(&self) -> &str {
        &self.server.as_ref().expect("it serves").port
    }

    fn token(&self, account: &str) -> String {
        self.cluster.kubectl(&format!("create token {account} -n ext")).trim().to_owned()
    }

    fn note(&self, name: &str) -> String {
        format!("---\n{{apiVersion: ext.acme.dev/v1, kind: Note, metadata: {{name: {name}}}, text: hello}}\n")
    }

    /// What the extension's server answers, asked directly: an HTTP status or curl's error.
    fn direct(&self, words: &[&str]) -> String {
        let mut curl = self.cluster.machine.command("curl");
        // By TLS 1.3 certificates are refused after the handshake, while curl already sends: why may be lost.
        curl.args(["--tls-max", "1.2"]);
        curl.args(["--silent", "--show-error", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        let answer = Output::of(curl.args(words).arg(format!("https://{}:{}{NOTES}", self.address, self.port())));
        if answer.code == 0 { answer.stdout } else { answer.stderr }
    }
}

#[test]
fn an_extension_serves_its_group_and_learns_who_asks_from_the_cluster_alone() {
    let mut extension = Extension::register();
    let cluster = &extension.cluster;
    cluster.kubectl(&format!("wait {} --for=condition=Available --timeout=30s", SERVICE.replace(' ', "/")));
    let listed = cluster.kubectl("get apiservices v1.ext.acme.dev --no-headers");
    assert!(listed.contains("ext/notes") && listed.contains("True"), "{listed}");

    let served = cluster.kubectl("api-resources --api-group=ext.acme.dev --no-headers");
    assert_eq!(served.split_whitespace().collect::<Vec<_>>(), ["notes", "nt", "ext.acme.dev/v1", "true", "Note"]);
    assert!(cluster.kubectl("explain note").contains("A note to oneself."));
    assert!(cluster.kubectl("explain note.text").contains("What it says."));
    let watched = cluster.scratch().join("watched");
    let mut watch = cluster.kubectl_command();
    watch.args(["get", "notes", "--watch-only", "-o", "name"]).stdout(File::create(&watched).expect("a file is made"));
    let mut watch = watch.spawn().expect("kubectl is there");
    cluster.kubectl_stdin("create -f -", &extension.note("a")).succeeds();
    // The watch may begin after the first.
    let mut count = 0;
    until("the watch tells", || {
        count += 1;
        cluster.kubectl_stdin("create -f -", &extension.note(&format!("w{count}"))).succeeds();
        fs::read_to_string(&watched).unwrap_or_default().contains("note.ext.acme.dev/w").then_some(())
    });
    watch.kill().and_then(|()| watch.wait()).expect("it is a child");
    assert_eq!(cluster.field("note a", ".metadata.annotations.author"), "kubernetes-admin");
    assert!(cluster.kubectl("get nt -A").contains("default     a "));

    nobody_speaks_for_others(&extension);
    dies_and_comes_back(&mut extension);
}

fn nobody_speaks_for_others(extension: &Extension) {
    let cluster = &extension.cluster;
    let asked = |who: Vec<String>| {
        let words: Vec<&str> = who.iter().map(String::as_str).chain(FORGED).collect();
        extension.direct(&words)
    };
    let shows = |authority: &str, name: &str| cluster.shows(&cluster.authority(authority), name, &["system:masters"]);
    assert_eq!(asked(vec![]), "401", "headers without a certificate");
    let refused = asked(shows("ca", "kubernetes-admin"));
    assert!(refused.contains("unknown ca"), "a certificate of the authority of users: {refused}");
    assert_eq!(asked(shows("front-proxy-ca", "other")), "401", "another name of the proxies' authority");
    assert_eq!(asked(shows("front-proxy-ca", "front-proxy-client")), "200", "the proxy itself");
    assert_eq!(asked(bearer(&extension.token("ext"))), "403", "a token that is good, of an account without rights");
    assert_eq!(asked(bearer("made-up")), "401");

    // Through the cluster's server, which says itself who asks.
    let mut curl = cluster.machine.command("curl");
    curl.args(["--silent", "--insecure", "-X", "POST", "-H", "Content-Type: application/json"]).args(FORGED);
    curl.args(bearer(&extension.token("writer"))).arg("--data");
    curl.arg(r#"{"apiVersion":"ext.acme.dev/v1","kind":"Note","metadata":{"name":"forged"}}"#);
    let made = Output::of(curl.arg(format!("https://127.0.0.1:6443{NOTES}"))).succeeds();
    assert!(made.contains(r#""author": "system:serviceaccount:ext:writer""#), "{made}");
    let refused = cluster.try_kubectl("delete note forged --as=system:serviceaccount:ext:writer").fails();
    assert!(refused.contains("cannot delete resource \"notes\" in API group \"ext.acme.dev\""), "{refused}");
}

fn dies_and_comes_back(extension: &mut Extension) {
    let port = extension.port().to_owned();
    drop(extension.server.take());
    let (cluster, address) = (&extension.cluster, &extension.address);
    cluster.until_field(SERVICE, ".status.conditions[0].reason", "FailedDiscoveryCheck");
    let url = format!("https://{address}:{port}/apis/ext.acme.dev/v1");
    assert_eq!(
        cluster.field(SERVICE, ".status.conditions[0].message"),
        format!(
            "failing or missing response from {url}: Get \"{url}\": dial tcp {address}:{port}: connect: connection \
             refused"
        )
    );
    assert_eq!(cluster.field(SERVICE, ".status.conditions[0].status"), "False");
    let refused = cluster.try_kubectl("get notes").fails();
    assert!(refused.contains("ServiceUnavailable"), "{refused}");
    cluster.kubectl("create namespace away");
    cluster.kubectl("delete namespace away --wait=false");
    let failure = ".status.conditions[?(@.type==\"NamespaceDeletionDiscoveryFailure\")].status";
    cluster.until_field("namespace away", failure, "True");

    extension.serve(&port);
    let cluster = &extension.cluster;
    cluster.until_field(SERVICE, ".status.conditions[0].reason", "Passed");
    cluster.kubectl_stdin("create -f -", &extension.note("again")).succeeds();
    cluster.kubectl("wait namespace/away --for=delete --timeout=60s");
}

//! An etcd that kube-apiservers filled.

use encryption::{Encryption, Source};
use machinery::Object;
use registry::Transformer as _;
use serde_json::{Value, json};
use store::{Etcd, Expect, Store, Write, etcd};

use crate::support::Servers;

const CONFIG: &str = "apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aescbc: {keys: [{name: key1, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}
  - identity: {}
";

async fn connect(servers: &Servers) -> Etcd {
    let read = |name: &str| std::fs::read_to_string(servers.path(name)).expect("the test made it");
    let identity = auth::tls::Identity::from_pem(&read("client.crt"), &read("client.key")).expect("a pair");
    let tls = auth::tls::client_config(&read("etcd-ca.crt"), Some(identity)).expect("an authority");
    Etcd::connect(etcd::Config { endpoints: servers.members.urls(), tls: Some(tls), seen: None })
        .await
        .expect("etcd answers")
}

async fn put(store: &Etcd, key: &str, value: Vec<u8>) {
    let write = Write { key: key.into(), value: Some(value.into()), expect: Expect::Absent };
    store.write(write).await.unwrap_or_else(|error| panic!("{key}: {error}"));
}

/// As kube-apiserver stores built-in kinds.
fn protobuf(resource: &str, object: &Value) -> Vec<u8> {
    let object = Object::from_value(object.clone()).expect("the literal is an object");
    let gvk = object.gvk();
    let kind = kinds::find(&gvk.group, &gvk.version, resource).expect("it is served");
    machinery::protobuf::encode_protobuf(&object.0, schema::message(kind.schema).expect("it has a message"))
}

/// A field of bytes, by hand; none here is long.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).expect("it is short")], bytes].concat()
}

/// A ConfigMap `hand` in the namespace `shop`, byte for byte.
fn by_hand() -> Vec<u8> {
    let names = [field(1, b"v1"), field(2, b"ConfigMap")].concat();
    let metadata =
        [field(1, b"hand"), field(2, b""), field(3, b"shop"), field(4, b""), field(5, b"u-1"), field(6, b"")];
    let entry = [field(1, b"color"), field(2, b"blue")].concat();
    let raw = [field(1, &metadata.concat()), field(2, &entry)].concat();
    [b"k8s\0".to_vec(), field(1, &names), field(2, &raw), field(3, b""), field(4, b"")].concat()
}

fn named(api_version: &str, kind: &str, namespace: &str, name: &str, rest: &Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind});
    object["metadata"] =
        json!({"name": name, "uid": format!("{kind}-{name}"), "creationTimestamp": "2026-01-02T03:04:05Z"});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let rest = rest.as_object().expect("the rest is fields");
    rest.iter().for_each(|(field, value)| object[field] = value.clone());
    object
}

async fn fill(store: &Etcd, servers: &Servers) {
    let pod = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": pod}});
    let ports = json!([{"port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30080}]);
    let service =
        json!({"spec": {"type": "NodePort", "clusterIP": "10.43.0.50", "clusterIPs": ["10.43.0.50"], "ports": ports}});
    let endpoints = json!({"subsets": [{"addresses": [{"ip": "10.42.0.9"}], "ports": [{"port": 8080}]}]});
    let scaler = json!({"spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let table = [
        (
            "/registry/namespaces/shop",
            "namespaces",
            named("v1", "Namespace", "", "shop", &json!({"spec": {"finalizers": ["kubernetes"]}})),
        ),
        ("/registry/minions/n9", "nodes", named("v1", "Node", "", "n9", &json!({}))),
        ("/registry/deployments/shop/web", "deployments", named("apps/v1", "Deployment", "shop", "web", &deployment)),
        ("/registry/services/specs/shop/web", "services", named("v1", "Service", "shop", "web", &service)),
        ("/registry/services/endpoints/shop/web", "endpoints", named("v1", "Endpoints", "shop", "web", &endpoints)),
        (
            "/registry/ingress/shop/web",
            "ingresses",
            named("networking.k8s.io/v1", "Ingress", "shop", "web", &json!({"spec": {"defaultBackend": backend}})),
        ),
        (
            "/registry/horizontalpodautoscalers/shop/web",
            "horizontalpodautoscalers",
            named("autoscaling/v1", "HorizontalPodAutoscaler", "shop", "web", &scaler),
        ),
    ];
    for (key, resource, object) in &table {
        put(store, key, protobuf(resource, object)).await;
    }
    put(store, "/registry/configmaps/shop/hand", by_hand()).await;
    let secret = named("v1", "Secret", "shop", "s", &json!({"type": "Opaque", "data": {"password": "aHVudGVyMg=="}}));
    let config = servers.path("encryption.yaml");
    std::fs::write(&config, CONFIG).expect("a small file is written");
    let encryption = Encryption::open(Source::Config(config)).expect("it is well formed");
    let key = "/registry/secrets/shop/s";
    let sealed = encryption.to_storage(key, protobuf("secrets", &secret).into()).expect("it is encrypted");
    assert!(sealed.starts_with(b"k8s:enc:aescbc:v1:key1:"));
    put(store, key, sealed.to_vec()).await;
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let names = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"});
    let accepted = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"});
    let definition = json!({
        "spec": {"group": "example.com", "names": names, "scope": "Namespaced", "conversion": {"strategy": "None"},
            "preserveUnknownFields": false, "version": "v1", "validation": schema,
            "versions": [{"name": "v1", "served": true, "storage": true}]},
        "status": {"acceptedNames": names, "storedVersions": ["v1"],
            "conditions": [accepted("NamesAccepted"), accepted("Established")]},
    });
    let definition =
        named("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "", "widgets.example.com", &definition);
    let key = "/registry/apiextensions.k8s.io/customresourcedefinitions/widgets.example.com";
    put(store, key, definition.to_string().into_bytes()).await;
    let widget = named("example.com/v1", "Widget", "shop", "w", &json!({"spec": {"size": 7}}));
    put(store, "/registry/example.com/widgets/shop/w", widget.to_string().into_bytes()).await;
    for own in ["/registry/ranges/serviceips", "/registry/masterleases/10.0.0.1", "compact_rev_key"] {
        put(store, own, b"k8s\0".to_vec()).await;
    }
}

fn check(servers: &Servers) {
    let fields = [
        ("deployment web", ".spec.template.spec.containers[0].image", "i"),
        ("service web", ".spec.ports[0].nodePort", "30080"),
        ("endpoints web", ".subsets[0].addresses[0].ip", "10.42.0.9"),
        ("ingress web", ".spec.defaultBackend.service.name", "web"),
        ("hpa web", ".spec.metrics[0].resource.target.averageUtilization", "70"),
        ("configmap hand", ".data.color", "blue"),
        ("secret s", ".data.password", "aHVudGVyMg=="),
        ("widget w", ".spec.size", "7"),
        ("crd widgets.example.com", ".spec.versions[0].schema.openAPIV3Schema.type", "object"),
        ("node n9", ".metadata.uid", "Node-n9"),
    ];
    for (object, path, expected) in fields {
        let found = servers.kubectl("a", &format!("get {object} -n shop -o jsonpath={{{path}}}"));
        assert_eq!(found, expected, "{object}");
    }
    let taken = servers.try_kubectl("a", "create service nodeport other -n shop --tcp 80 --node-port 30080").fails();
    assert!(taken.contains("provided port is already allocated"), "{taken}");
}

#[test]
fn what_kube_apiservers_stored_is_moved_or_served_where_it_is() {
    let mut servers = Servers::prepare();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let store = runtime.block_on(connect(&servers));
    runtime.block_on(fill(&store, &servers));
    let config = servers.path("encryption.yaml").display().to_string();
    let flags = ["--encryption-provider-config", &config];

    let (data, from) = (servers.path("a").display().to_string(), servers.members.urls().join(","));
    let tls = servers.datastore().split_off(1);
    let migrate = |servers: &Servers| {
        let mut words = vec!["datastore", "migrate", "--data-dir", &data, "--from", &from, "--to", "embedded"];
        words.extend(tls.iter().map(String::as_str));
        servers.keelson(&words)
    };
    let refused = migrate(&servers).fails();
    assert!(
        refused.contains("stop the kube-apiservers of this etcd first, and wait 15 seconds: 10.0.0.1"),
        "{refused}"
    );
    let lease = "/registry/masterleases/10.0.0.1";
    runtime.block_on(async {
        let held = store.get(lease, None).await.expect("etcd answers").expect("it is there");
        let expect = Expect::ModRevision(held.mod_revision);
        store.write(Write { key: lease.into(), value: None, expect }).await.expect("it goes");
    });
    migrate(&servers).succeeds();
    servers.start_with("a", &flags);
    check(&servers);
    servers.stop("a");
    std::fs::remove_dir_all(servers.path("a")).expect("the embedded one goes");

    servers.start("a", &flags);
    check(&servers);
    servers.kubectl("a", "annotate deployment web -n shop touched=yes");
    let stored = runtime.block_on(store.get("/registry/deployments/shop/web", None)).expect("etcd answers");
    let stored: Value =
        serde_json::from_slice(&stored.expect("it stays").value).expect("a server that decodes JSON too reads it");
    assert_eq!(
        (&stored["apiVersion"], &stored["metadata"]["annotations"]["touched"]),
        (&json!("apps/v1"), &json!("yes"))
    );
}

#[test]
fn an_authority_and_a_key_of_tokens_that_are_there_are_taken_over() {
    let mut servers = Servers::prepare();
    let (data, theirs) =
        (servers.path("a"), std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../auth/tests/authorities"));
    std::fs::create_dir_all(data.join("pki")).expect("a directory is made");
    for (from, to) in [("rsa.crt", "ca.crt"), ("rsa.key", "ca.key"), ("rsa.key", "service-account.key")] {
        std::fs::copy(theirs.join(from), data.join("pki").join(to)).expect("a small file is written");
    }
    servers.start("a", &[]);
    let certificates = servers.keelson(&["certs", "check", "--data-dir", &data.display().to_string()]).succeeds();
    let is_theirs = |line: &str| line.split_whitespace().take(2).eq(["ca", "kubernetes"]);
    assert!(certificates.lines().any(is_theirs), "{certificates}");
    // The client knows that authority alone, and shows a certificate that it signed.
    let trusted = std::fs::read_to_string(data.join("pki/ca.crt")).expect("it is there");
    assert_eq!(trusted, std::fs::read_to_string(theirs.join("rsa.crt")).expect("it is there"));
    let token = servers.token("a");
    // {"alg":"RS256"
    assert!(token.starts_with("eyJhbGciOiJSUzI1NiIs"), "{token}");
}

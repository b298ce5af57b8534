//! Custom resources through kubectl, and a conversion webhook of the test's own.

use std::net::Ipv4Addr;

use crate::support::{Cluster, Script, Serving, until};

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    schema:
      openAPIV3Schema:
        type: object
        description: A widget of some size.
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - {rule: "self.size >= self.min", message: size is below min}
            properties:
              size: {type: integer, description: How large it is., default: 5}
              min: {type: integer, default: 1}
              replicas: {type: integer}
          status:
            type: object
            properties:
              replicas: {type: integer}
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items: {type: object, required: [type], properties: {type: {type: string}, status: {type: string}}}
"#;

fn widget(name: &str, spec: &str) -> String {
    format!("apiVersion: example.com/v1\nkind: Widget\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn kubectl_works_with_custom_resources() {
    let mut cluster = Cluster::start_without_image();
    cluster.apply(DEFINITION);
    cluster.kubectl("wait --for=condition=Established crd/widgets.example.com --timeout 30s");
    cluster.apply(&widget("a", "{replicas: 2}"));
    assert_eq!(cluster.field("widget a", ".spec.size"), "5");
    let wrong = cluster.kubectl_stdin("apply -f -", &widget("b", "{size: x}")).fails();
    assert!(
        wrong.contains(r#"spec.size: Invalid value: "string": spec.size in body must be of type integer: "string""#),
        "{wrong}"
    );
    let below = cluster.kubectl_stdin("apply -f -", &widget("b", "{size: 1, min: 2}")).fails();
    assert!(below.contains("spec: Invalid value: size is below min"), "{below}");
    let unknown = cluster.kubectl_stdin("apply -f -", &widget("b", "{colour: red}")).fails();
    assert!(unknown.contains(r#"unknown field "spec.colour""#), "{unknown}");

    cluster.kubectl(r#"patch widget a --subresource status --type merge -p {"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#);
    let row = cluster.kubectl("get wd a --no-headers");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["a", "5", "True"]);
    assert!(cluster.kubectl("get all").contains("widget.example.com/a"));
    cluster.kubectl("scale widget a --replicas 7");
    assert_eq!(cluster.field("widget a", ".spec.replicas"), "7");
    assert!(cluster.kubectl("explain widget.spec.size").contains("How large it is."));
    assert!(cluster.kubectl("api-resources --api-group example.com").contains("widgets"));
    cluster
        .kubectl_stdin("apply --server-side --force-conflicts --field-manager other -f -", &widget("a", "{min: 3}"))
        .succeeds();
    assert_eq!(cluster.field("widget a", ".spec.min"), "3");
    for what in ["condition=Ready", "jsonpath={.spec.min}=3"] {
        cluster.kubectl(&format!("wait widget/a --for={what} --timeout=30s"));
    }
    let differs = cluster.kubectl_stdin("diff -f -", &widget("a", "{replicas: 2, size: 9}"));
    assert!(differs.code == 1 && differs.stdout.contains("+  size: 9"), "{differs:?}");
    let scaled = cluster.kubectl("get widget a --subresource=scale -o jsonpath={.kind}/{.spec.replicas}");
    assert_eq!(scaled, "Scale/7");

    cluster.kubectl("create namespace away");
    cluster.kubectl_stdin("apply -n away -f -", &widget("c", "{}")).succeeds();
    cluster.kubectl("delete namespace away --timeout 60s");
    cluster.kubectl("create configmap owner");
    let uid = cluster.field("configmap owner", ".metadata.uid");
    let owned = format!(
        "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: owned\n  ownerReferences:\n  - {{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}\nspec: {{}}\n"
    );
    cluster.apply(&owned);
    cluster.kubectl("delete configmap owner");
    until("the owned widget is gone", || (cluster.try_kubectl("get widget owned").code != 0).then_some(()));

    cluster.kill_server();
    cluster.start_server(&[]);
    assert_eq!(cluster.field("widget a", ".spec.replicas"), "7");
    cluster.kubectl("delete crd widgets.example.com --timeout 60s");
    until("the group is gone", || (!cluster.kubectl("get --raw /apis").contains("example.com")).then_some(()));
}

#[test]
fn a_webhook_converts_between_versions() {
    let cluster = Cluster::start_without_image();
    let serving = Serving::issue(cluster.scratch(), "webhook", Ipv4Addr::LOCALHOST.into());
    let webhook = Script::start(&cluster.machine, "convert.py", &serving.files());
    let (port, bundle) = (&webhook.port, &serving.bundle);
    let version = |name: &str, storage: bool, field: &str| {
        format!(
            "  - name: {name}\n    served: true\n    storage: {storage}\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec: {{type: object, properties: {{{field}}}}}\n"
        )
    };
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.example.com}}\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {{plural: widgets, kind: Widget}}\n  conversion:\n    strategy: Webhook\n    webhook:\n      conversionReviewVersions: [v1]\n      clientConfig: {{url: 'https://127.0.0.1:{port}/convert', caBundle: {bundle}}}\n  versions:\n{}{}",
        version("v1", true, "size: {type: integer}"),
        version("v1beta1", false, "amount: {type: string}"),
    );
    cluster.apply(&definition);
    cluster.kubectl("wait --for=condition=Established crd/widgets.example.com --timeout 30s");
    cluster.apply("apiVersion: example.com/v1beta1\nkind: Widget\nmetadata: {name: a}\nspec: {amount: '3'}\n");
    assert_eq!(cluster.field("widgets.v1.example.com a", ".spec.size"), "3");
    assert_eq!(cluster.field("widgets.v1beta1.example.com a", ".spec.amount"), "3");
    cluster.kubectl(r#"patch widgets.v1.example.com a --type merge -p {"spec":{"size":8}}"#);
    assert_eq!(cluster.kubectl("get widgets.v1beta1.example.com -o jsonpath={.items[*].spec.amount}"), "8");
}

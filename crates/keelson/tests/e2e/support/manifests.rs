//! Manifests that many tests need.

pub const IMAGE: &str = "keelson.dev/sample:v1";

/// A pod of this name and label `app`; `spec` is flow YAML without its braces.
pub fn pod(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}},
          spec: {{terminationGracePeriodSeconds: 1, {spec}}}}}\n"
    )
}

/// A container that runs a script; `more` is what else its entry says.
pub fn script(script: &str, more: &str) -> String {
    let words = serde_json::to_string(&["sh", "-c", script]).expect("words are JSON");
    format!("{{name: main, image: {IMAGE}, command: {words}, {more}}}")
}

/// The server of the sample application, quick to be ready and to end.
pub fn server(more: &str) -> String {
    format!(
        "{{name: main, image: {IMAGE}, ports: [{{name: http, containerPort: 8080}}],
          readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}, {more}}}"
    )
}

/// A deployment of this name with label `app`; `container` as [`server`] makes it, `more` of the deployment's spec.
pub fn deployment(name: &str, replicas: u32, container: &str, more: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{
          replicas: {replicas}, selector: {{matchLabels: {{app: {name}}}}}, {more}
          template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{container}]}}}}}}}}\n"
    )
}

/// A Service on port 80 in front of the pods of that label.
pub fn service(name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{selector: {{app: {name}}},
          ports: [{{name: http, port: 80, targetPort: 8080}}]}}}}\n"
    )
}

/// Several manifests in one.
pub fn all(manifests: &[&str]) -> String {
    manifests.join("---\n")
}

//! Custom resources as clients see them: definitions, what they serve, and how it goes away.

mod bad_input;
mod conversion;
mod migration;
mod schemas;
mod serving;
#[path = "../api/support.rs"]
mod support;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use control::{Metrics, Shell};
use controllers::definitions::DefinitionController;
use machinery::UserInfo;
use serde_json::{Value, json};
use support::{Api, Got};
use tokio_util::sync::CancellationToken;

/// A server with the controller of definitions.
pub struct Cluster {
    pub api: Api,
    shell: Shell,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shell.shutdown.cancel();
    }
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

pub async fn start() -> Cluster {
    over(support::start().await.bootstrapped().await)
}

pub fn over(api: Api) -> Cluster {
    let view = Arc::new(api.server.registry().clone());
    api.server.registry().set_converter(Arc::new(admission::ConversionWebhooks::new(view)));
    let client = api.server.client(UserInfo::new("system:kube-controller-manager", &[UserInfo::MASTERS]));
    let client = kube::Client::new(client, "default");
    let shell = Shell::new(client, Metrics::default(), CancellationToken::new());
    let runs = shell.clone();
    tokio::spawn(async move { runs.run(DefinitionController::new(&runs), 1).await });
    Cluster { api, shell }
}

/// A definition of Widgets with these versions.
pub fn definition(versions: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": versions,
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
        },
    })
}

/// A definition of one version, whose schema has this spec and any status.
pub fn with_spec(spec: Value) -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    definition(json!([version("v1", schema)]))
}

pub fn version(name: &str, schema: Value) -> Value {
    json!({"name": name, "served": true, "storage": name == "v1", "schema": {"openAPIV3Schema": schema}})
}

pub fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

impl Cluster {
    /// Makes a definition and waits until it is established.
    pub async fn define(&self, definition: &Value) -> Value {
        self.api.post(DEFINITIONS, definition).await.expect(201);
        self.established().await
    }

    pub async fn established(&self) -> Value {
        self.until(&format!("{DEFINITIONS}/widgets.example.com"), |got| condition(&got.json(), "Established") == "True")
            .await
    }

    /// Reads a path until what is there is as wanted.
    pub async fn until(&self, uri: &str, is: impl Fn(&Got) -> bool) -> Value {
        for _ in 0..1000 {
            let got = self.api.get(uri).await;
            if is(&got) {
                return got.json();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{uri} does not become what is wanted: {}", self.api.get(uri).await.text());
    }

    /// Makes a Widget of this spec and answers with what came of it: the spec, or the error.
    pub async fn try_spec(&self, name: &str, spec: Value) -> String {
        outcome(&self.api.post(WIDGETS, &widget(name, spec)).await)
    }
}

pub fn outcome(got: &Got) -> String {
    match got.status.is_success() {
        true => got.json()["spec"].to_string(),
        false => got.json()["message"].as_str().unwrap_or_default().to_owned(),
    }
}

pub fn condition(definition: &Value, of_type: &str) -> String {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|condition| condition["type"] == of_type);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
}

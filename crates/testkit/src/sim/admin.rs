//! What a person does with `kubectl`: apply, delete, drain, get.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kinds::KindDef;
use kube::api::{ApiResource, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::history::History;
use super::show;

/// Between two tries to evict a pod whose budget is spent, as `kubectl drain` waits.
const EVICTION_PAUSE: Duration = Duration::from_secs(5);
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

pub struct Admin(pub Client);

impl Admin {
    /// Makes the object, or merges it into the one that is there.
    pub async fn apply(&self, object: Value) {
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        let types = object.types.as_ref().expect("an object has a kind");
        let kind = find(|kind| kind.kind == types.kind && kind.group_version().to_string() == types.api_version);
        let api = self.api(kind, &object.namespace().unwrap_or_default());
        let name = object.name_any();
        let made = match api.get_opt(&name).await {
            Ok(Some(_)) => api.patch(&name, &PatchParams::default(), &Patch::Merge(&object)).await,
            Ok(None) => api.create(&PostParams::default(), &object).await,
            Err(error) => Err(error),
        };
        made.unwrap_or_else(|error| panic!("{} {name}: {error}", kind.kind));
    }

    /// Deletes an object of cluster scope or of the namespace `default`.
    pub async fn delete(&self, resource: &str, name: &str, params: &DeleteParams) {
        let deleted = self.api(find(|kind| kind.resource == resource), "default").delete(name, params).await;
        deleted.unwrap_or_else(|error| panic!("{resource} {name}: {error}"));
    }

    pub async fn patch(&self, resource: &str, name: &str, patch: Value) {
        let api = self.api(find(|kind| kind.resource == resource), "default");
        let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.unwrap_or_else(|error| panic!("{resource} {name}: {error}"));
    }

    fn api(&self, kind: &KindDef, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: kind.group.to_owned(),
            version: kind.version.to_owned(),
            api_version: kind.group_version().to_string(),
            kind: kind.kind.to_owned(),
            plural: kind.resource.to_owned(),
        };
        if kind.namespaced() {
            Api::namespaced_with(self.0.clone(), namespace, &resource)
        } else {
            Api::all_with(self.0.clone(), &resource)
        }
    }

    /// Marks the node, and evicts its pods as their budgets allow until none is left.
    pub async fn drain(&self, node: &str) {
        self.patch("nodes", node, json!({ "spec": { "unschedulable": true } })).await;
        let pods: Api<Pod> = Api::namespaced(self.0.clone(), "default");
        let of_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
        loop {
            let left = pods.list(&of_node).await.expect("pods are listed").items;
            if left.is_empty() {
                return;
            }
            for pod in left.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
                match pods.evict(&pod.name_any(), &EvictParams::default()).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 429) => {}
                    Err(error) => panic!("evicting {}: {error}", pod.name_any()),
                }
            }
            tokio::time::sleep(EVICTION_PAUSE).await;
        }
    }

    /// The pods of the namespace `default`.
    pub async fn pods(&self, history: &History) -> String {
        show::pods(&self.table("pods").await, history)
    }

    /// The label `app` and the status of each pod of the namespace `default`.
    pub async fn states(&self) -> String {
        show::states(&self.table("pods").await)
    }

    /// `kubectl get`, in the namespace `default` or of the whole cluster.
    pub async fn rows(&self, resource: &str) -> String {
        show::rows(&self.table(resource).await)
    }

    async fn table(&self, resource: &str) -> Value {
        let kind = find(|kind| kind.resource == resource);
        let api = if kind.group.is_empty() { "api" } else { "apis" };
        let scope = if kind.namespaced() { "namespaces/default/" } else { "" };
        let request = http::Request::get(format!("/{api}/{}/{scope}{resource}", kind.group_version()))
            .header(http::header::ACCEPT, TABLE)
            .body(Vec::new())
            .expect("names of resources are valid in a path");
        let text = self.0.request_text(request).await.expect("a list");
        serde_json::from_str(&text).expect("a table")
    }
}

fn find(which: impl Fn(&KindDef) -> bool) -> &'static KindDef {
    kinds::all().iter().find(|kind| which(kind)).expect("the kind is in the table")
}

//! Stored versions: how they are noted, and how a migration makes an end of one.

use controllers::migration::MigrationController;
use serde_json::{Value, json};
use store::Store as _;

use crate::support::{Options, start_with};
use crate::{Cluster, DEFINITIONS, WIDGETS, condition, definition, over, version, widget};

const MIGRATIONS: &str = "/apis/storagemigration.k8s.io/v1beta1/storageversionmigrations";

async fn start() -> Cluster {
    let runtime_config = vec!["storagemigration.k8s.io/v1beta1=true".to_owned()];
    let cluster = over(start_with(Options { runtime_config, ..Options::default() }).await.bootstrapped().await);
    let shell = cluster.shell.clone();
    assert!(MigrationController::is_needed(&shell).await);
    tokio::spawn(async move { shell.run(MigrationController::new(&shell), 1).await });
    cluster
}

/// Versions `v1` and `v2`, of which the one of this name is stored.
fn stored_as(stored: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}});
    let of = |name: &str| {
        let mut version = version(name, schema.clone());
        version["storage"] = json!(name == stored);
        version
    };
    definition(json!([of("v1"), of("v2")]))
}

impl Cluster {
    /// Migrates a resource and answers with the migration when it has come to an end.
    async fn migrate(&self, name: &str, group: &str, resource: &str) -> Value {
        let migration = json!({
            "apiVersion": "storagemigration.k8s.io/v1beta1", "kind": "StorageVersionMigration",
            "metadata": {"name": name}, "spec": {"resource": {"group": group, "resource": resource}},
        });
        self.api.post(MIGRATIONS, &migration).await.expect(201);
        let ended = |of: &Value| ["Succeeded", "Failed"].iter().any(|of_type| condition(of, of_type) == "True");
        self.until(&format!("{MIGRATIONS}/{name}"), |got| ended(&got.json())).await
    }

    async fn stored_version(&self, name: &str) -> Value {
        let key = format!("/registry/example.com/widgets/default/{name}");
        let held = self.api.store.get(&key, None).await.unwrap().unwrap();
        serde_json::from_slice::<Value>(&held.value).unwrap()["apiVersion"].clone()
    }

    /// Replaces the definition's spec, with `change` made to it.
    async fn redefine(&self, change: impl Fn(&mut Value)) -> Value {
        let uri = format!("{DEFINITIONS}/widgets.example.com");
        let mut changed = self.api.get(&uri).await.expect(200);
        change(&mut changed);
        self.api.put(&uri, &changed).await.expect(200)
    }
}

fn told(migration: &Value, of_type: &str) -> String {
    let conditions = migration["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == of_type).unwrap();
    ["status", "reason", "message"].map(|field| found[field].as_str().unwrap_or_default()).join(" ")
}

#[tokio::test]
async fn a_version_can_go_when_nothing_is_stored_in_it_any_more() {
    let cluster = start().await;
    cluster.define(&stored_as("v1")).await;
    for name in ["a", "b"] {
        cluster.api.post(WIDGETS, &widget(name, json!({"size": 1}))).await.expect(201);
    }
    let before = cluster.api.get(&format!("{WIDGETS}/a")).await.expect(200);
    let moved = cluster.redefine(|of| of["spec"] = stored_as("v2")["spec"].clone()).await;
    assert_eq!(moved["status"]["storedVersions"], json!(["v1", "v2"]));
    // A write brings its object along, even one that changes nothing.
    assert_eq!(cluster.stored_version("b").await, "example.com/v1");
    cluster.api.put(&format!("{WIDGETS}/b"), &cluster.api.get(&format!("{WIDGETS}/b")).await.json()).await.expect(200);
    assert_eq!(cluster.stored_version("b").await, "example.com/v2");

    let migrated = cluster.migrate("m", "example.com", "widgets").await;
    assert_eq!(told(&migrated, "Succeeded"), "True StorageVersionMigrationSucceeded ");
    assert_eq!(told(&migrated, "Running"), "False StorageVersionMigrationInProgress ");
    let listed: u64 = migrated["status"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let first: u64 = before["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(listed > first);
    assert_eq!(cluster.stored_version("a").await, "example.com/v2");
    let after = cluster.api.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["managedFields"], before["metadata"]["managedFields"]);
    assert_ne!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);

    let without = |of: &mut Value| of["spec"]["versions"] = json!([stored_as("v2")["spec"]["versions"][1]]);
    let uri = format!("{DEFINITIONS}/widgets.example.com");
    let mut cut = cluster.api.get(&uri).await.expect(200);
    without(&mut cut);
    let refused = cluster.api.put(&uri, &cut).await.problem();
    assert!(
        refused.ends_with(
            "is invalid: status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a \
             storage version, and must remain in spec.versions until a storage migration ensures no data remains \
             persisted in v1 and removes v1 from status.storedVersions"
        ),
        "{refused}"
    );
    let mut settled = cluster.api.get(&uri).await.expect(200);
    settled["status"]["storedVersions"] = json!(["v2"]);
    cluster.api.put(&format!("{uri}/status"), &settled).await.expect(200);
    cluster.redefine(without).await;
    let v2 = WIDGETS.replace("/v1/", "/v2/");
    assert_eq!(cluster.api.get(&v2).await.expect(200)["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(cluster.api.get(WIDGETS).await.status, 404);
}

#[tokio::test]
async fn what_can_not_be_migrated_is_told() {
    let cluster = start().await;
    // There is only one way to store what is built in: nothing is written.
    let maps = "/api/v1/namespaces/default/configmaps";
    let made = cluster.api.post(maps, &json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).await.expect(201);
    assert_eq!(told(&cluster.migrate("maps", "", "configmaps").await, "Succeeded").split(' ').next(), Some("True"));
    assert_eq!(cluster.api.get(&format!("{maps}/a")).await.expect(200), made);

    let unknown = cluster.migrate("unknown", "example.com", "widgets").await;
    assert_eq!(told(&unknown, "Failed"), "True StorageVersionMigrationFailed resource does not exist in discovery");
    let reviews = cluster.migrate("reviews", "authorization.k8s.io", "subjectaccessreviews").await;
    assert_eq!(told(&reviews, "Failed"), "True StorageVersionMigrationFailed resource not found");

    // What was no object of its own has no type.
    let template = |embedded: bool| json!({"type": "object", "x-kubernetes-embedded-resource": embedded, "x-kubernetes-preserve-unknown-fields": true});
    let with_template = |of: &mut Value, embedded: bool| {
        for index in 0..2 {
            of["spec"]["versions"][index]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["template"] =
                template(embedded);
        }
    };
    let mut plain = stored_as("v1");
    with_template(&mut plain, false);
    cluster.define(&plain).await;
    cluster.api.post(WIDGETS, &widget("a", json!({"template": {"x": 1}}))).await.expect(201);
    cluster
        .redefine(|of| {
            of["spec"] = stored_as("v2")["spec"].clone();
            with_template(of, true);
        })
        .await;
    let failed = cluster.migrate("failed", "example.com", "widgets").await;
    assert_eq!(told(&failed, "Failed"), "True StorageVersionMigrationFailed migration encountered unhandled error");
    assert_eq!(cluster.stored_version("a").await, "example.com/v1");
}

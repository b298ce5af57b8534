//! An operator as kube's users write them: a derived kind whose objects become ConfigMaps, with a finalizer that takes
//! their lines out of an index that belongs to none of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, CustomResource, CustomResourceExt as _, Resource as _, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

const FINALIZER: &str = "sites.rust.acme.dev/index";
const INDEX: &str = "index";
const PATIENCE: Duration = Duration::from_secs(60);

/// A site of some pages.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(group = "rust.acme.dev", version = "v1", kind = "Site", namespaced, status = "SiteStatus", shortname = "st")]
#[kube(printcolumn = r#"{"name": "Title", "type": "string", "jsonPath": ".spec.title"}"#)]
#[kube(printcolumn = r#"{"name": "Pages", "type": "integer", "jsonPath": ".status.pages"}"#)]
pub struct SiteSpec {
    title: String,
    #[serde(default)]
    pages: BTreeMap<String, String>,
    /// How much of it is shown.
    audience: Option<Audience>,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
enum Audience {
    Everybody,
    Members,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    pages: usize,
    observed_generation: i64,
}

async fn reconcile(site: Arc<Site>, client: Arc<Client>) -> Result<Action, finalizer::Error<kube::Error>> {
    let sites: Api<Site> = Api::default_namespaced(client.as_ref().clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.as_ref().clone());
    finalizer(&sites.clone(), FINALIZER, site, async |event| match event {
        Event::Apply(site) => apply(&sites, &maps, &site).await,
        Event::Cleanup(site) => {
            let line = Patch::Merge(json!({"data": {site.name_any(): null}}));
            maps.patch(INDEX, &PatchParams::default(), &line).await?;
            Ok(Action::await_change())
        }
    })
    .await
}

async fn apply(sites: &Api<Site>, maps: &Api<ConfigMap>, site: &Site) -> Result<Action, kube::Error> {
    let (name, by) = (site.name_any(), PatchParams::apply("sites").force());
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": [site.controller_owner_ref(&()).expect("it is stored")]},
        "data": site.spec.pages,
    });
    maps.patch(&name, &by, &Patch::Apply(map)).await?;
    let index = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": INDEX}});
    maps.patch(INDEX, &by, &Patch::Apply(index)).await?;
    maps.patch(INDEX, &PatchParams::default(), &Patch::Merge(json!({"data": {&name: site.spec.title}}))).await?;
    let status =
        SiteStatus { pages: site.spec.pages.len(), observed_generation: site.metadata.generation.unwrap_or_default() };
    let status = json!({"apiVersion": Site::api_version(&()), "kind": Site::kind(&()), "status": status});
    sites.patch_status(&name, &by, &Patch::Apply(status)).await?;
    Ok(Action::await_change())
}

/// Defines the kind, runs the operator, and does with sites what people do.
pub async fn run(client: Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = Patch::Apply(Site::crd());
    definitions.patch(Site::crd_name(), &PatchParams::apply("operator"), &definition).await.expect("a derived kind");
    let established = await_condition(definitions.clone(), Site::crd_name(), conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.expect("in time").expect("the watch holds");

    let sites: Api<Site> = Api::default_namespaced(client.clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let controller = Controller::new(sites.clone(), watcher::Config::default().streaming_lists())
        .owns(maps.clone(), watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), Arc::new(client.clone()));
    let operator = tokio::spawn(controller.for_each(async |outcome| {
        if let Err(error) = outcome {
            eprintln!("the operator tries again: {error:?}");
        }
    }));
    let (reader, writer) = reflector::store();
    let reflecting = watcher(sites.clone(), watcher::Config::default()).default_backoff().reflect(writer);
    let reflector = tokio::spawn(reflecting.for_each(|_| std::future::ready(())));

    people(&sites, &maps).await;
    let gone = async || {
        while reader.get(&ObjectRef::new("blog").within("default")).is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone()).await.expect("the reflector has no more of it");
    operator.abort();
    reflector.abort();
    definitions.delete(Site::crd_name(), &DeleteParams::default()).await.expect("the definition can be deleted");
}

async fn people(sites: &Api<Site>, maps: &Api<ConfigMap>) {
    let spec = |pages: &[(&str, &str)]| SiteSpec {
        title: "Blog".to_owned(),
        pages: pages.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        audience: Some(Audience::Members),
    };
    let until = async |what: &str, is: &dyn Fn(&BTreeMap<String, String>) -> bool, name: &str| {
        let held = await_condition(maps.clone(), name, |map: Option<&ConfigMap>| {
            map.is_some_and(|map| {
                map.metadata.deletion_timestamp.is_none() && is(map.data.as_ref().unwrap_or(&BTreeMap::new()))
            })
        });
        let held = tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("never: {what}"));
        held.expect("the watch holds").expect("it is there")
    };
    sites.create(&PostParams::default(), &Site::new("blog", spec(&[("a", "1")]))).await.expect("a site is made");
    let made = until("the site's pages", &|data| data.get("a").is_some_and(|text| text == "1"), "blog").await;
    until("its line in the index", &|data| data.get("blog").is_some_and(|title| title == "Blog"), INDEX).await;
    let invalid =
        sites.patch("blog", &PatchParams::default(), &Patch::Merge(json!({"spec": {"audience": "Nobody"}}))).await;
    let refused = invalid.expect_err("the derived schema knows all of them").to_string();
    assert!(refused.contains(r#"Unsupported value: "Nobody": supported values: "Everybody", "Members""#), "{refused}");

    let more = Patch::Merge(json!({"spec": {"pages": {"a": null, "b": "2"}}}));
    sites.patch("blog", &PatchParams::default(), &more).await.expect("a site changes");
    until("its other pages", &|data| data.len() == 1 && data.contains_key("b"), "blog").await;
    maps.delete("blog", &DeleteParams::default()).await.expect("somebody deletes the pages");
    let again = until("the pages again", &|data| data.contains_key("b"), "blog").await;
    assert_ne!(again.uid(), made.uid());
    let told = await_condition(sites.clone(), "blog", |site: Option<&Site>| {
        site.is_some_and(|site| site.status.as_ref().map(|of| of.observed_generation) == site.metadata.generation)
    });
    let told = tokio::time::timeout(PATIENCE, told).await.expect("in time").expect("the watch holds");
    assert_eq!(told.and_then(|site| site.status).map(|of| of.pages), Some(1));

    let uid = sites.get("blog").await.expect("it is there").uid().expect("it has one");
    sites.delete("blog", &DeleteParams::background()).await.expect("a site is deleted");
    until("no line in the index", &|data| !data.contains_key("blog"), INDEX).await;
    let gone = await_condition(sites.clone(), "blog", conditions::is_deleted(&uid));
    tokio::time::timeout(PATIENCE, gone).await.expect("the finalizer lets it go").expect("the watch holds");
    let uid = again.uid().expect("it has one");
    let gone = await_condition(maps.clone(), "blog", conditions::is_deleted(&uid));
    tokio::time::timeout(PATIENCE, gone).await.expect("what it owned goes").expect("the watch holds");
    maps.delete(INDEX, &DeleteParams::default()).await.expect("the index belongs to nobody");
}

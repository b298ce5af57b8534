//! Gives CustomResourceDefinitions their names, says that they are established, and deletes their objects before they
//! go.

mod decide;
mod definition;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PartialObjectMeta};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use decide::{FINALIZER, Step, Taken, View, decide};
pub use definition::Definition;
use definition::Status;

/// The index of definitions by their group, in which names are given once.
const GROUP: &str = "group";
/// Objects of a definition that goes are looked for again after this time: nobody tells when the last is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

pub struct DefinitionController {
    client: Client,
    definitions: Informer<Definition>,
}

impl DefinitionController {
    pub fn new(shell: &Shell) -> Self {
        let definitions: Informer<Definition> = shell.informers.get();
        definitions.add_index(GROUP, |definition| vec![definition.spec.group.clone()]);
        Self { client: shell.client(), definitions }
    }

    fn taken(&self, definition: &Definition) -> Taken {
        let group = self.definitions.by_index(GROUP, &definition.spec.group);
        let others = group.iter().map(|other| &**other);
        Taken::by(others.filter(|other| other.name_any() != definition.name_any()))
    }

    fn api(&self) -> Api<Definition> {
        Api::all(self.client.clone())
    }

    async fn say(&self, definition: &Definition, status: &Status) -> Result<(), Error> {
        let version = definition.metadata.resource_version.as_deref();
        control::write::merge_status(&self.api(), &definition.name_any(), version, &json!(status)).await?;
        Ok(())
    }

    async fn release(&self, definition: &Definition) -> Result<(), Error> {
        let rest: Vec<&String> = definition.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        let patch = json!({"metadata": {
            "finalizers": rest, "resourceVersion": definition.metadata.resource_version,
        }});
        control::write::merge_uid(&self.api(), &definition.name_any(), meta::uid(&definition.metadata), patch).await?;
        Ok(())
    }

    async fn objects(&self, definition: &Definition) -> Result<Vec<PartialObjectMeta<DynamicObject>>, Error> {
        let Some(resource) = resource(definition) else { return Ok(Vec::new()) };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        Ok(api.list_metadata(&ListParams::default()).await?.items)
    }

    async fn delete(&self, definition: &Definition, namespaces: BTreeSet<String>) -> Result<(), Error> {
        let Some(resource) = resource(definition) else { return Ok(()) };
        for namespace in namespaces {
            let api: Api<DynamicObject> = match namespace.as_str() {
                "" => Api::all_with(self.client.clone(), &resource),
                namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
            };
            api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        }
        Ok(())
    }
}

/// The first version that is served; without one nothing can be deleted through the API, as it is upstream.
fn resource(definition: &Definition) -> Option<ApiResource> {
    let version = definition.spec.versions.iter().find(|version| version.served)?.name.clone();
    let (group, names) = (definition.spec.group.clone(), &definition.spec.names);
    Some(ApiResource {
        api_version: format!("{group}/{version}"),
        group,
        version,
        kind: names.kind.clone(),
        plural: names.plural.clone(),
    })
}

#[async_trait]
impl Controller for DefinitionController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "custom_resource_definition"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        let definitions = self.definitions.clone();
        watches.on(move |change: &Change<Definition>| {
            let changed = change.object();
            // Names that are given up may be what others of the group wait for.
            let waits = |other: &Definition| {
                !other.status.is_true("NamesAccepted") && other.status.condition("NamesAccepted").is_some()
            };
            let group = definitions.by_index(GROUP, &changed.spec.group);
            let others = group.into_iter().filter(|other| waits(other));
            let own = std::iter::once(ObjectKey::of(&changed.metadata));
            own.chain(others.map(|other| ObjectKey::of(&other.metadata))).collect::<Vec<_>>()
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(definition) = self.definitions.get(key) else { return Ok(Requeue::No) };
        let now = clock::format_time(clock::now());
        let taken = self.taken(&definition);
        let mut view = View { definition: &definition, taken, objects: None, now: &now };
        let mut step = decide(&view);
        let mut namespaces = BTreeSet::new();
        if step == Step::Count {
            let objects = self.objects(&definition).await?;
            namespaces = objects.iter().map(|object| object.namespace().unwrap_or_default()).collect();
            view.objects = Some(objects.len());
            step = decide(&view);
        }
        match step {
            Step::Nothing | Step::Count => {}
            Step::Say(status) => self.say(&definition, &status).await?,
            Step::DeleteObjects => {
                self.delete(&definition, namespaces).await?;
                return Ok(Requeue::After(LOOK_AGAIN));
            }
            Step::Release => self.release(&definition).await?,
        }
        Ok(Requeue::No)
    }
}

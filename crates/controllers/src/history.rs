//! Revisions of a pod template, kept as ControllerRevisions. (upstream: pkg/controller/history)

use std::sync::Arc;

use control::error::ignore_already_exists;
use control::meta::Labels;
use control::{Error, Informer, hash, meta};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::PostParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tracing::info;

/// The label of a pod that names the revision it was made from.
pub const REVISION_LABEL: &str = "controller-revision-hash";
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// A revision, oldest first in lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    pub name: String,
    pub number: i64,
    /// The patch that turns any template of the owner into this one.
    pub data: Value,
}

/// The data of a revision: a strategic merge patch that replaces the template.
pub fn template_patch(template: &PodTemplateSpec) -> Result<Value, Error> {
    let mut template = serde_json::to_value(template)?;
    template["$patch"] = json!("replace");
    Ok(json!({ "spec": { "template": template } }))
}

/// The template of a revision made by [`template_patch`].
pub fn template_of(revision: &Revision) -> Result<PodTemplateSpec, Error> {
    let mut template = revision.data["spec"]["template"].clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    Ok(serde_json::from_value(template)?)
}

/// What has to happen so that the newest revision is that of `data`.
#[derive(Debug, PartialEq)]
pub enum Step {
    Ready,
    /// An old one is the newest again.
    Renumber {
        name: String,
        number: i64,
    },
    Create {
        number: i64,
    },
}

pub fn step(revisions: &[Revision], data: &Value) -> Step {
    let newest = revisions.last().map(|revision| revision.number).unwrap_or_default();
    match revisions.iter().rev().find(|revision| revision.data == *data) {
        Some(revision) if revision.number == newest => Step::Ready,
        Some(revision) => Step::Renumber { name: revision.name.clone(), number: newest + 1 },
        None => Step::Create { number: newest + 1 },
    }
}

/// Revisions to delete: the oldest that are not in use, beyond `limit`.
pub fn surplus<'a>(revisions: &'a [Revision], used: &[&str], limit: usize) -> Vec<&'a Revision> {
    let idle: Vec<&Revision> = revisions.iter().filter(|revision| !used.contains(&revision.name.as_str())).collect();
    let count = idle.len().saturating_sub(limit);
    idle.into_iter().take(count).collect()
}

/// The revisions of one owner.
pub struct History<'a, K> {
    pub client: &'a Client,
    pub revisions: &'a Informer<ControllerRevision>,
    pub owner: &'a K,
}

impl<K: Resource<DynamicType = ()>> History<'_, K> {
    fn api(&self) -> Api<ControllerRevision> {
        Api::namespaced(self.client.clone(), self.owner.meta().namespace.as_deref().unwrap_or_default())
    }

    pub fn list(&self) -> Vec<Revision> {
        let mut found = self.revisions.owned_by(meta::uid(self.owner.meta()));
        found.sort_by_key(|revision| (revision.revision, meta::created_at(&revision.metadata), revision.name_any()));
        found.iter().map(|revision| view(revision)).collect()
    }

    /// Makes sure that `data` is the newest revision, and answers with all of them, that one last.
    pub async fn sync(
        &self,
        data: Value,
        labels: &Labels,
        template: &PodTemplateSpec,
        collisions: i32,
    ) -> Result<Vec<Revision>, Error> {
        let mut revisions = self.list();
        match step(&revisions, &data) {
            Step::Ready => {}
            Step::Renumber { name, number } => {
                let api = self.api();
                let mut newest = api.get(&name).await?;
                newest.revision = number;
                api.replace(&name, &PostParams::default(), &newest).await?;
                let at =
                    revisions.iter().position(|revision| revision.name == name).expect("the step names one of them");
                let mut revision = revisions.remove(at);
                revision.number = number;
                revisions.push(revision);
            }
            Step::Create { number } => revisions.push(self.create(data, number, labels, template, collisions).await?),
        }
        Ok(revisions)
    }

    async fn create(
        &self,
        data: Value,
        number: i64,
        labels: &Labels,
        template: &PodTemplateSpec,
        collisions: i32,
    ) -> Result<Revision, Error> {
        let api = self.api();
        // The hash names the revision; a name that is taken by other data gets another hash.
        for collision in collisions.. {
            let hash = hash::object_hash(&data, (collision > 0).then_some(collision));
            let wanted = self.object(&data, number, &hash, template);
            debug_assert!(labels.matches(&wanted.metadata), "the template's labels match the selector");
            if ignore_already_exists(api.create(&PostParams::default(), &wanted).await)?.is_some() {
                info!(revision = wanted.name_any(), number, "new revision");
                return Ok(view(&wanted));
            }
            let present = view(&api.get(&wanted.name_any()).await?);
            if present.data == data {
                return Ok(present);
            }
        }
        Err(Error::Retry("no free name for a revision".to_owned()))
    }

    fn object(&self, data: &Value, number: i64, hash: &str, template: &PodTemplateSpec) -> ControllerRevision {
        let mut labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
        ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", self.owner.name_any())),
                namespace: self.owner.namespace(),
                labels: Some(labels),
                annotations: self.owner.meta().annotations.clone(),
                owner_references: Some(vec![meta::controller_ref(self.owner)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data.clone())),
            revision: number,
        }
    }

    pub async fn truncate(&self, revisions: &[Revision], used: &[&str], limit: usize) -> Result<(), Error> {
        for old in surplus(revisions, used, limit) {
            control::error::ignore_not_found(self.api().delete(&old.name, &kube::api::DeleteParams::default()).await)?;
        }
        Ok(())
    }
}

fn view(revision: &ControllerRevision) -> Revision {
    Revision {
        name: revision.name_any(),
        number: revision.revision,
        data: revision.data.as_ref().map(|data| data.0.clone()).unwrap_or_default(),
    }
}

/// The short form that pods carry: the hash part of a revision's name is the whole name upstream.
pub fn pod_revision(pod: &Arc<k8s_openapi::api::core::v1::Pod>) -> &str {
    meta::label(&pod.metadata, REVISION_LABEL).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(name: &str, number: i64, data: i64) -> Revision {
        Revision { name: name.to_owned(), number, data: json!(data) }
    }

    #[test]
    fn a_template_that_returns_gets_a_new_number() {
        let revisions = [revision("a", 1, 10), revision("b", 2, 20)];
        assert_eq!(step(&revisions, &json!(20)), Step::Ready);
        assert_eq!(step(&revisions, &json!(10)), Step::Renumber { name: "a".to_owned(), number: 3 });
        assert_eq!(step(&revisions, &json!(30)), Step::Create { number: 3 });
        assert_eq!(step(&[], &json!(30)), Step::Create { number: 1 });
    }

    #[test]
    fn only_idle_revisions_are_deleted() {
        let revisions = [revision("a", 1, 1), revision("b", 2, 2), revision("c", 3, 3), revision("d", 4, 4)];
        let names: Vec<_> = surplus(&revisions, &["a", "d"], 1).iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["b"]);
    }

    #[test]
    fn a_template_survives_its_revision() {
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": { "labels": { "app": "db" } },
            "spec": { "containers": [{ "name": "c", "image": "db:1" }] },
        }))
        .unwrap();
        let revision = Revision { name: "a".to_owned(), number: 1, data: template_patch(&template).unwrap() };
        assert_eq!(template_of(&revision).unwrap(), template);
    }
}

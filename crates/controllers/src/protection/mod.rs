//! Keeps what is stored on while it is used: objects that are being deleted go when their finalizer does.
//! (upstream: pkg/controller/volume/{pvcprotection,pvprotection,vacprotection})

mod kinds;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watched, Watches, meta};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Serialize;

/// A kind whose objects stay while others use them.
#[async_trait]
pub trait Protected: Watched + Serialize {
    const QUEUE: &'static str;
    const FINALIZER: &'static str;
    /// Who may use such an object, as far as it is known here.
    type Users: Send + Sync + 'static;

    fn users(shell: &Shell) -> Self::Users;
    /// Queues objects whose use may have ended.
    fn watch_users(users: &Self::Users, watches: &mut Watches<ObjectKey>);
    async fn is_used(&self, users: &Self::Users) -> Result<bool, Error>;
    fn api(client: Client, key: &ObjectKey) -> Api<Self>;
}

pub struct Protection<K: Protected> {
    client: Client,
    objects: Informer<K>,
    users: K::Users,
}

impl<K: Protected> Protection<K> {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), objects: shell.informers.get(), users: K::users(shell) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// It was made before the finalizer was put on all.
    Add,
    RemoveIfUnused,
}

fn step(meta: &ObjectMeta, finalizer: &str) -> Step {
    match (meta::is_terminating(meta), meta::has_finalizer(meta, finalizer)) {
        (true, true) => Step::RemoveIfUnused,
        (false, false) => Step::Add,
        _ => Step::Nothing,
    }
}

#[async_trait]
impl<K: Protected> Controller for Protection<K> {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        K::QUEUE
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<K>| {
            let meta = change.object().meta();
            (step(meta, K::FINALIZER) != Step::Nothing).then(|| ObjectKey::of(meta))
        });
        K::watch_users(&self.users, watches);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(object) = self.objects.get(key) else { return Ok(Requeue::No) };
        let mut changed = (*object).clone();
        let finalizers = changed.meta_mut().finalizers.get_or_insert_default();
        match step(object.meta(), K::FINALIZER) {
            Step::Add => finalizers.push(K::FINALIZER.to_owned()),
            Step::RemoveIfUnused if !object.is_used(&self.users).await? => {
                finalizers.retain(|finalizer| finalizer != K::FINALIZER);
            }
            _ => return Ok(Requeue::No),
        }
        let replaced = K::api(self.client.clone(), key).replace(&key.name, &PostParams::default(), &changed).await;
        control::error::ignore_not_found(replaced)?;
        Ok(Requeue::No)
    }
}

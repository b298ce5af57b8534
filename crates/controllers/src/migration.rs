//! Has all objects of a resource written again, so that they are stored as they would be today: in today's version,
//! encrypted by today's key. (upstream: pkg/controller/storageversionmigrator)

use async_trait::async_trait;
use control::error::ApiErrorExt as _;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches};
use k8s_openapi::api::storagemigration::v1beta1::{StorageVersionMigration, StorageVersionMigrationStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::json;
use tracing::info;

use crate::discovery::{self, Served};

/// In the requests, and upstream's name of the controller.
const MANAGER: &str = "storage-version-migrator-controller";
/// Objects that are listed at a time.
const PAGE: u32 = 500;
/// A namespace that can not be: a list of it holds nothing that had to be converted, but the newest resource version.
const NO_NAMESPACE: &str = "@fake:svm_ns!";

/// A condition of a migration, and the reason that it has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Running,
    Succeeded,
    Failed,
}

impl Stage {
    fn name_and_reason(self) -> (&'static str, &'static str) {
        match self {
            Self::Running => ("Running", "StorageVersionMigrationInProgress"),
            Self::Succeeded => ("Succeeded", "StorageVersionMigrationSucceeded"),
            Self::Failed => ("Failed", "StorageVersionMigrationFailed"),
        }
    }

    fn holds(self, status: &StorageVersionMigrationStatus) -> bool {
        let mut conditions = status.conditions.iter().flatten();
        conditions.any(|condition| condition.type_ == self.name_and_reason().0 && condition.status == "True")
    }
}

/// Says so in a status; what has come to an end no longer runs.
fn reach(status: &mut StorageVersionMigrationStatus, stage: Stage, message: &str, now: Time) {
    if stage.holds(status) {
        return;
    }
    let conditions = status.conditions.get_or_insert_default();
    if stage != Stage::Running {
        let running = conditions.iter_mut().filter(|condition| condition.type_ == Stage::Running.name_and_reason().0);
        running.for_each(|condition| condition.status = "False".to_owned());
    }
    let (type_, reason) = stage.name_and_reason();
    conditions.push(Condition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: now,
        observed_generation: None,
    });
}

pub struct MigrationController {
    client: Client,
    migrations: Informer<StorageVersionMigration>,
}

impl MigrationController {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), migrations: shell.informers.get() }
    }

    /// Whether there is anything to do for the controller in this cluster.
    pub async fn is_needed(shell: &Shell) -> bool {
        let found = discovery::find(&shell.client(), "storagemigration.k8s.io", "storageversionmigrations").await;
        found.is_ok_and(|found| found.is_some())
    }

    async fn tell(
        &self,
        migration: &StorageVersionMigration,
        stage: Stage,
        message: &str,
        version: Option<String>,
    ) -> Result<StorageVersionMigration, kube::Error> {
        let mut told = migration.clone();
        let status = told.status.get_or_insert_default();
        status.resource_version = status.resource_version.take().or(version);
        reach(status, stage, message, Time(clock::now_seconds()));
        if told == *migration {
            return Ok(told);
        }
        control::write::replace_status(&Api::all(self.client.clone()), &told).await
    }

    async fn newest_version(&self, served: &Served) -> Result<Option<String>, kube::Error> {
        let api = match served.namespaced {
            true => Api::namespaced_with(self.client.clone(), NO_NAMESPACE, &served.resource),
            false => Api::<DynamicObject>::all_with(self.client.clone(), &served.resource),
        };
        Ok(api.list_metadata(&ListParams::default().limit(1)).await?.metadata.resource_version)
    }

    /// Writes all objects again, and answers why one of them could not be. The error is that of the list.
    async fn migrate(&self, served: &Served) -> Result<Result<(), kube::Error>, kube::Error> {
        let all = Api::<DynamicObject>::all_with(self.client.clone(), &served.resource);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = all.list_metadata(&page).await?;
            for object in &list.items {
                if let Err(error) = self.rewrite(served, &object.metadata).await {
                    return Ok(Err(error));
                }
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(Ok(())),
            }
        }
    }

    /// An apply that says nothing. Uid and resource version make it fail where there is nothing left to do: the object
    /// was written meanwhile, has gone, or is another one.
    async fn rewrite(&self, served: &Served, object: &ObjectMeta) -> Result<(), kube::Error> {
        let api = match &object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &served.resource),
            None => Api::<DynamicObject>::all_with(self.client.clone(), &served.resource),
        };
        let nothing = json!({
            "apiVersion": served.resource.api_version, "kind": served.resource.kind,
            "metadata": {"uid": object.uid, "resourceVersion": object.resource_version},
        });
        let name = object.name.as_deref().unwrap_or_default();
        match api.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(&nothing)).await {
            Err(error) if error.is_conflict() => Ok(()),
            done => done.map(drop),
        }
    }
}

#[async_trait]
impl Controller for MigrationController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        MANAGER
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<StorageVersionMigration>| Some(ObjectKey::of(&change.object().metadata)));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(migration) = self.migrations.get(key) else { return Ok(Requeue::No) };
        let status = migration.status.clone().unwrap_or_default();
        if Stage::Succeeded.holds(&status) || Stage::Failed.holds(&status) {
            return Ok(Requeue::No);
        }
        let of = migration.spec.clone().unwrap_or_default().resource;
        let found = discovery::find(&self.client, &of.group, &of.resource).await?;
        let Some(served) = found else {
            self.tell(&migration, Stage::Failed, "resource does not exist in discovery", None).await?;
            return Ok(Requeue::No);
        };
        if !served.can("list") || !served.can("patch") {
            self.tell(&migration, Stage::Failed, "resource not found", None).await?;
            return Ok(Requeue::No);
        }
        let version = self.newest_version(&served).await?;
        let running = self.tell(&migration, Stage::Running, "", version).await?;
        let (stage, message) = match self.migrate(&served).await? {
            Ok(()) => (Stage::Succeeded, ""),
            Err(error) => {
                info!(migration = %key, %error, "objects can not be migrated");
                (Stage::Failed, "migration encountered unhandled error")
            }
        };
        self.tell(&running, stage, message, None).await?;
        Ok(Requeue::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_to_an_end_no_longer_runs() {
        let now = || Time("2026-01-01T00:00:00Z".parse().unwrap());
        let mut status = StorageVersionMigrationStatus::default();
        reach(&mut status, Stage::Running, "", now());
        reach(&mut status, Stage::Running, "", now());
        assert!(Stage::Running.holds(&status) && !Stage::Failed.holds(&status));
        reach(&mut status, Stage::Failed, "resource not found", now());
        let conditions = status.conditions.unwrap();
        let told: Vec<_> = conditions.iter().map(|of| (of.type_.as_str(), of.status.as_str(), &*of.reason)).collect();
        assert_eq!(
            told,
            [
                ("Running", "False", "StorageVersionMigrationInProgress"),
                ("Failed", "True", "StorageVersionMigrationFailed")
            ]
        );
    }
}

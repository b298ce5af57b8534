//! DELETE of one object and of many.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use kinds::KindDef;
use machinery::{ApiError, GroupResource, Object, Reason};
use store::Expect;

use super::deletion::{self, Plan};
use super::{Outcome, Together, admission_request};
use crate::answer::{Deleted, List};
use crate::entry::Entry;
use crate::registry::Registry;
use crate::request::{AdmissionRequest, Context, DeleteOptions, ListOptions, Operation, Target};

/// Objects of a collection that are deleted at the same time.
const COLLECTION_WIDTH: usize = 16;

impl Registry {
    /// Deletes an object, or marks it and leaves it to its finalizers or its grace period.
    pub async fn delete(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        self.delete_if(cx, kind, (namespace, name), options, true).await
    }

    /// The same where it follows from something that was admitted.
    pub async fn delete_admitted(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        self.delete_if(cx, kind, (namespace, name), options, false).await
    }

    /// `admits`: whether admission is asked.
    async fn delete_if(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        (namespace, name): (&str, &str),
        options: &DeleteOptions,
        admits: bool,
    ) -> Result<Deleted, ApiError> {
        self.fresh().await?;
        let mut current = self.current(kind, namespace, name)?;
        loop {
            let old = self.read_as(kind, current.object()).await?;
            check_preconditions(kind, &old, options)?;
            if admits {
                let request =
                    admission_request(cx, kind, Operation::Delete, (namespace, name), Target::Main, Some(&old));
                let request = AdmissionRequest { deletion: Some(options), ..request };
                self.admission().mutate(self, &request, None).await?;
                self.admission().validate(self, &request, None).await?;
            }
            let plan = deletion::plan(kind, &old, options, clock::now_seconds());
            match self.carry_out(cx, kind, &current, plan).await? {
                Ok(deleted) => return Ok(deleted),
                Err(held) => current = self.newer(kind, name, held)?,
            }
        }
    }

    /// Does what the plan says; the inner error is what the key holds when another write was faster.
    async fn carry_out(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        current: &Arc<Entry>,
        plan: Plan,
    ) -> Result<Result<Deleted, Option<store::KeyValue>>, ApiError> {
        let outcome = match plan {
            Plan::Waits => return Ok(Ok(Deleted::Pending(self.seen_one(current, kind).await?))),
            Plan::Mark(object) if cx.dry_run => {
                return Ok(Ok(Deleted::Pending(Arc::new(current.seen_as(kind, *object)))));
            }
            Plan::Remove if cx.dry_run => return Ok(Ok(Deleted::Gone(self.seen_one(current, kind).await?))),
            Plan::Mark(object) => {
                let expect = Expect::ModRevision(current.revision());
                return Ok(match self.put(kind, current.key(), *object, expect, Together::Nothing).await? {
                    Outcome::Written(entry) => Ok(Deleted::Pending(entry)),
                    Outcome::Lost(held) => Err(held),
                });
            }
            Plan::Remove => self.remove(current).await?,
        };
        Ok(match outcome {
            Outcome::Written(gone) => Ok(Deleted::Gone(self.seen_one(&gone, kind).await?)),
            Outcome::Lost(held) => Err(held),
        })
    }

    /// Deletes everything that a list selects, and answers that list.
    pub async fn delete_collection(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<List, ApiError> {
        let list = self.list(kind, namespace, list).await?;
        let deletions = list.items.clone().into_iter().map(|entry| self.delete_if_there(cx, kind, entry, options));
        stream::iter(deletions).buffer_unordered(COLLECTION_WIDTH).try_collect::<()>().await?;
        Ok(list)
    }

    async fn delete_if_there(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        entry: Arc<Entry>,
        options: &DeleteOptions,
    ) -> Result<(), ApiError> {
        match self.delete(cx, kind, entry.namespace(), entry.name(), options).await {
            Err(error) if error.reason != Reason::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn check_preconditions(kind: &KindDef, old: &Object, options: &DeleteOptions) -> Result<(), ApiError> {
    // Upstream names the kind here, not the resource.
    let of = GroupResource::new(kind.group, kind.kind);
    let conflict = |why: String| Err(ApiError::conflict(&of, old.name(), why));
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != old.uid()) {
        let is = old.uid();
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({is}). The object might have been \
             deleted and then recreated"
        ));
    }
    match options.resource_version.as_deref() {
        Some(revision) if revision != old.resource_version() => conflict(format!(
            "the ResourceVersion in the precondition ({revision}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            old.resource_version()
        )),
        _ => Ok(()),
    }
}

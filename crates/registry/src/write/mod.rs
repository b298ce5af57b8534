//! The verbs that write, for any kind: prepare, admit, default, validate, write, answer.

use std::sync::Arc;

use bytes::Bytes;
use kinds::KindDef;
use machinery::object::{DEPTH_MAX, depth};
use machinery::{ApiError, Object};
use store::{Expect, KeyValue, Revision, Write};
use trace::attribute;

use crate::admission::Admitted;
use crate::conversion::converts_by_webhook;
use crate::convert::{to_storage, view};
use crate::entry::Entry;
use crate::errors::of_store;
use crate::registry::Registry;
use crate::request::{AdmissionRequest, Context, Operation, Target};
use crate::scale as scales;

mod create;
mod delete;
pub(crate) mod deletion;
mod managers;
pub(crate) mod meta;
mod patch;
mod scale;
mod together;
mod update;

pub use patch::other_type;
pub use together::Along;
use together::Together;

/// Bytes of an object: more than one request can bring, so that many can not make an object that holds up everybody who
/// reads it. An etcd takes less.
const OBJECT_BYTES_MAX: usize = 4 << 20;

/// What came of a write under a condition.
pub(crate) enum Outcome {
    Written(Arc<Entry>),
    /// The condition did not hold; this is what the key holds.
    Lost(Option<KeyValue>),
}

impl Registry {
    /// Writes `object`, which is of `kind`, and answers it as `kind`.
    async fn put(
        &self,
        kind: &'static KindDef,
        key: &str,
        object: Object,
        expect: Expect,
        together: Together<'_>,
    ) -> Result<Outcome, ApiError> {
        // Named as upstream's, whose store is etcd, so that what looks for these steps finds them.
        let name = if expect == Expect::Absent { "Create etcd3" } else { "GuaranteedUpdate etcd3" };
        let attributes = || {
            vec![
                attribute("key", key),
                attribute("type", kind.kind),
                attribute("group", kind.group),
                attribute("resource", kind.resource),
            ]
        };
        trace::step(name, attributes, self.put_encoded(kind, key, object, expect, together)).await
    }

    async fn put_encoded(
        &self,
        kind: &'static KindDef,
        key: &str,
        object: Object,
        expect: Expect,
        together: Together<'_>,
    ) -> Result<Outcome, ApiError> {
        let storage = self.kinds().storage(kind);
        let as_sent = converts_by_webhook(kind).then(|| object.clone());
        let mut object = match as_sent {
            Some(_) => self.read_as(storage, object).await?,
            None => to_storage(kind, storage, object),
        };
        object.remove(&["metadata", "resourceVersion"]);
        // Formats that nest JSON within something else reach deeper than one parser goes.
        if object.0.values().map(depth).max().unwrap_or(0) >= DEPTH_MAX {
            return Err(ApiError::bad_request(format!("the object is nested deeper than {DEPTH_MAX} levels")));
        }
        trace::event("About to Encode", Vec::new);
        let json = Bytes::from(object.to_bytes());
        trace::event("Encode succeeded", || vec![attribute("len", json.len())]);
        if json.len() > OBJECT_BYTES_MAX {
            return Err(of_store(store::Error::TooLarge("etcdserver: request is too large".to_owned())));
        }
        let _in_use = self.0.transformer.hold(key);
        let value = self.0.transformer.to_storage(key, json.clone()).map_err(ApiError::internal)?;
        trace::event("TransformToStorage succeeded", Vec::new);
        let written = self.commit(Write { key: key.into(), value: Some(value), expect }, together).await?;
        match (&written, expect) {
            (Ok(_), Expect::Absent) => trace::event("Txn call succeeded", Vec::new),
            (Ok(_), Expect::ModRevision(_)) => trace::event("Transaction committed", Vec::new),
            (Err(error), _) => trace::event("Txn call failed", || vec![attribute("err", error.to_string())]),
        }
        match written {
            Ok(revision) => {
                let entry = Arc::new(Entry::new(storage, key, revision, &json));
                Ok(Outcome::Written(match as_sent {
                    // Nobody needs to be asked what the client has just said.
                    Some(object) if kind.version != storage.version => Arc::new(entry.seen_as(kind, object)),
                    _ => view(&entry, kind),
                }))
            }
            Err(store::Error::Conflict(held)) => Ok(Outcome::Lost(held)),
            Err(error) => Err(of_store(error)),
        }
    }

    /// The outer error is admission's.
    async fn commit(&self, write: Write, together: Together<'_>) -> Result<store::Result<Revision>, ApiError> {
        let store = &*self.0.store;
        Ok(match together {
            Together::Nothing => store.write(write).await,
            Together::Along(along) => along.follow(store, write).await,
            Together::Counted(counted) => match counted.write(self, &write).await? {
                Some(written) => written,
                None => store.write(write).await,
            },
        })
    }

    /// Removes the object that `last` is, and answers it with the revision of its removal.
    async fn remove(&self, last: &Arc<Entry>) -> Result<Outcome, ApiError> {
        let expect = Expect::ModRevision(last.revision());
        match self.0.store.write(Write { key: last.key().into(), value: None, expect }).await {
            Ok(revision) => {
                self.release(last).await;
                Ok(Outcome::Written(Arc::new(last.at_revision(revision))))
            }
            Err(store::Error::Conflict(held)) => Ok(Outcome::Lost(held)),
            Err(error) => Err(of_store(error)),
        }
    }

    /// Whether the value would be of another version, of other content or encrypted otherwise today, so that even a write
    /// that changes nothing stores it. Custom resources are read along the schema of today, which may know less than that
    /// by which they were written, or have other defaults.
    async fn is_outdated(&self, kind: &'static KindDef, current: &Entry) -> Result<bool, ApiError> {
        let key = current.key();
        if current.kind().version != self.kinds().storage(kind).version {
            return Ok(true);
        }
        let (transformer, custom) = (&self.0.transformer, current.kind().custom.is_some());
        if !custom && !transformer.covers(key) {
            return Ok(false);
        }
        let Some(held) = self.0.store.get(key, None).await.map_err(of_store)? else { return Ok(false) };
        if transformer.is_outdated(key, &held.value) {
            return Ok(true);
        }
        let written = || {
            let plain = transformer.from_storage(key, held.value.clone()).ok()?;
            serde_json::from_slice::<Object>(&plain).ok()
        };
        let mut read = current.object();
        read.remove(&["metadata", "resourceVersion"]);
        Ok(custom && held.mod_revision == current.revision() && written().is_some_and(|written| written != read))
    }

    /// What was written while this request was under way, to try again from.
    fn newer(&self, kind: &KindDef, name: &str, held: Option<KeyValue>) -> Result<Arc<Entry>, ApiError> {
        let held = held.ok_or_else(|| ApiError::not_found(&kind.group_resource(), name))?;
        self.0.cache.decode(&held).map_err(ApiError::internal)
    }

    /// Admission's changes, and defaults for what admission added. It can make the object no other one, nor give its
    /// fields to somebody else. A write of the scale shows admission a Scale.
    async fn mutate_and_default(&self, request: &AdmissionRequest<'_>, object: &mut Object) -> Result<(), ApiError> {
        if request.subresource == "scale" {
            let paths = scales::paths(request.kind)?;
            let (old, mut new) = (request.old.map(|old| scales::of(&paths, old)), scales::of(&paths, object));
            let request = AdmissionRequest { old: old.as_ref(), ..*request };
            self.admission().mutate(self, &request, Some(&mut new)).await?;
            scales::check(&mut new, request.namespace, request.name)?;
            object.set(paths.spec_replicas, scales::replicas(&new));
        } else {
            let managers = object.get(meta::MANAGED_FIELDS).cloned();
            self.admission().mutate(self, request, Some(object)).await?;
            meta::set_or_remove(object, meta::MANAGED_FIELDS, managers);
            meta::check_type(request.kind, object)?;
            meta::check_namespace(request.kind, request.namespace, object)?;
            request.old.map_or(Ok(()), |old| meta::check_preconditions(request.kind, object, old))?;
        }
        request.kind.default(object);
        Ok(())
    }

    /// Admission's last word on what will be written.
    async fn last_word(&self, request: &AdmissionRequest<'_>, object: &Object) -> Result<Admitted, ApiError> {
        if request.subresource != "scale" {
            return self.admission().validate(self, request, Some(object)).await;
        }
        let paths = scales::paths(request.kind)?;
        let (old, new) = (request.old.map(|old| scales::of(&paths, old)), scales::of(&paths, object));
        let request = AdmissionRequest { old: old.as_ref(), ..*request };
        self.admission().validate(self, &request, Some(&new)).await
    }
}

/// A request as admission sees it.
fn admission_request<'a>(
    context: &'a Context,
    kind: &'static KindDef,
    operation: Operation,
    (namespace, name): (&'a str, &'a str),
    target: Target,
    old: Option<&'a Object>,
) -> AdmissionRequest<'a> {
    let subresource = subresource(target);
    AdmissionRequest { context, kind, operation, subresource, namespace, name, old, deletion: None }
}

fn subresource(target: Target) -> &'static str {
    match target {
        Target::Main => "",
        Target::Status => "status",
        Target::Scale => "scale",
        Target::Other(name) => name,
    }
}

fn check(kind: &KindDef, name: &str, errors: Vec<machinery::field::Error>) -> Result<(), ApiError> {
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(&kind.gvk(), name, &errors)) }
}

fn warn(cx: &Context, kind: &KindDef, new: &Object, old: Option<&Object>) {
    kind.warnings(new, old).into_iter().for_each(|warning| cx.warnings.add(warning));
}

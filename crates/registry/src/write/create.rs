//! POST.

use std::sync::Arc;

use kinds::KindDef;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{path_segment_name, validate_object_meta, validate_standard_finalizers};
use machinery::{ApiError, Object, Reason};
use store::Expect;

use super::{Outcome, admission_request, check, meta, warn};
use crate::entry::Entry;
use crate::keys::object_key;
use crate::registry::Registry;
use crate::request::{Context, Operation, Target};

/// Generated names that are tried before the client is told to try again.
const NAME_ATTEMPTS: usize = 8;

impl Registry {
    /// Makes an object. `namespace` is empty for kinds of cluster scope.
    pub async fn create(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        mut object: Object,
    ) -> Result<Arc<Entry>, ApiError> {
        if kind.virtual_kind {
            return Err(ApiError::method_not_supported(&kind.group_resource(), "create"));
        }
        meta::check_type(kind, &mut object)?;
        meta::check_namespace(kind, namespace, &mut object)?;
        meta::wipe(&mut object);
        kind.default(&mut object);
        self.track(cx, kind, Target::Main, None, &mut object).await;
        self.make(cx, kind, namespace, object).await
    }

    /// Makes an object whose managers are known.
    pub(super) async fn make(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        mut object: Object,
    ) -> Result<Arc<Entry>, ApiError> {
        let name = object.name().to_owned();
        if self.kinds().is_terminating(kind) {
            return Err(kind.terminating(&name));
        }
        let request = admission_request(cx, kind, Operation::Create, (namespace, &name), Target::Main, None);
        self.mutate_and_default(&request, &mut object).await?;
        meta::wipe(&mut object);
        meta::begin(kind, &mut object);
        for _ in 1..NAME_ATTEMPTS {
            let Some(name) = meta::generated_name(&object) else {
                return self.create_named(cx, kind, namespace, object).await;
            };
            let mut named = object.clone();
            named.set(&["metadata", "name"], name);
            match self.create_named(cx, kind, namespace, named).await {
                Err(error) if error.reason == Reason::AlreadyExists => {}
                done => return done,
            }
        }
        let name = meta::generated_name(&object).unwrap_or_default();
        object.set(&["metadata", "name"], name);
        self.create_named(cx, kind, namespace, object).await.map_err(no_unique_name)
    }

    async fn create_named(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        mut object: Object,
    ) -> Result<Arc<Entry>, ApiError> {
        // Only now: what is prepared may hold the name.
        (kind.strategy.prepare_create)(&mut object);
        // A status that was taken away shows what it always shows.
        if object.map(&["status"]).is_some_and(serde_json::Map::is_empty) {
            kind.default(&mut object);
        }
        let key = object_key(self.kinds().storage(kind), namespace, object.name());
        let reservation = self.reserve(cx, kind, &mut object, None).await?;
        let created = self.create_reserved(cx, kind, namespace, &key, object).await;
        reservation.settle(created.is_ok() && !cx.dry_run).await;
        created
    }

    async fn create_reserved(
        &self,
        cx: &Context,
        kind: &'static KindDef,
        namespace: &str,
        key: &str,
        object: Object,
    ) -> Result<Arc<Entry>, ApiError> {
        let name = object.name().to_owned();
        check(kind, &name, validate(kind, &object))?;
        let request = admission_request(cx, kind, Operation::Create, (namespace, &name), Target::Main, None);
        let admitted = self.last_word(&request, &object).await?;
        warn(cx, kind, &object, None);
        if cx.dry_run {
            return self.dry_create(kind, key, object).await;
        }
        meta::check_unwritten(&object)?;
        match self.put(kind, key, object, Expect::Absent, admitted.into()).await? {
            Outcome::Written(entry) => Ok(entry),
            Outcome::Lost(_) => Err(ApiError::already_exists(&kind.group_resource(), &name)),
        }
    }

    async fn dry_create(&self, kind: &'static KindDef, key: &str, object: Object) -> Result<Arc<Entry>, ApiError> {
        self.fresh().await?;
        if self.resource(kind)?.get(key).is_some() {
            return Err(ApiError::already_exists(&kind.group_resource(), object.name()));
        }
        Ok(Arc::new(Entry::new(self.kinds().storage(kind), key, 0, b"{}").seen_as(kind, object)))
    }
}

fn validate(kind: &KindDef, object: &Object) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = validate_object_meta(object, kind.namespaced(), kind.strategy.validate_name, &path);
    if errors.is_empty() {
        // Whatever a kind calls a name, it becomes one segment of a key.
        let invalid = |message| Error::invalid(&path.child("name"), object.name(), message);
        errors.extend(path_segment_name(object.name()).into_iter().map(invalid));
    }
    if !kind.strategy.any_finalizers {
        errors.extend(validate_standard_finalizers(object, &path));
    }
    errors.extend(kind.validate_create(object));
    errors
}

fn no_unique_name(mut error: ApiError) -> ApiError {
    if error.reason == Reason::AlreadyExists {
        error.message += ", the server was not able to generate a unique name for the object";
    }
    error
}

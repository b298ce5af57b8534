//! Keeps the rules as the stored objects say, the default objects there, and the status of FlowSchemas true.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use kinds::KindDef;
use machinery::{ApiError, Object, Reason};
use registry::{Context, Registry, Target, Watch, WatchOptions};
use serde_json::{Value, json};

use super::{Fairness, config, defaults};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// Ends with the server.
pub(crate) async fn follow(registry: Registry, fairness: Weak<Fairness>) {
    let kind = |resource| registry.kinds().find(GROUP, "v1", resource).expect("kinds of flow control are served");
    let kinds = Kinds { levels: kind("prioritylevelconfigurations"), schemas: kind("flowschemas") };
    while fairness.strong_count() > 0 {
        if let Err(error) = follow_once(&registry, &kinds, &fairness).await {
            tracing::warn!(%error, "rules of priority and fairness are not followed");
        }
        tokio::time::sleep(RETRY).await;
    }
}

struct Kinds {
    levels: &'static KindDef,
    schemas: &'static KindDef,
}

async fn follow_once(registry: &Registry, kinds: &Kinds, fairness: &Weak<Fairness>) -> Result<(), ApiError> {
    ensure_defaults(registry, kinds).await?;
    let mut levels = registry.watch(kinds.levels, "", &WatchOptions::default()).await?;
    let mut schemas = registry.watch(kinds.schemas, "", &WatchOptions::default()).await?;
    loop {
        let more = tokio::select! {
            event = levels.next() => event.is_some(),
            event = schemas.next() => event.is_some(),
        };
        if !more {
            return Ok(());
        }
        pass_over(&mut levels);
        pass_over(&mut schemas);
        let Some(fairness) = fairness.upgrade() else { return Ok(()) };
        look(registry, kinds, &fairness).await?;
    }
}

/// What has come in already is seen by the next look.
fn pass_over(watch: &mut Watch) {
    while watch.next().now_or_never().flatten().is_some() {}
}

async fn look(registry: &Registry, kinds: &Kinds, fairness: &Arc<Fairness>) -> Result<(), ApiError> {
    let all = |kind| registry.lister(kind).list("").iter().map(|entry| entry.object()).collect::<Vec<Object>>();
    let (levels, schemas) = (all(kinds.levels), all(kinds.schemas));
    let lacks = |stored: &[Object], wanted: &Object| stored.iter().all(|of| of.name() != wanted.name());
    let missing = defaults::levels().iter().any(|wanted| lacks(&levels, wanted))
        || defaults::schemas().iter().any(|wanted| lacks(&schemas, wanted));
    if missing {
        ensure_defaults(registry, kinds).await?;
    }
    fairness.apply(&levels, &schemas);
    for schema in &schemas {
        let exists = levels.iter().any(|level| level.name() == config::level_name(schema));
        set_dangling(registry, kinds.schemas, schema, !exists).await?;
    }
    Ok(())
}

fn context() -> Context {
    Context { field_manager: "api-priority-and-fairness-config-consumer-v1".to_owned(), ..Context::of_server() }
}

/// Says whether the schema's level is missing.
async fn set_dangling(
    registry: &Registry,
    kind: &'static KindDef,
    schema: &Object,
    dangling: bool,
) -> Result<(), ApiError> {
    let level = config::level_name(schema);
    let named = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = match dangling {
        true => ("True", "NotFound", format!("{named} but there is no such object")),
        false => ("False", "Found", format!("{named} and it exists")),
    };
    let current = schema.list(&["status", "conditions"]).iter().find(|condition| condition["type"] == "Dangling");
    if current.is_some_and(|current| current["status"] == status && current["message"] == message) {
        return Ok(());
    }
    let condition = json!({
        "type": "Dangling", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": clock::format_time(clock::now()),
    });
    let set = |object: &mut Object| {
        let others = object.list(&["status", "conditions"]).iter().filter(|of| of["type"] != "Dangling").cloned();
        let conditions: Vec<Value> = others.chain([condition.clone()]).collect();
        object.set(&["status", "conditions"], conditions);
        Ok(())
    };
    match registry.mutate(&context(), kind, "", schema.name(), "status", set).await {
        Err(error) if error.reason != Reason::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn ensure_defaults(registry: &Registry, kinds: &Kinds) -> Result<(), ApiError> {
    let levels = defaults::levels().into_iter().map(|wanted| (kinds.levels, wanted));
    let schemas = defaults::schemas().into_iter().map(|wanted| (kinds.schemas, wanted));
    for (kind, wanted) in levels.chain(schemas) {
        ensure(registry, kind, wanted).await?;
    }
    Ok(())
}

async fn ensure(registry: &Registry, kind: &'static KindDef, wanted: Object) -> Result<(), ApiError> {
    let context = Context { field_manager: "api-priority-and-fairness-config-producer-v1".to_owned(), ..context() };
    let name = wanted.name().to_owned();
    let done = match registry.get(kind, "", &name, "").await {
        Ok(stored) if is_right(&stored.object(), &wanted) => return Ok(()),
        Ok(stored) => {
            let mut object = stored.object();
            object.set(&["spec"], wanted.get(&["spec"]).cloned().unwrap_or_default());
            object.set(&["metadata", "annotations", defaults::AUTOUPDATE], "true");
            registry.update(&context, kind, "", &name, Target::Main, object).await.map(drop)
        }
        Err(error) if error.reason == Reason::NotFound => registry.create(&context, kind, "", wanted).await.map(drop),
        Err(error) => Err(error),
    };
    match done {
        // Another server was faster.
        Err(error) if matches!(error.reason, Reason::AlreadyExists | Reason::Conflict | Reason::NotFound) => Ok(()),
        done => done,
    }
}

/// Whether the stored object is to stay as it is: its specification is right, or someone took it over.
fn is_right(stored: &Object, wanted: &Object) -> bool {
    let same = stored.get(&["spec"]) == wanted.get(&["spec"]);
    if defaults::MANDATORY.contains(&wanted.name()) {
        return same && stored.annotation(defaults::AUTOUPDATE) == Some("true");
    }
    let untouched = stored.int(&["metadata", "generation"]) == Some(1);
    let ours = stored.annotation(defaults::AUTOUPDATE).map_or(untouched, |value| value == "true");
    same || !ours
}

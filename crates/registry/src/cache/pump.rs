//! Loads the cache from the store and keeps it following.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

use machinery::GroupVersionResource;
use store::{Error, KeyValue, Page, Revision, Store, Watched, prefix_range};

use super::Cache;
use crate::entry::Entry;
use crate::keys::ROOT;

/// Objects read from the store at a time.
const LOAD_PAGE: usize = 500;

type Loaded = HashMap<GroupVersionResource, Vec<Arc<Entry>>>;

/// What a load found out besides the objects.
pub(crate) struct Load {
    pub revision: Revision,
    /// Keys whose values are encrypted by an old key.
    pub outdated: Vec<Box<str>>,
}

/// Fills the cache with everything in the store; an object that can not be read is an error.
pub(crate) async fn load(cache: &Cache, store: &dyn Store) -> Result<Load, Error> {
    let mut loaded = Loaded::new();
    let mut outdated = Vec::new();
    let revision = each_page(store, prefix_range(ROOT), |page| {
        take_in(cache, page, &mut loaded)?;
        outdated.extend(page.items.iter().filter(|item| cache.is_outdated(item)).map(|item| item.key.clone()));
        Ok(())
    })
    .await?;
    for resource in cache.resources() {
        resource.load(loaded.remove(&resource.kind().gvr()).unwrap_or_default(), revision);
    }
    cache.applied.send_replace(revision);
    Ok(Load { revision, outdated })
}

/// Reads a range at one revision, page by page, and answers with it.
async fn each_page(
    store: &dyn Store,
    range: Range<String>,
    mut take: impl FnMut(&Page) -> Result<(), Error>,
) -> Result<Revision, Error> {
    let mut page = store.range(range.clone(), LOAD_PAGE, None).await?;
    let revision = page.revision;
    loop {
        let next = page.items.last().filter(|_| page.more).map(|last| format!("{}\0", last.key));
        // The next page is read while this one is looked at.
        let reading = async {
            match next {
                Some(start) => {
                    let rest = Range { start, end: range.end.clone() };
                    store.range(rest, LOAD_PAGE, Some(revision)).await.map(Some)
                }
                None => Ok(None),
            }
        };
        let (read, taken) = tokio::join!(biased; reading, async { take(&page) });
        taken?;
        match read? {
            Some(read) => page = read,
            None => return Ok(revision),
        }
    }
}

/// Everything in a range, and the revision that shows it.
pub(super) async fn read_all(store: &dyn Store, range: Range<String>) -> Result<(Vec<KeyValue>, Revision), Error> {
    let mut items = Vec::new();
    let take = |page: &Page| {
        items.extend(page.items.iter().cloned());
        Ok(())
    };
    let revision = each_page(store, range, take).await?;
    Ok((items, revision))
}

fn take_in(cache: &Cache, page: &Page, loaded: &mut Loaded) -> Result<(), Error> {
    for item in &page.items {
        let Some(resource) = cache.resource_of(&item.key) else {
            tracing::warn!(key = %item.key, "an object of no served kind stays in the store");
            continue;
        };
        let entry = cache.decode_for(&resource, item).map_err(Error::Format)?;
        loaded.entry(resource.kind().gvr()).or_default().push(entry);
    }
    Ok(())
}

/// Applies what happens in the store until the cache or the store is gone.
pub(crate) async fn follow(cache: Weak<Cache>, store: Weak<dyn Store>, loaded: Revision) {
    let mut applied = loaded;
    loop {
        let Some(opened) = watch(&store, applied).await else { return };
        let Some(advanced) = pump(&cache, opened).await else { return };
        if advanced > applied {
            applied = advanced;
            continue;
        }
        // Nothing could be read from where the cache stands: history has been compacted beyond it.
        let (Some(cache), Some(store)) = (cache.upgrade(), store.upgrade()) else { return };
        tracing::warn!(applied, "the watch cache fell behind the store's history and is loaded again");
        match load(&cache, &*store).await {
            Ok(load) => applied = load.revision,
            Err(error) => {
                tracing::error!(%error, "the watch cache can not be loaded");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

async fn watch(store: &Weak<dyn Store>, applied: Revision) -> Option<tokio::sync::mpsc::Receiver<Watched>> {
    loop {
        match store.upgrade()?.watch(ROOT, applied + 1).await {
            Ok(opened) => return Some(opened),
            Err(error) => tracing::error!(%error, "the watch cache can not follow the store"),
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Applies what the watch delivers and answers how far the cache is when it ends.
async fn pump(cache: &Weak<Cache>, mut opened: tokio::sync::mpsc::Receiver<Watched>) -> Option<Revision> {
    loop {
        let message = opened.recv().await;
        let cache = cache.upgrade()?;
        match message {
            Some(Watched::Events(events)) => {
                events.iter().for_each(|event| cache.apply(event));
                let last = events.last().map_or(0, |event| event.revision);
                cache.advance(last);
            }
            Some(Watched::Progress(revision)) => cache.advance(revision),
            Some(Watched::Compacted(_)) | None => return Some(cache.applied()),
        }
    }
}

impl Cache {
    fn advance(&self, revision: Revision) {
        self.applied.send_if_modified(|applied| {
            let further = revision > *applied;
            *applied = revision.max(*applied);
            further
        });
    }
}

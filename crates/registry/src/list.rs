//! Lists: from the cache where it shows the revision asked for, else from the store's history.

use std::ptr;
use std::sync::Arc;

use kinds::KindDef;
use machinery::{ApiError, field, strconv};
use store::{Revision, prefix_range};
use trace::attribute;

use crate::answer::List;
use crate::cache::Resource;
use crate::continuation::{Continuation, expired};
use crate::conversion::converts_by_webhook;
use crate::entry::Entry;
use crate::errors::of_store;
use crate::keys::namespace_prefix;
use crate::registry::Registry;
use crate::request::{ListOptions, VersionMatch};
use crate::selection::Selection;

/// Objects read from the store at a time while a selector looks for matches.
const STORE_PAGE: usize = 500;

/// The revision that a list is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Newest,
    /// Zero for whatever is at hand.
    NotOlderThan(Revision),
    Exactly(Revision),
}

/// One page to be read.
#[derive(Clone)]
struct Query<'a> {
    kind: &'static KindDef,
    selection: Selection,
    prefix: String,
    /// The first key that may be on the page.
    start: String,
    limit: usize,
    options: &'a ListOptions,
}

/// The number of a resource version that a client gave; empty counts as zero.
pub(crate) fn parse_revision(text: &str) -> Result<Revision, field::Error> {
    match text {
        "" => Ok(0),
        text => strconv::parse_uint(text)
            .map_err(|why| field::Error::invalid(&field::Path::new("resourceVersion"), text, why)),
    }
}

impl Registry {
    /// `namespace` may be empty: all of them.
    pub async fn list(&self, kind: &'static KindDef, namespace: &str, options: &ListOptions) -> Result<List, ApiError> {
        let attributes = || vec![attribute("type", kind.group_resource().to_string())];
        // The prefix holds the namespace: to look at each object's would cost a tenth of a long list.
        let selection = Selection::new(kind, "", &options.label_selector, &options.field_selector)?;
        let query = Query {
            kind,
            selection,
            prefix: namespace_prefix(self.kinds().storage(kind), namespace),
            start: String::new(),
            limit: if options.resource_version == "0" { 0 } else { options.limit },
            options,
        };
        let listing = async {
            match converts_by_webhook(kind) {
                true => self.list_converted(query).await,
                false => self.list_selected(query).await,
            }
        };
        trace::step("cacher.GetList", attributes, listing).await
    }

    /// Reads a page at a time of what a webhook is to convert, and selects among what came of it.
    async fn list_converted(&self, query: Query<'_>) -> Result<List, ApiError> {
        let selection = query.selection.of_any_version();
        let limit = if query.selection.takes_all() { query.limit } else { query.limit.max(STORE_PAGE) };
        let limit = if query.limit == 0 { 0 } else { limit };
        let mut page = Page::new(query.limit);
        let mut options = query.options.clone();
        loop {
            let read = Query { selection: selection.clone(), limit, options: &options, ..query.clone() };
            let list = self.list_selected(read).await?;
            let seen = self.seen(list.items, query.kind).await?;
            let whole = seen.iter().all(|entry| page.take(&query.selection, entry));
            if query.selection.takes_all() {
                return Ok(List { items: page.items, ..list });
            }
            if !whole || list.continue_token.is_empty() {
                return Ok(query.answer(page, list.revision, None));
            }
            options = ListOptions { continue_token: list.continue_token, ..ListOptions::default() };
        }
    }

    async fn list_selected(&self, mut query: Query<'_>) -> Result<List, ApiError> {
        let at = query.place()?;
        match at {
            At::Newest => {
                let newest = self.0.store.revision().await.map_err(of_store)?;
                if self.0.cache.wait_for(newest).await.is_err() {
                    return self.list_past(&query, newest).await;
                }
            }
            At::NotOlderThan(revision) => self.0.cache.wait_for(revision).await?,
            At::Exactly(revision) => {
                self.0.cache.wait_for(revision).await?;
                return self.list_exactly(&query, revision).await;
            }
        }
        trace::event("Ready", Vec::new);
        let list = list_cached(&*self.resource(query.kind)?, self.0.cache.applied(), &query);
        trace::event("Filtered items", || vec![attribute("count", list.items.len())]);
        Ok(list)
    }

    /// A list of the past; the cache serves it when nothing has changed since. What is forgotten has expired all the
    /// same: clients that page on are to learn it after the time that they know from upstream.
    async fn list_exactly(&self, query: &Query<'_>, revision: Revision) -> Result<List, ApiError> {
        let resource = self.resource(query.kind)?;
        if revision >= *self.0.forgotten.borrow() && resource.unchanged_since(revision) {
            let mut list = list_cached(&resource, self.0.cache.applied(), query);
            // Another look, as the list was made after the first: had something changed, it would show now.
            if resource.unchanged_since(revision) {
                list.revision = revision;
                list.continue_token = query.token(&list.items, &list.continue_token, revision);
                return Ok(list);
            }
        }
        self.list_past(query, revision).await
    }

    async fn list_past(&self, query: &Query<'_>, revision: Revision) -> Result<List, ApiError> {
        let attributes = || {
            vec![
                attribute("key", query.prefix.as_str()),
                attribute("resourceVersion", query.options.resource_version.as_str()),
                attribute("limit", query.limit),
                attribute("continue", query.options.continue_token.as_str()),
            ]
        };
        trace::step("List(recursive=true) etcd3", attributes, self.read_past(query, revision)).await
    }

    async fn read_past(&self, query: &Query<'_>, revision: Revision) -> Result<List, ApiError> {
        let mut page = Page::new(query.limit);
        let mut range = prefix_range(&query.prefix);
        range.start = query.start.clone().max(range.start);
        loop {
            let size = if query.selection.takes_all() && query.limit > 0 { query.limit } else { STORE_PAGE };
            let read = self.0.store.range(range.clone(), size, Some(revision)).await;
            let read = read.map_err(|error| query.past_is_gone(error))?;
            for item in &read.items {
                let entry = self.0.cache.decode(item).map_err(ApiError::internal)?;
                if !page.take(&query.selection, &entry) {
                    return Ok(query.answer(page, revision, None));
                }
            }
            match read.items.last() {
                Some(last) if read.more && !(page.full() && query.selection.takes_all()) => {
                    range.start = format!("{}\0", last.key);
                }
                _ => {
                    page.more = read.more;
                    if query.limit == 0 || !query.selection.takes_all() {
                        return Ok(query.answer(page, revision, None));
                    }
                    let mut remaining = 0;
                    if let Some(last) = read.items.last().filter(|_| read.more) {
                        range.start = format!("{}\0", last.key);
                        let counted = self.0.store.count(range, Some(revision)).await;
                        remaining = counted.map_err(|error| query.past_is_gone(error))?;
                    }
                    return Ok(query.answer(page, revision, Some(remaining as u64)));
                }
            }
        }
    }
}

/// A list from the cache, which shows everything up to `applied` at least.
fn list_cached(resource: &Resource, applied: Revision, query: &Query<'_>) -> List {
    if let Some(key) = query.only_key() {
        let items = resource.get(&key).and_then(|entry| query.selection.pick(&entry)).into_iter().collect();
        return List { items, revision: applied, continue_token: String::new(), remaining: None };
    }
    let mut page = Page::new(query.limit);
    let counts = query.limit > 0 && query.selection.takes_all();
    let mut remaining = 0;
    let revision = scan_as(query.kind, resource, (&query.prefix, &query.start), applied, |entry| {
        if page.take(&query.selection, entry) {
            return true;
        }
        remaining += 1;
        counts
    });
    query.answer(page, revision, counts.then_some(remaining))
}

/// [`Resource::scan`] for what is looked at as `kind`. Conversion takes a while, for which the cache is not held.
pub(crate) fn scan_as(
    kind: &'static KindDef,
    resource: &Resource,
    (prefix, start): (&str, &str),
    applied: Revision,
    visit: impl FnMut(&Arc<Entry>) -> bool,
) -> Revision {
    if ptr::eq(resource.kind(), kind) {
        return resource.scan(prefix, start, applied, visit);
    }
    let mut found = Vec::new();
    let revision = resource.scan(prefix, start, applied, |entry| {
        found.push(entry.clone());
        true
    });
    let _whole = found.iter().all(visit);
    revision
}

impl Query<'_> {
    /// Which revision the options ask for; sets the first key when they continue a list.
    fn place(&mut self) -> Result<At, ApiError> {
        let options = self.options;
        let pages = self.only_key().is_none();
        if pages && !options.continue_token.is_empty() {
            let next = Continuation::decode(&options.continue_token, &self.prefix)?;
            if !["", "0"].contains(&options.resource_version.as_str()) {
                return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
            }
            self.start = next.start;
            return Ok(next.revision.map_or(At::Newest, At::Exactly));
        }
        let revision = parse_revision(&options.resource_version)
            .map_err(|error| ApiError::bad_request(format!("invalid resource version: {error}")))?;
        Ok(match options.version_match {
            _ if options.resource_version.is_empty() => At::Newest,
            Some(VersionMatch::Exact) => At::Exactly(revision),
            None if pages && options.limit > 0 && revision > 0 => At::Exactly(revision),
            _ => At::NotOlderThan(revision),
        })
    }

    /// The key of the only object that can be on the list.
    fn only_key(&self) -> Option<String> {
        let name = self.selection.exact_name()?;
        let exact = !self.kind.namespaced() || self.prefix.len() > crate::keys::prefix_len(self.kind);
        (exact && self.kind.is_stored()).then(|| format!("{}{name}", self.prefix))
    }

    fn answer(&self, page: Page, revision: Revision, remaining: Option<u64>) -> List {
        let more = if page.more { "more" } else { "" };
        let continue_token = self.token(&page.items, more, revision);
        let remaining = remaining.filter(|_| page.more);
        List { items: page.items, revision, continue_token, remaining }
    }

    /// The token of the page behind `items`, if there is `more`.
    fn token(&self, items: &[Arc<Entry>], more: &str, revision: Revision) -> String {
        match items.last() {
            Some(last) if !more.is_empty() => {
                Continuation { revision: Some(revision), start: format!("{}\0", last.key()) }.encode(&self.prefix)
            }
            _ => String::new(),
        }
    }

    fn past_is_gone(&self, error: store::Error) -> ApiError {
        match error {
            store::Error::Compacted(_) if !self.options.continue_token.is_empty() => {
                let rest = Continuation { revision: None, start: self.start.clone() };
                expired(rest.encode(&self.prefix))
            }
            other => of_store(other),
        }
    }
}

/// A page that fills up.
struct Page {
    items: Vec<Arc<Entry>>,
    limit: usize,
    /// There is at least one more object that would belong on it.
    more: bool,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self { items: Vec::new(), limit, more: false }
    }

    fn full(&self) -> bool {
        self.limit > 0 && self.items.len() == self.limit
    }

    /// Takes an object that is selected; false when there is no more room for it.
    fn take(&mut self, selection: &Selection, entry: &Arc<Entry>) -> bool {
        let Some(seen) = selection.pick(entry) else { return true };
        if self.full() {
            self.more = true;
            return false;
        }
        self.items.push(seen);
        true
    }
}

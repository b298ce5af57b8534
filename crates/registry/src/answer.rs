//! What the registry answers.

use std::sync::Arc;

use machinery::ApiError;
use store::Revision;

use crate::entry::Entry;

/// Objects as they were at one revision, in the order of their keys.
#[derive(Debug)]
pub struct List {
    pub items: Vec<Arc<Entry>>,
    /// The list's resource version; a watch from here misses nothing.
    pub revision: Revision,
    /// Empty when this is the last page.
    pub continue_token: String,
    /// How many objects follow; unknown when selectors are at work.
    pub remaining: Option<u64>,
}

/// The outcome of a PUT or PATCH.
#[derive(Debug)]
pub struct Written {
    pub entry: Arc<Entry>,
    pub created: bool,
}

impl Written {
    /// The same outcome, showing something else of the object.
    pub fn map(self, show: impl FnOnce(Arc<Entry>) -> Arc<Entry>) -> Self {
        Self { entry: show(self.entry), ..self }
    }
}

/// The outcome of a DELETE.
#[derive(Debug)]
pub enum Deleted {
    /// The object waits for its finalizers or its grace period.
    Pending(Arc<Entry>),
    /// The object is gone; this is what it was.
    Gone(Arc<Entry>),
}

impl Deleted {
    pub fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Pending(entry) | Self::Gone(entry) => entry,
        }
    }
}

/// One change of an object; of a deleted one this is the last state, with the revision of the deletion.
#[derive(Clone, Debug)]
pub struct Changed {
    pub entry: Arc<Entry>,
    pub deleted: bool,
}

#[derive(Clone, Debug)]
pub enum WatchEvent {
    Added(Arc<Entry>),
    Modified(Arc<Entry>),
    /// The last state, with the resource version of the deletion.
    Deleted(Arc<Entry>),
    /// Everything up to `revision` has been delivered.
    Bookmark {
        revision: Revision,
        initial_events_end: bool,
    },
    /// The watch is over.
    Error(ApiError),
}

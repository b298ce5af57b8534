//! What one watcher reads of a resource.

use std::sync::Arc;

use store::Revision;
use tokio::sync::watch;

use super::resource::{Read, Resource};

/// Reads all changes of a resource, or those of one key: then it is woken by no others.
pub(crate) struct Follower {
    resource: Arc<Resource>,
    key: Option<Box<str>>,
    moved: watch::Receiver<u64>,
}

impl Follower {
    pub fn new(resource: Arc<Resource>, key: Option<Box<str>>) -> Self {
        let moved = match &key {
            Some(key) => resource.join(key),
            None => resource.moved().subscribe(),
        };
        Self { resource, key, moved }
    }

    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Where to start reading changes after `revision`; nothing when they are no longer all kept.
    pub fn cursor_after(&self, revision: Revision) -> Option<u64> {
        match &self.key {
            Some(key) => self.resource.cursor_of_key_after(key, revision),
            None => self.resource.cursor_after(revision),
        }
    }

    /// The next change at `cursor` or after it. Changes that come later wake [`Follower::changed`].
    pub fn read(&mut self, cursor: u64) -> Read {
        self.moved.borrow_and_update();
        match &self.key {
            Some(key) => self.resource.read_key(key, cursor),
            None => self.resource.read(cursor),
        }
    }

    /// Waits for something new since the last read; an error when there will be nothing more.
    pub async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.moved.changed().await
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.resource.leave(key);
        }
    }
}

//! One client's watch over the cache.

use crate::answer::WatchEvent;

/// Changes of one kind, in order, as one client asked for them.
pub struct Watch {
    pub(crate) _ended: bool,
}

impl Watch {
    /// The next event; nothing when the watch is over. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        None
    }
}

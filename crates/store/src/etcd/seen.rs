//! How far an etcd was seen to have come, kept in a file beyond the process: one that comes back behind that, or with
//! another past, was restored from a backup while nobody looked.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::{Event, Revision};

/// What an etcd is known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub cluster: u64,
    /// The newest revision that watchers were told of.
    pub revision: Revision,
    /// [`print()`] of the last event of that revision; nothing when none was seen yet.
    pub print: Option<u32>,
}

/// Tells events of one revision apart: histories that part do not go on alike.
pub fn print(key: &[u8], value: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(key);
    sum.update(b"\0");
    sum.update(value);
    sum.sum()
}

impl Seen {
    /// After `event`.
    pub fn after(cluster: u64, event: &Event) -> Self {
        let print = print(event.key.as_bytes(), event.value.as_deref().unwrap_or_default());
        Self { cluster, revision: event.revision, print: Some(print) }
    }

    /// `CLUSTER REVISION PRINT`, the last of which may be missing.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let cluster = u64::from_str_radix(words.next()?, 16).ok()?;
        let revision = words.next()?.parse().ok()?;
        Some(Self { cluster, revision, print: words.next().and_then(|word| u32::from_str_radix(word, 16).ok()) })
    }

    fn text(&self) -> String {
        let print = self.print.map(|print| format!(" {print:x}")).unwrap_or_default();
        format!("{:x} {}{print}\n", self.cluster, self.revision)
    }
}

/// What was seen last, and the file that keeps it, if there is one.
pub struct Memory {
    file: Option<PathBuf>,
    last: Mutex<Seen>,
}

impl Memory {
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, last: Mutex::default() }
    }

    /// What an earlier process saw.
    pub fn kept(&self) -> Option<Seen> {
        Seen::parse(&std::fs::read_to_string(self.file.as_ref()?).ok()?)
    }

    pub fn last(&self) -> Seen {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, seen: Seen) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Writes the file. Without it a restore that happens next is not recognised; that is said, and no more.
    pub fn keep(&self) {
        let (Some(file), last) = (&self.file, self.last()) else { return };
        let new = file.with_extension("new");
        let written = std::fs::write(&new, last.text()).and_then(|()| std::fs::rename(&new, file));
        if let Err(error) = written {
            tracing::warn!(%error, file = %file.display(), "how far etcd has come is not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_as_it_was_written() {
        for seen in [
            Seen { cluster: 0xcafe, revision: 7, print: Some(9) },
            Seen { cluster: u64::MAX, revision: u64::MAX, print: None },
        ] {
            assert_eq!(Seen::parse(&seen.text()), Some(seen));
        }
        assert_eq!(Seen::parse("torn"), None);
        assert_ne!(print(b"a", b"b"), print(b"ab", b""));
    }
}

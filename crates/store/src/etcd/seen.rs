//! How far an etcd was seen to have come, kept in a file beyond the process: one that comes back behind that, or with
//! another past, was restored from a backup while nobody looked.
//!
//! What a revision is told to anybody for is in the file before: a process that is killed leaves nothing out. A machine
//! that loses its power may, what the kernel had yet to put on the disk.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
}

/// What a process leaves to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub seen: Seen,
    /// The newest revision that anybody was told of, of which watchers may have been yet to be told.
    pub given: Revision,
}

impl Kept {
    /// `CLUSTER REVISION PRINT GIVEN`. What earlier versions wrote has a part of it.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let cluster = u64::from_str_radix(words.next()?, 16).ok()?;
        let revision = words.next()?.parse().ok()?;
        let print = words.next().and_then(|word| u32::from_str_radix(word, 16).ok());
        let given = words.next().and_then(|word| word.parse().ok()).unwrap_or(revision);
        Some(Self { seen: Seen { cluster, revision, print }, given })
    }

    /// Always as long, so that it is written in place.
    fn text(&self) -> String {
        let Seen { cluster, revision, print } = self.seen;
        let print = print.map_or_else(|| "-".to_owned(), |print| format!("{print:x}"));
        format!("{cluster:016x} {revision:020} {print:>8} {:020}\n", self.given)
    }
}

/// What was seen last, and the file that keeps it, if there is one.
pub struct Memory {
    /// What an earlier process saw.
    pub kept: Option<Kept>,
    now: Mutex<Now>,
}

struct Now {
    kept: Kept,
    file: Option<File>,
}

impl Memory {
    pub fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let kept = path.and_then(|path| Kept::parse(&std::fs::read_to_string(path).ok()?));
        let open = |path| File::options().write(true).create(true).truncate(false).open(path);
        let file = path.map(open).transpose()?;
        Ok(Self { kept, now: Mutex::new(Now { kept: Kept::default(), file }) })
    }

    pub fn last(&self) -> Seen {
        self.now().kept.seen
    }

    /// Watchers are about to be told.
    pub fn told(&self, seen: Seen) {
        let mut now = self.now();
        now.kept = Kept { seen, given: now.kept.given.max(seen.revision) };
        now.keep();
    }

    /// Who wrote is about to be told.
    pub fn gave(&self, revision: Revision) {
        let mut now = self.now();
        if revision > now.kept.given {
            now.kept.given = revision;
            now.keep();
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    /// Writes the file. Where it can not be, a restore is not recognised by the next process: that is said, and no more.
    fn keep(&mut self) {
        let Some(file) = &self.file else { return };
        if let Err(error) = file.write_all_at(self.kept.text().as_bytes(), 0) {
            tracing::warn!(%error, "how far etcd has come is kept no more");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_as_it_was_written() {
        for (revision, print, given) in [(7, Some(9), 8), (u64::MAX, None, u64::MAX), (1, Some(u32::MAX), 1)] {
            let kept = Kept { seen: Seen { cluster: 0xcafe, revision, print }, given };
            assert_eq!(Kept::parse(&kept.text()), Some(kept));
            assert_eq!(kept.text().len(), Kept::default().text().len());
        }
        let earlier = Kept { seen: Seen { cluster: 0xcafe, revision: 7, print: Some(9) }, given: 7 };
        assert_eq!(Kept::parse("cafe 7 9\n"), Some(earlier));
        assert_eq!(Kept::parse("torn"), None);
        assert_ne!(print(b"a", b"b"), print(b"ab", b""));
    }

    #[test]
    fn what_is_told_is_kept_at_once_and_never_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        let memory = Memory::open(Some(&path)).unwrap();
        assert_eq!(memory.kept, None);
        let seen = Seen { cluster: 1, revision: 5, print: Some(3) };
        memory.gave(9);
        memory.told(seen);
        memory.gave(8);
        assert_eq!(Memory::open(Some(&path)).unwrap().kept, Some(Kept { seen, given: 9 }));
    }
}

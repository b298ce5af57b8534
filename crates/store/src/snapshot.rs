//! Snapshots: everything that a store holds at one revision, in one file.
//!
//! A file is gzip over messages of protobuf, each behind its length: a [`Header`], the entries in the order of
//! their keys, and an end that counts them. Gzip's checksum tells what was damaged, the end what was cut off.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::ops::Range;

use bytes::{Buf as _, Bytes};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prost::{Message, Oneof};

use crate::{Error, Expect, KeyValue, MARGIN, Page, Result, Revision, Store, Write, prefix_range};

/// Above everything that a snapshot holds.
const ROOT: &str = "/";
const FORMAT: u32 = 2;
/// Keys read at a time.
const PAGE: usize = 500;
/// Writes under way at a time.
const AT_ONCE: usize = 64;

/// What a snapshot says of itself.
#[derive(Clone, PartialEq, Message)]
pub struct Header {
    #[prost(uint32, tag = "1")]
    format: u32,
    /// The revision that it shows.
    #[prost(uint64, tag = "2")]
    pub revision: Revision,
    /// When it was made, in seconds since 1970.
    #[prost(int64, tag = "3")]
    pub time: i64,
    /// Files that belong to it, by their paths within the data directory.
    #[prost(btree_map = "string, string", tag = "4")]
    pub files: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Header(Header),
    #[prost(message, tag = "2")]
    Entry(Entry),
    /// How many entries there were.
    #[prost(uint64, tag = "3")]
    End(u64),
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// A snapshot in memory.
#[derive(Debug)]
pub struct Snapshot {
    pub header: Header,
    pub entries: BTreeMap<String, Bytes>,
}

/// What restoring changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub written: usize,
    pub deleted: usize,
}

/// Writes everything that `read` answers, at the revision of its first page. The store may be written to meanwhile.
pub async fn save(
    read: impl AsyncFn(Range<String>, usize, Option<Revision>) -> Result<Page>,
    files: BTreeMap<String, String>,
    out: impl std::io::Write,
) -> Result<Header> {
    let mut out = GzEncoder::new(out, Compression::fast());
    let mut page = read(prefix_range(ROOT), PAGE, None).await?;
    let revision = page.revision;
    let header = Header { format: FORMAT, revision, time: clock::now().as_second(), files };
    put(&mut out, Kind::Header(header.clone()))?;
    let mut count = 0;
    loop {
        let next = page.items.last().filter(|_| page.more).map(|last| format!("{}\0", last.key));
        for KeyValue { key, value, .. } in page.items {
            put(&mut out, Kind::Entry(Entry { key: key.into(), value }))?;
            count += 1;
        }
        let Some(start) = next else { break };
        page = read(Range { start, ..prefix_range(ROOT) }, PAGE, Some(revision)).await?;
    }
    put(&mut out, Kind::End(count))?;
    out.finish().and_then(|mut out| out.flush()).map_err(|error| io(&error))?;
    Ok(header)
}

fn put(out: &mut impl std::io::Write, kind: Kind) -> Result<()> {
    let record = Record { kind: Some(kind) }.encode_length_delimited_to_vec();
    out.write_all(&record).map_err(|error| io(&error))
}

fn io(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull => Error::Full(error.to_string()),
        _ => Error::Io(error.to_string()),
    }
}

/// What a snapshot says of itself; the rest is not looked at.
pub fn read_header(file: impl Read) -> Result<Header> {
    header(&mut Records::new(file))
}

fn header(records: &mut Records<impl Read>) -> Result<Header> {
    match records.next()? {
        Some(Kind::Header(header)) if header.format == FORMAT => Ok(header),
        Some(Kind::Header(header)) => {
            let format = header.format;
            Err(Error::Format(format!("the snapshot has format {format}; this version reads {FORMAT}")))
        }
        _ => Err(not_a_snapshot()),
    }
}

/// Reads a whole snapshot, and that it is whole.
pub fn read(file: impl Read) -> Result<Snapshot> {
    let mut records = Records::new(file);
    let header = header(&mut records)?;
    let mut entries = BTreeMap::new();
    loop {
        match records.next()? {
            Some(Kind::Entry(Entry { key, value })) => {
                entries.insert(key, value);
            }
            // The checksum stands behind the last record.
            Some(Kind::End(count)) if count == entries.len() as u64 && records.next()?.is_none() => {
                return Ok(Snapshot { header, entries });
            }
            _ => return Err(Error::Format("the snapshot is cut off".to_owned())),
        }
    }
}

fn not_a_snapshot() -> Error {
    Error::Format("the file is no snapshot of keelson".to_owned())
}

struct Records<R: Read>(BufReader<GzDecoder<R>>);

impl<R: Read> Records<R> {
    fn new(file: R) -> Self {
        Self(BufReader::new(GzDecoder::new(file)))
    }

    fn next(&mut self) -> Result<Option<Kind>> {
        let damaged = |error: &dyn std::fmt::Display| Error::Format(format!("the snapshot can not be read: {error}"));
        let mut length = Vec::new();
        loop {
            let mut byte = [0];
            if self.0.read(&mut byte).map_err(|error| damaged(&error))? == 0 {
                return Ok(None);
            }
            length.push(byte[0]);
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let length = prost::decode_length_delimiter(&length[..]).map_err(|error| damaged(&error))?;
        let mut record = Vec::new();
        let read = self.0.by_ref().take(length as u64).read_to_end(&mut record).map_err(|error| damaged(&error))?;
        if read < length {
            return Err(Error::Format("the snapshot is cut off".to_owned()));
        }
        let record = Record::decode(Bytes::from(record).chunk()).map_err(|error| damaged(&error))?;
        Ok(record.kind)
    }
}

/// Makes the store hold what the snapshot does, and no other keys, by ordinary writes: watchers see them as changes.
/// A store that is behind the snapshot is lifted above every revision that was given after it was made.
///
/// Nobody else may write meanwhile; what was cut off can be begun again.
pub async fn restore(store: &dyn Store, snapshot: Snapshot) -> Result<Changes> {
    if store.revision().await? > snapshot.header.revision {
        return fill(store, snapshot.entries).await;
    }
    store.lift(snapshot.header.revision + MARGIN).await?;
    replace(store, snapshot.entries).await
}

/// Makes the store hold these keys alone, in the place of one whose history it does not have: whoever knows an
/// earlier revision must read again, or would miss what was deleted.
pub async fn replace(store: &dyn Store, wanted: BTreeMap<String, Bytes>) -> Result<Changes> {
    let changes = fill(store, wanted).await?;
    store.compact(Revision::MAX).await?;
    Ok(changes)
}

async fn fill(store: &dyn Store, mut wanted: BTreeMap<String, Bytes>) -> Result<Changes> {
    let held = store.range(prefix_range(ROOT), 0, None).await?.items;
    let mut writes = Vec::new();
    for KeyValue { key, value, mod_revision, .. } in held {
        let wanted = wanted.remove(&*key);
        if wanted.as_ref() != Some(&value) {
            writes.push(Write { key, value: wanted, expect: Expect::ModRevision(mod_revision) });
        }
    }
    let made = wanted.into_iter();
    writes.extend(made.map(|(key, value)| Write { key: key.into(), value: Some(value), expect: Expect::Absent }));
    let deleted = writes.iter().filter(|write| write.value.is_none()).count();
    let changes = Changes { written: writes.len() - deleted, deleted };
    let writing = stream::iter(writes).map(|write| store.write(write)).buffer_unordered(AT_ONCE);
    writing.try_for_each(|_| std::future::ready(Ok(()))).await?;
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    async fn put(store: &Memory, key: &str, value: &str, expect: Expect) -> Revision {
        let value = Some(Bytes::copy_from_slice(value.as_bytes()));
        store.write(Write { key: key.into(), value, expect }).await.unwrap()
    }

    async fn saved(store: &Memory) -> (Header, Vec<u8>) {
        let mut file = Vec::new();
        let files = BTreeMap::from([("pki/ca.crt".to_owned(), "text".to_owned())]);
        let read = async |range, limit, at| store.range(range, limit, at).await;
        let header = save(read, files, &mut file).await.unwrap();
        (header, file)
    }

    async fn shown(store: &Memory) -> String {
        let items = store.range(prefix_range(ROOT), 0, None).await.unwrap().items;
        let item = |kv: &KeyValue| format!("{}={}", kv.key, String::from_utf8_lossy(&kv.value));
        items.iter().map(item).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn what_was_saved_is_restored_by_changes_of_the_same_history() {
        let store = Memory::new();
        let a = put(&store, "/a", "1", Expect::Absent).await;
        let b = put(&store, "/b", "1", Expect::Absent).await;
        put(&store, "/c", "1", Expect::Absent).await;
        let (header, file) = saved(&store).await;
        assert_eq!(read_header(&file[..]).unwrap(), header);
        put(&store, "/a", "2", Expect::ModRevision(a)).await;
        store.write(Write { key: "/b".into(), value: None, expect: Expect::ModRevision(b) }).await.unwrap();
        put(&store, "/d", "1", Expect::Absent).await;
        let before = store.revision().await.unwrap();
        let changes = restore(&store, read(&file[..]).unwrap()).await.unwrap();
        assert_eq!(changes, Changes { written: 2, deleted: 1 });
        assert_eq!(shown(&store).await, "/a=1 /b=1 /c=1");
        assert_eq!(store.revision().await.unwrap(), before + 3);
    }

    #[tokio::test]
    async fn a_new_store_goes_on_above_all_that_was_given() {
        let store = Memory::new();
        for number in 0..1200 {
            put(&store, &format!("/{number:04}"), "v", Expect::Absent).await;
        }
        let (header, file) = saved(&store).await;
        let new = Memory::new();
        let snapshot = read(&file[..]).unwrap();
        assert_eq!(snapshot.header.files["pki/ca.crt"], "text");
        restore(&new, snapshot).await.unwrap();
        assert_eq!(shown(&new).await, shown(&store).await);
        assert!(new.revision().await.unwrap() > header.revision + MARGIN);
        for known in [header.revision, header.revision + MARGIN + 2] {
            let watched = new.watch(ROOT, known).await.unwrap().recv().await;
            assert!(matches!(watched, Some(crate::Watched::Compacted(_))), "{watched:?}");
        }
    }

    #[tokio::test]
    async fn damaged_files_are_refused() {
        let store = Memory::new();
        put(&store, "/a", &"v".repeat(1000), Expect::Absent).await;
        let (_, file) = saved(&store).await;
        for end in 0..file.len() {
            assert!(matches!(read(&file[..end]), Err(Error::Format(_))), "cut off at {end}");
        }
        assert!(matches!(read(&b"something else"[..]), Err(Error::Format(_))));
        let mut changed = file.clone();
        changed[file.len() / 2] ^= 1;
        assert!(read(&changed[..]).is_err());
    }
}

//! What every engine promises, as one suite. [`contract_tests!`](crate::contract_tests) makes a test of
//! each case.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::mpsc::Receiver;

use crate::{Error, Event, Expect, KeyValue, Revision, Store, Watched, Write, prefix_range, snapshot};

/// Makes a test of each case of the contract from an async closure that makes an empty store.
#[macro_export]
macro_rules! contract_tests {
    ($make:expr) => {
        $crate::contract_tests!(@ $make;
            revisions_count_every_write,
            a_write_needs_its_condition,
            a_group_follows_its_first_write,
            deleted_keys_are_gone_and_can_come_back,
            ranges_are_ordered_and_paged,
            the_past_can_be_read_until_it_is_compacted,
            a_watch_sees_each_change_once_and_in_order,
            a_watch_starts_in_the_past,
            a_watch_may_start_in_the_future,
            a_watch_comes_as_far_as_the_store,
            a_watch_of_compacted_history_is_refused,
            a_watcher_that_does_not_read_is_cut_off,
            a_lifted_store_goes_on_above_and_forgets_the_past,
            a_snapshot_under_writes_shows_one_revision,
            racing_writers_never_lose_an_update,
            random_histories_match_the_model,
        );
    };
    (@ $make:expr; $($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let make = $make;
                $crate::contract::$case(&*make().await).await;
            }
        )*
    };
}

fn text(value: &str) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

fn create(key: &str, value: &str) -> Write {
    Write { key: key.into(), value: Some(text(value)), expect: Expect::Absent }
}

fn update(key: &str, value: &str, revision: Revision) -> Write {
    Write { key: key.into(), value: Some(text(value)), expect: Expect::ModRevision(revision) }
}

fn delete(key: &str, revision: Revision) -> Write {
    Write { key: key.into(), value: None, expect: Expect::ModRevision(revision) }
}

/// `key=value` for each item.
fn shown(items: &[KeyValue]) -> String {
    let item = |kv: &KeyValue| format!("{}={}", kv.key, String::from_utf8_lossy(&kv.value));
    items.iter().map(item).collect::<Vec<_>>().join(" ")
}

async fn everything(store: &impl Store, at: Option<Revision>) -> String {
    shown(&store.range(prefix_range("/"), 0, at).await.unwrap().items)
}

/// Reads `count` events.
async fn events(watch: &mut Receiver<Watched>, count: usize) -> Vec<Event> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match watch.recv().await.expect("the watch goes on") {
            Watched::Events(events) => seen.extend(events),
            Watched::Progress(_) => {}
            Watched::Compacted(revision) => panic!("cut off at {revision} after {} events", seen.len()),
        }
    }
    assert_eq!(seen.len(), count);
    seen
}

pub async fn revisions_count_every_write(store: &impl Store) {
    let before = store.revision().await.unwrap();
    let first = store.write(create("/a", "1")).await.unwrap();
    let second = store.write(create("/b", "1")).await.unwrap();
    let third = store.write(update("/a", "2", first)).await.unwrap();
    assert!(before >= 1 && first > before, "the first write gets a revision above 1");
    assert_eq!((second, third), (first + 1, first + 2));
    assert_eq!(store.revision().await.unwrap(), third);
    let held = store.get("/a", None).await.unwrap().unwrap();
    assert_eq!((held.create_revision, held.mod_revision), (first, third));
}

pub async fn a_write_needs_its_condition(store: &impl Store) {
    let made = store.write(create("/a", "1")).await.unwrap();
    for wrong in [create("/a", "2"), update("/a", "2", made + 1), delete("/a", made + 1)] {
        match store.write(wrong).await {
            Err(Error::Conflict(Some(held))) => assert_eq!((held.mod_revision, held.value), (made, text("1"))),
            other => panic!("{other:?}"),
        }
    }
    for wrong in [update("/b", "1", made), delete("/b", made)] {
        assert!(matches!(store.write(wrong).await, Err(Error::Conflict(None))));
    }
    assert_eq!(store.revision().await.unwrap(), made, "refused writes count for nothing");
}

pub async fn a_group_follows_its_first_write(store: &impl Store) {
    let made = store.write(create("/a", "1")).await.unwrap();
    let group = store.write_group(create("/a", "2"), vec![create("/b", "1")]).await;
    assert!(matches!(group, Err(Error::Conflict(Some(held))) if held.mod_revision == made));
    assert_eq!(everything(store, None).await, "/a=1");

    let rest = vec![create("/b", "1"), create("/a", "3"), delete("/c", made), create("/d", "1")];
    let group = store.write_group(update("/a", "2", made), rest).await.unwrap();
    assert_eq!(everything(store, None).await, "/a=2 /b=1 /d=1");
    assert_eq!(store.get("/a", None).await.unwrap().unwrap().mod_revision, group.lead);
    let [Ok(b), Err(Error::Conflict(Some(a))), Err(Error::Conflict(None)), Ok(d)] = &group.rest[..] else {
        panic!("{group:?}");
    };
    assert_eq!((a.mod_revision, &a.value), (group.lead, &text("2")));
    for (key, revision) in [("/b", b), ("/d", d)] {
        assert!(*revision > group.lead, "the first write is the first one");
        assert_eq!(store.get(key, None).await.unwrap().unwrap().mod_revision, *revision);
    }
    let mut watch = store.watch("/", made + 1).await.unwrap();
    let seen: Vec<Revision> = events(&mut watch, 3).await.iter().map(|event| event.revision).collect();
    assert!(seen.is_sorted() && seen[0] == group.lead);
}

pub async fn deleted_keys_are_gone_and_can_come_back(store: &impl Store) {
    let made = store.write(create("/a", "1")).await.unwrap();
    let gone = store.write(delete("/a", made)).await.unwrap();
    assert_eq!(store.get("/a", None).await.unwrap(), None);
    assert_eq!(everything(store, None).await, "");
    assert!(matches!(store.write(update("/a", "2", gone)).await, Err(Error::Conflict(None))));
    let again = store.write(create("/a", "3")).await.unwrap();
    assert_eq!(store.get("/a", None).await.unwrap().unwrap().create_revision, again);
}

pub async fn ranges_are_ordered_and_paged(store: &impl Store) {
    for key in ["/p/c", "/p/a", "/q", "/p/b/x", "/p-", "/p/b"] {
        store.write(create(key, "v")).await.unwrap();
    }
    let page = store.range(prefix_range("/p/"), 2, None).await.unwrap();
    assert_eq!((shown(&page.items).as_str(), page.more), ("/p/a=v /p/b=v", true));
    let rest = store.range("/p/b\0".to_owned().."/p0".to_owned(), 2, Some(page.revision)).await.unwrap();
    assert_eq!((shown(&rest.items).as_str(), rest.more), ("/p/b/x=v /p/c=v", false));
    let all = store.range(prefix_range("/p/"), 0, None).await.unwrap();
    assert_eq!((all.items.len(), all.more, all.revision), (4, false, store.revision().await.unwrap()));
    let first = store.write(delete("/p/a", page.items[0].mod_revision)).await.unwrap();
    let counts =
        [store.count(prefix_range("/p/"), None).await, store.count(prefix_range("/p/"), Some(first - 1)).await];
    assert_eq!(counts.map(Result::unwrap), [3, 4]);
}

pub async fn the_past_can_be_read_until_it_is_compacted(store: &impl Store) {
    let first = store.write(create("/a", "1")).await.unwrap();
    let second = store.write(update("/a", "2", first)).await.unwrap();
    let third = store.write(create("/b", "1")).await.unwrap();
    let fourth = store.write(delete("/a", second)).await.unwrap();
    assert_eq!(everything(store, Some(first)).await, "/a=1");
    assert_eq!(everything(store, Some(third)).await, "/a=2 /b=1");
    assert_eq!(store.get("/a", Some(second)).await.unwrap().unwrap().value, text("2"));
    assert!(matches!(store.get("/a", Some(fourth + 1)).await, Err(Error::Future(newest)) if newest == fourth));

    store.compact(third).await.unwrap();
    store.compact(first).await.unwrap();
    assert_eq!(everything(store, Some(third)).await, "/a=2 /b=1");
    assert_eq!(everything(store, None).await, "/b=1");
    assert!(matches!(store.get("/a", Some(second)).await, Err(Error::Compacted(oldest)) if oldest == third));
    assert!(matches!(store.range(prefix_range("/"), 1, Some(first)).await, Err(Error::Compacted(_))));

    store.compact(Revision::MAX).await.unwrap();
    assert_eq!(everything(store, Some(fourth)).await, "/b=1");
    assert!(matches!(store.get("/b", Some(third)).await, Err(Error::Compacted(_))));
}

pub async fn a_watch_sees_each_change_once_and_in_order(store: &impl Store) {
    let mut watch = store.watch("/w/", store.revision().await.unwrap() + 1).await.unwrap();
    let made = store.write(create("/w/a", "1")).await.unwrap();
    store.write(create("/x", "1")).await.unwrap();
    let changed = store.write(update("/w/a", "2", made)).await.unwrap();
    let gone = store.write(delete("/w/a", changed)).await.unwrap();
    let seen = events(&mut watch, 3).await;
    let revisions: Vec<Revision> = seen.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [made, changed, gone]);
    assert_eq!((&seen[0].value, &seen[0].previous), (&Some(text("1")), &None));
    assert_eq!(seen[1].previous.as_ref().unwrap().value, text("1"));
    assert_eq!((seen[1].create_revision, seen[2].create_revision), (made, 0));
    assert_eq!((&seen[2].value, seen[2].previous.as_ref().unwrap().mod_revision), (&None, changed));
}

/// Starts before, inside and after what an engine may keep in memory.
pub async fn a_watch_starts_in_the_past(store: &impl Store) {
    const WRITES: usize = 3000;
    let mut last = store.write(create("/a", "0")).await.unwrap();
    let first = last;
    for value in 1..WRITES {
        last = store.write(update("/a", &value.to_string(), last)).await.unwrap();
    }
    for skipped in [0, 1500, WRITES - 1] {
        let mut watch = store.watch("/a", first + skipped as Revision).await.unwrap();
        let so_far = (last - first) as usize + 1;
        let seen = events(&mut watch, so_far - skipped).await;
        for (event, revision) in seen.iter().zip(first + skipped as Revision..) {
            assert_eq!((event.revision, event.previous.is_some()), (revision, revision > first));
        }
        last = store.write(update("/a", "more", last)).await.unwrap();
        assert_eq!(events(&mut watch, 1).await[0].revision, last, "the watch goes on with what is new");
    }
}

pub async fn a_watch_may_start_in_the_future(store: &impl Store) {
    let mut watch = store.watch("/", store.revision().await.unwrap() + 2).await.unwrap();
    store.write(create("/skipped", "")).await.unwrap();
    store.write(create("/seen", "")).await.unwrap();
    assert_eq!(&*events(&mut watch, 1).await[0].key, "/seen");
}

/// Whatever else a commit holds: who waits for a revision is told of it.
pub async fn a_watch_comes_as_far_as_the_store(store: &impl Store) {
    let mut watch = store.watch("a/", 1).await.unwrap();
    for round in 0..64 {
        let keys = ["a/", "b/"].map(|prefix| format!("{prefix}{round}"));
        let written = join_all(keys.iter().map(|key| store.write(create(key, "x")))).await;
        let newest = written.into_iter().map(Result::unwrap).max().unwrap();
        let reached = async {
            loop {
                match watch.recv().await.unwrap() {
                    Watched::Events(events) if events.last().unwrap().revision < newest => {}
                    Watched::Progress(revision) if revision < newest => {}
                    Watched::Compacted(revision) => panic!("cut off at {revision}"),
                    _ => return,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached).await.expect("the watch comes that far");
    }
}

pub async fn a_watch_of_compacted_history_is_refused(store: &impl Store) {
    let made = store.write(create("/a", "1")).await.unwrap();
    let changed = store.write(update("/a", "2", made)).await.unwrap();
    let gone = store.write(delete("/a", changed)).await.unwrap();
    store.write(create("/b", "1")).await.unwrap();
    store.compact(gone).await.unwrap();
    let mut from_kept = store.watch("/", gone).await.unwrap();
    let seen = events(&mut from_kept, 2).await;
    assert_eq!(seen[0].previous.as_ref().unwrap().value, text("2"), "what the first kept write replaced is kept");
    let mut too_old = store.watch("/", changed).await.unwrap();
    assert_eq!(too_old.recv().await, Some(Watched::Compacted(gone)));
    assert_eq!(too_old.recv().await, None);
}

pub async fn a_watcher_that_does_not_read_is_cut_off(store: &impl Store) {
    const WRITES: usize = 5000;
    let mut watch = store.watch("/", store.revision().await.unwrap() + 1).await.unwrap();
    let mut last = store.write(create("/a", "")).await.unwrap();
    for _ in 1..WRITES {
        last = store.write(update("/a", "", last)).await.unwrap();
    }
    let mut seen = 0;
    let end = loop {
        match watch.recv().await.expect("a watcher is told why it is cut off") {
            Watched::Events(events) => seen += events.len(),
            Watched::Progress(_) => {}
            Watched::Compacted(revision) => break revision,
        }
    };
    assert!(seen < WRITES && end <= last);
    assert_eq!(watch.recv().await, None);
}

/// Of two keys that are written in turns, one is on the first page that is read and one on the last.
pub async fn a_snapshot_under_writes_shows_one_revision(store: &impl Store) {
    let (mut first, mut last) =
        (store.write(create("/a", "0")).await.unwrap(), store.write(create("/z", "0")).await.unwrap());
    let between = (0..1200).map(async |number| store.write(create(&format!("/m/{number}"), "v")).await.unwrap());
    join_all(between).await;
    let saved = AtomicBool::new(false);
    let writing = async {
        for round in 1.. {
            if saved.load(Ordering::Acquire) {
                break;
            }
            first = store.write(update("/a", &round.to_string(), first)).await.unwrap();
            last = store.write(update("/z", &round.to_string(), last)).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let saving = async {
        let mut file = Vec::new();
        let read = async |range, limit, at| store.range(range, limit, at).await;
        let header = snapshot::save(read, BTreeMap::new(), &mut file).await.unwrap();
        saved.store(true, Ordering::Release);
        (header.revision, snapshot::read(&file[..]).unwrap().entries)
    };
    let ((), (revision, entries)) = tokio::join!(writing, saving);
    assert_eq!(entries.len(), 1202);
    for key in ["/a", "/z"] {
        let held = store.get(key, Some(revision)).await.unwrap().unwrap();
        assert_eq!(entries[key], held.value, "{key} at {revision}");
    }
}

pub async fn a_lifted_store_goes_on_above_and_forgets_the_past(store: &impl Store) {
    let first = store.write(create("/a", "1")).await.unwrap();
    let second = store.write(update("/a", "2", first)).await.unwrap();
    let gone = store.write(create("/b", "1")).await.unwrap();
    store.write(delete("/b", gone)).await.unwrap();
    let mut before = store.watch("/", store.revision().await.unwrap() + 1).await.unwrap();
    let target = second + 1_000_000;
    store.lift(target).await.unwrap();
    let newest = store.revision().await.unwrap();
    assert!(newest >= target, "{newest}");
    store.lift(second).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), newest, "a lower one changes nothing");

    assert_eq!((everything(store, None).await, everything(store, Some(newest)).await), ("/a=2".into(), "/a=2".into()));
    assert!(matches!(store.get("/a", Some(second)).await, Err(Error::Compacted(_))));
    let mut from_past = store.watch("/", second).await.unwrap();
    assert!(matches!(from_past.recv().await, Some(Watched::Compacted(oldest)) if oldest > second));
    while let Some(told) = before.recv().await {
        assert!(!matches!(told, Watched::Events(_)), "{told:?}");
        if matches!(told, Watched::Compacted(_)) {
            break;
        }
    }

    let mut watch = store.watch("/", newest + 1).await.unwrap();
    let held = store.get("/a", None).await.unwrap().unwrap();
    let third = store.write(update("/a", "3", held.mod_revision)).await.unwrap();
    assert_eq!(third, newest + 1);
    let seen = events(&mut watch, 1).await;
    assert_eq!((seen[0].revision, seen[0].previous.as_ref()), (third, Some(&held)));
    let removed = store.write(delete("/a", third)).await.unwrap();
    store.compact(removed).await.unwrap();
    assert_eq!(everything(store, None).await, "");
}

/// Eight writers add one to the same number, each until it has done so 25 times.
pub async fn racing_writers_never_lose_an_update(store: &impl Store) {
    store.write(create("/n", "0")).await.unwrap();
    let add = async || {
        for _ in 0..25 {
            while let Err(error) = add_one(store).await {
                assert!(matches!(error, Error::Conflict(_)), "{error}");
            }
        }
    };
    futures::future::join_all((0..8).map(|_| add())).await;
    assert_eq!(everything(store, None).await, "/n=200");
}

async fn add_one(store: &impl Store) -> crate::Result<Revision> {
    let held = store.get("/n", None).await?.expect("the key stays");
    let number: u32 = std::str::from_utf8(&held.value).unwrap().parse().unwrap();
    store.write(update("/n", &(number + 1).to_string(), held.mod_revision)).await
}

/// A simple generator, so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Random writes and compactions beside a map that remembers every state; at the end each kept revision
/// must read as remembered.
pub async fn random_histories_match_the_model(store: &impl Store) {
    let mut dice = Dice(42);
    let mut now: BTreeMap<String, (Bytes, Revision)> = BTreeMap::new();
    let mut remembered = BTreeMap::new();
    let mut oldest = 0;
    for step in 0..600 {
        let key = format!("/k{}", dice.roll(12));
        let value = text(&format!("v{step}"));
        let held = now.get(&key).map(|(_, revision)| *revision);
        let write = match held {
            None => Write { key: key.as_str().into(), value: Some(value.clone()), expect: Expect::Absent },
            Some(revision) if dice.roll(3) == 0 => delete(&key, revision),
            Some(revision) => update(&key, &format!("v{step}"), revision),
        };
        let deletes = write.value.is_none();
        let revision = store.write(write).await.unwrap();
        if deletes {
            now.remove(&key)
        } else {
            now.insert(key, (value, revision))
        };
        remembered.insert(revision, now.clone());
        if dice.roll(50) == 0 {
            oldest = revision - dice.roll(20).min(revision - 1);
            store.compact(oldest).await.unwrap();
        }
    }
    let kept = store.revision().await.unwrap();
    for (revision, state) in remembered.range(oldest.max(kept - 100)..) {
        let page = store.range(prefix_range("/"), 0, Some(*revision)).await.unwrap();
        let read = page.items.into_iter().map(|kv| (String::from(kv.key), (kv.value, kv.mod_revision)));
        assert_eq!(&read.collect::<BTreeMap<_, _>>(), state, "at revision {revision}");
    }
}

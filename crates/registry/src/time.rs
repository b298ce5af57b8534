//! When revisions were: one key of the store is written with the time whenever something has changed. As history is kept
//! of it as of all keys, its past tells the time of any revision that can be read.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use machinery::ApiError;
use store::{Expect, KeyValue, Revision, Store, Write};

use crate::errors::of_store;
use crate::registry::Registry;

/// Outside of what the cache follows.
const KEY: &str = "/keelson/time";
/// How often the time is written while there are changes: so much less than what is asked for may be shown.
const EVERY: Duration = Duration::from_secs(2);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(10);
/// How much clocks of servers may differ.
const SKEW: Duration = Duration::from_secs(1);

/// A revision, and the time at which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    time: Timestamp,
    revision: Revision,
}

impl Mark {
    fn read(held: &KeyValue) -> Option<Self> {
        let micros = std::str::from_utf8(&held.value).ok()?.parse().ok()?;
        Some(Self { time: Timestamp::from_microsecond(micros).ok()?, revision: held.mod_revision })
    }
}

impl Registry {
    /// Notes the time of changes. Ends only when it is dropped, which is safe.
    pub async fn keep_time(&self) {
        let mut progress = self.0.cache.progress();
        let mut marked = 0;
        loop {
            let news = progress.wait_for(|revision| *revision > marked).await.map(|revision| *revision);
            let Ok(revision) = news else { return };
            match mark(&*self.0.store, revision).await {
                Ok(newest) => {
                    marked = newest;
                    tokio::time::sleep(EVERY).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "the time of changes is not noted");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// The newest revision that is known to have been there at a time.
    ///
    /// # Errors
    /// Expired for times before what is kept, a bad request for those that are yet to come.
    pub async fn revision_at(&self, time: Timestamp) -> Result<Revision, ApiError> {
        if time > clock::now() + SKEW {
            return Err(ApiError::bad_request(format!("{time} is yet to come")));
        }
        match search(&*self.0.store, time).await.map_err(of_store)? {
            Ok(revision) => Ok(revision),
            Err(Some(Mark { time: oldest, .. })) => {
                Err(ApiError::expired(format!("what was at {time} is forgotten; the past goes back to {oldest}")))
            }
            Err(None) => Err(ApiError::expired(format!("what was at {time} is not known: nothing was noted yet"))),
        }
    }
}

/// Writes the time, unless nothing but that was written since; answers the revision of the newest mark.
async fn mark(store: &dyn Store, revision: Revision) -> store::Result<Revision> {
    let held = store.get(KEY, None).await?;
    if let Some(held) = held.as_ref().filter(|held| held.mod_revision >= revision) {
        return Ok(held.mod_revision);
    }
    let value = Some(Bytes::from(clock::now().as_microsecond().to_string()));
    let expect = held.map_or(Expect::Absent, |held| Expect::ModRevision(held.mod_revision));
    match store.write(Write { key: KEY.into(), value, expect }).await {
        // Another server was faster.
        Err(store::Error::Conflict(Some(held))) => Ok(held.mod_revision),
        written => written,
    }
}

/// The last mark that is not after `time`; the first one that is kept if all are.
async fn search(store: &dyn Store, time: Timestamp) -> store::Result<Result<Revision, Option<Mark>>> {
    let Some(newest) = at(store, None).await? else { return Ok(Err(None)) };
    if newest.time <= time {
        return readable(store, newest.revision).await.map(Ok);
    }
    // Behind `low` nothing is of interest, and the mark at `high` is too late.
    let (mut low, mut high) = (0, newest);
    let mut found = None;
    while low + 1 < high.revision {
        let middle = low + (high.revision - low) / 2;
        match at(store, Some(middle)).await {
            Ok(Some(mark)) if mark.time > time => high = mark,
            Ok(Some(mark)) => {
                found = Some(mark.revision);
                low = middle;
            }
            Ok(None) => low = middle,
            Err(store::Error::Compacted(oldest)) => low = middle.max(oldest - 1),
            Err(error) => return Err(error),
        }
    }
    match found {
        Some(revision) => readable(store, revision).await.map(Ok),
        None => Ok(Err(Some(high))),
    }
}

/// The revision of a mark, or the oldest that is kept where that is later: the mark is still what it shows.
async fn readable(store: &dyn Store, revision: Revision) -> store::Result<Revision> {
    match at(store, Some(revision)).await {
        Err(store::Error::Compacted(oldest)) => Ok(oldest),
        read => read.map(|_| revision),
    }
}

async fn at(store: &dyn Store, revision: Option<Revision>) -> store::Result<Option<Mark>> {
    Ok(store.get(KEY, revision).await?.as_ref().and_then(Mark::read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    async fn put(store: &store::Memory, key: &str, value: String) -> Revision {
        let held = store.get(key, None).await.unwrap();
        let expect = held.map_or(Expect::Absent, |held| Expect::ModRevision(held.mod_revision));
        store.write(Write { key: key.into(), value: Some(value.into()), expect }).await.unwrap()
    }

    #[tokio::test]
    async fn a_time_is_found_among_the_marks() {
        let store = store::Memory::new();
        assert_eq!(search(&store, seconds(5)).await.unwrap(), Err(None));
        let mut marks = Vec::new();
        for second in (10..100).step_by(10) {
            for number in 0..second {
                put(&store, &format!("/registry/{number}"), "v".to_owned()).await;
            }
            marks.push(put(&store, KEY, seconds(second).as_microsecond().to_string()).await);
        }
        let found = async |second| search(&store, seconds(second)).await.unwrap().map_err(|mark| mark.unwrap().time);
        for second in 10..200 {
            let expected = marks[(usize::try_from(second).unwrap() / 10).min(marks.len()) - 1];
            assert_eq!(found(second).await, Ok(expected), "{second}");
        }
        assert_eq!(found(9).await, Err(seconds(10)));
        store.compact(marks[3] + 2).await.unwrap();
        assert_eq!(found(45).await, Ok(marks[3] + 2), "the oldest revision still shows that mark");
        assert_eq!(found(35).await, Err(seconds(40)));
        store.compact(marks[8]).await.unwrap();
        assert_eq!((found(90).await, found(89).await), (Ok(marks[8]), Err(seconds(90))));
    }
}

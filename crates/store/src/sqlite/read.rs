//! Reads: each runs inside one transaction, so that it sees one revision.

use std::ops::Range;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::file::error;
use crate::{Error, Event, KeyValue, Page, Result, Revision};

/// The revision of a store that nothing was written to.
const EMPTY: Revision = 1;

/// The keys of a range with the row that each held at a revision, read from the index alone.
const HELD: &str = "
    SELECT key AS held_key, MAX(rev) AS held_rev, create_rev AS held_create FROM history
    WHERE key >= ?1 AND key < ?2 AND rev <= ?3 GROUP BY key HAVING create_rev != 0";

/// The newest revision written, whose row compaction never removes, or that the store was lifted to.
pub fn newest(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut query = connection
        .prepare_cached("SELECT MAX(rev) FROM history UNION ALL SELECT value FROM meta WHERE name = 'lifted'")?;
    let found = query.query_map([], |row| row.get::<_, Option<i64>>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(found.into_iter().flatten().max().map_or(EMPTY, |newest| newest as Revision))
}

/// The value of `meta` called `name`.
pub fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Revision> {
    let mut query = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    query.query_row([name], |row| row.get::<_, i64>(0)).map(|value| value as Revision)
}

/// The revision to read at, if it can be.
fn readable(connection: &Connection, at: Option<Revision>) -> Result<Revision> {
    let newest = newest(connection).map_err(error)?;
    let Some(at) = at else { return Ok(newest) };
    if at > newest {
        return Err(Error::Future(newest));
    }
    not_compacted(connection, at)?;
    Ok(at)
}

fn not_compacted(connection: &Connection, revision: Revision) -> Result<()> {
    let compacted = meta(connection, "compacted").map_err(error)?;
    if revision < compacted { Err(Error::Compacted(compacted)) } else { Ok(()) }
}

pub fn get(connection: &Connection, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>> {
    let at = readable(connection, at)?;
    held(connection, key, at).map_err(error)
}

/// What `key` held at a revision.
pub fn held(connection: &Connection, key: &str, at: Revision) -> rusqlite::Result<Option<KeyValue>> {
    let mut query = connection.prepare_cached(
        "SELECT key, value, create_rev, rev FROM history WHERE key = ?1 AND rev <= ?2 ORDER BY rev DESC LIMIT 1",
    )?;
    let found = query.query_row(params![key, at as i64], key_value).optional()?;
    Ok(found.filter(|found| found.create_revision != 0))
}

fn key_value(row: &Row<'_>) -> rusqlite::Result<KeyValue> {
    Ok(KeyValue {
        key: row.get::<_, Box<str>>(0)?,
        value: Bytes::from(row.get::<_, Option<Vec<u8>>>(1)?.unwrap_or_default()),
        create_revision: row.get::<_, i64>(2)? as Revision,
        mod_revision: row.get::<_, i64>(3)? as Revision,
    })
}

pub fn range(connection: &Connection, range: &Range<String>, limit: usize, at: Option<Revision>) -> Result<Page> {
    let revision = readable(connection, at)?;
    // One more than asked for tells whether there are more.
    let most = if limit == 0 { -1 } else { limit as i64 + 1 };
    let mut items = rows(connection, range, most, revision).map_err(error)?;
    let more = limit > 0 && items.len() > limit;
    if more {
        items.truncate(limit);
    }
    Ok(Page { items, revision, more })
}

pub fn count(connection: &Connection, range: &Range<String>, at: Option<Revision>) -> Result<usize> {
    let at = readable(connection, at)?;
    let count = || {
        let mut query = connection.prepare_cached(&format!("SELECT COUNT(*) FROM ({HELD})"))?;
        query.query_row(params![range.start, range.end, at as i64], |row| row.get::<_, i64>(0))
    };
    count().map(|count| count as usize).map_err(error)
}

fn rows(connection: &Connection, range: &Range<String>, most: i64, at: Revision) -> rusqlite::Result<Vec<KeyValue>> {
    let mut query = connection.prepare_cached(&rows_query())?;
    let rows = query.query_map(params![range.start, range.end, at as i64, most], key_value)?;
    let mut rows: Vec<KeyValue> = rows.collect::<rusqlite::Result<_>>()?;
    // SQLite delivers them in this order but does not promise to; sorting what is sorted costs nothing.
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(rows)
}

fn rows_query() -> String {
    format!(
        "SELECT key, value, create_rev, rev FROM ({HELD} ORDER BY key LIMIT ?4) CROSS JOIN history ON rev = held_rev"
    )
}

/// How SQLite means to read a range.
#[cfg(test)]
pub fn range_plan(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", rows_query()))?;
    query.query_map(params!["", "", 0, 0], |row| row.get(3))?.collect()
}

/// Events from `from` on, with what they superseded.
pub fn history(connection: &Connection, from: Revision, limit: usize) -> Result<Vec<Event>> {
    not_compacted(connection, from)?;
    let read = || {
        let mut query = connection.prepare_cached(
            "SELECT new.key, new.value, new.create_rev, new.rev, old.key, old.value, old.create_rev, old.rev
             FROM history AS new LEFT JOIN history AS old ON old.rev = new.prev_rev
             WHERE new.rev >= ?1 ORDER BY new.rev LIMIT ?2",
        )?;
        query.query_map(params![from as i64, limit as i64], event)?.collect::<rusqlite::Result<Vec<Event>>>()
    };
    read().map_err(error)
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let previous = match row.get::<_, Option<Box<str>>>(4)? {
        Some(key) => Some(KeyValue {
            key,
            value: Bytes::from(row.get::<_, Option<Vec<u8>>>(5)?.unwrap_or_default()),
            create_revision: row.get::<_, i64>(6)? as Revision,
            mod_revision: row.get::<_, i64>(7)? as Revision,
        }),
        None => None,
    };
    Ok(Event {
        key: row.get(0)?,
        value: row.get::<_, Option<Vec<u8>>>(1)?.map(Bytes::from),
        create_revision: row.get::<_, i64>(2)? as Revision,
        revision: row.get::<_, i64>(3)? as Revision,
        previous: previous.filter(|previous| previous.create_revision != 0),
    })
}

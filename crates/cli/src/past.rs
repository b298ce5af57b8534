//! Objects as they were at a revision or a time.

use serde_json::Value;

use crate::connection::{Session, with_query};
use crate::discovery::Resource;
use crate::get::{items, version_of};
use crate::{Error, Result};

/// Asks for what was there at a revision; for nothing special when that is empty.
pub fn exactly(revision: &str) -> [(&'static str, &str); 2] {
    [("resourceVersion", revision), ("resourceVersionMatch", if revision.is_empty() { "" } else { "Exact" })]
}

/// The revision that a command line's `--at` means.
pub async fn revision(session: &Session, resource: &Resource, at: &str) -> Result<u64> {
    if let Ok(revision) = at.parse() {
        return not_ahead(session, resource, revision).await.map(|()| revision);
    }
    let answer = session.get(&with_query("/keelson/revision", &[("at", at)])).await?;
    let revision = answer["resourceVersion"].as_str().and_then(|revision| revision.parse().ok());
    revision.ok_or_else(|| Error::plain("the server does not tell which revision there was at a time"))
}

/// A server waits for a revision that it has not given yet, and asks to be asked again.
async fn not_ahead(session: &Session, resource: &Resource, at: u64) -> Result<()> {
    let list = session.get(&with_query(&resource.path(&session.namespace), &[("limit", "1")])).await?;
    let newest = version_of(&list).and_then(|version| version.parse::<u64>().ok()).unwrap_or(u64::MAX);
    if at <= newest {
        return Ok(());
    }
    Err(Error::plain(format!("revision {at} is ahead of the newest, {newest}")))
}

/// An object as it was: only lists can be read at a revision.
pub async fn object(
    session: &Session,
    resource: &Resource,
    namespace: &str,
    name: &str,
    at: u64,
    accept: &str,
) -> Result<Value> {
    let (fields, at) = (format!("metadata.name={name}"), at.to_string());
    let query: Vec<(&str, &str)> = [("fieldSelector", fields.as_str())].into_iter().chain(exactly(&at)).collect();
    let list = session.get_as(&with_query(&resource.path(namespace), &query), accept).await?;
    if list["kind"] == "Table" && list["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
        return Ok(list);
    }
    let found = if list["kind"] == "Table" { None } else { items(list, resource).next() };
    found.ok_or_else(|| Error::not_found(resource, name))
}

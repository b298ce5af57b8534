//! Watches as a stream of events, each as plain JSON.

use futures::{AsyncBufReadExt, Stream, StreamExt, TryStreamExt};
use serde_json::Value;

use crate::connection::{JSON, Session, with_query};
use crate::discovery::Resource;
use crate::{Error, Result};

/// `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`, and the object.
#[derive(Debug, Clone)]
pub struct Event {
    pub what: String,
    pub object: Value,
}

/// Events of a path that already asks for a watch. It ends when the server ends it.
pub async fn events(session: &Session, path: &str, accept: &str) -> Result<impl Stream<Item = Result<Event>> + use<>> {
    let lines = session.stream(path, accept).await?.lines();
    Ok(lines.map_err(Error::from).and_then(|line| async move { parse(&line) }))
}

fn parse(line: &str) -> Result<Event> {
    let mut event: Value = serde_json::from_str(line)?;
    let object = event["object"].take();
    match event["type"].as_str().unwrap_or_default() {
        "ERROR" => Err(Error::Server(Box::new(serde_json::from_value(object)?))),
        what => Ok(Event { what: what.to_owned(), object }),
    }
}

/// Follows one object until `done` says so for what it has become; `None` is its absence.
///
/// Lists first, watches from there, and starts again when the server ends the watch.
pub async fn until<T>(
    session: &Session,
    resource: &Resource,
    namespace: &str,
    name: &str,
    mut done: impl FnMut(Option<&Value>) -> Result<Option<T>>,
) -> Result<T> {
    let selector = format!("metadata.name={name}");
    let path = resource.path(namespace);
    loop {
        let list = session.get(&with_query(&path, &[("fieldSelector", &selector)])).await?;
        let mut item = list["items"].get(0).cloned();
        if let Some(item) = item.as_mut() {
            item["kind"] = resource.kind.clone().into();
        }
        if let Some(answer) = done(item.as_ref())? {
            return Ok(answer);
        }
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let query = [("watch", "true"), ("fieldSelector", &selector), ("resourceVersion", version)];
        let mut events = Box::pin(events(session, &with_query(&path, &query), JSON).await?);
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                // The version is too old, or the connection broke: list again.
                Err(Error::Server(status)) if status.code == 410 => break,
                Err(Error::Plain(_)) => break,
                Err(error) => return Err(error),
            };
            let object = (event.what != "DELETED").then_some(&event.object);
            if event.what != "BOOKMARK"
                && let Some(answer) = done(object)?
            {
                return Ok(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_line_by_line() {
        let event = parse(r#"{"type":"ADDED","object":{"a":1}}"#).unwrap();
        assert_eq!((event.what.as_str(), &event.object["a"]), ("ADDED", &1.into()));
        let error =
            parse(r#"{"type":"ERROR","object":{"kind":"Status","reason":"Expired","message":"old","code":410}}"#);
        assert_eq!(error.unwrap_err().to_string(), "Error from server (Expired): old");
    }
}

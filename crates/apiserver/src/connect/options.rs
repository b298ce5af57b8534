//! The options of a connection as the object that admission sees, and back.

use machinery::{Object, strconv};
use serde_json::{Map, Value, json};

use crate::query::Query;

/// Options of streams that are on or off.
const STREAMS: [&str; 4] = ["stdin", "stdout", "stderr", "tty"];

/// `kind` is that of the options: `PodExecOptions`. `path` is what a proxied request asks the backend for.
pub fn of(kind: &str, query: &Query, path: &str) -> Object {
    let mut fields = Map::from_iter([("apiVersion".to_owned(), json!("v1")), ("kind".to_owned(), json!(kind))]);
    let mut add = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    match kind {
        "PodExecOptions" | "PodAttachOptions" => {
            STREAMS.into_iter().filter(|name| query.flag(name)).for_each(|name| add(name, json!(true)));
            if query.has("container") {
                add("container", json!(query.get("container")));
            }
            let command: Vec<&str> = query.all("command").collect();
            if kind == "PodExecOptions" && !command.is_empty() {
                add("command", json!(command));
            }
        }
        "PodPortForwardOptions" => {
            let ports: Vec<i64> = ports(query).filter_map(|port| strconv::parse_int(port).ok()).collect();
            if !ports.is_empty() {
                add("ports", json!(ports));
            }
        }
        _ if !path.is_empty() => add("path", json!(path)),
        _ => {}
    }
    Object(fields)
}

fn ports(query: &Query) -> impl Iterator<Item = &str> {
    query.all("ports").flat_map(|ports| ports.split(','))
}

/// The query that asks for what the options of a stream say.
pub fn query(options: &Object) -> Query {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs = options.0.iter().filter(|(name, _)| !["apiVersion", "kind"].contains(&name.as_str()));
    let values = pairs.flat_map(|(name, value)| {
        let values = match value {
            Value::Array(values) => values.iter().map(text).collect(),
            value => vec![text(value)],
        };
        values.into_iter().map(|value| (name.clone(), value))
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_what_the_query_says() {
        for (kind, text, options) in [
            (
                "PodExecOptions",
                "stdin=true&tty=false&command=ls&command=-l&container=c",
                json!({"stdin": true, "container": "c", "command": ["ls", "-l"]}),
            ),
            ("PodAttachOptions", "stdout=1&command=x", json!({"stdout": true})),
            ("PodPortForwardOptions", "ports=80,81&ports=82", json!({"ports": [80, 81, 82]})),
            ("PodProxyOptions", "x=y", json!({"path": "/metrics"})),
        ] {
            let mut found = of(kind, &Query::parse(text), "/metrics");
            let again = of(kind, &query(&found), "/metrics");
            assert_eq!(again, found, "{kind}: the query of options says the same");
            assert_eq!((found.0.remove("kind"), found.0.remove("apiVersion")), (Some(json!(kind)), Some(json!("v1"))));
            assert_eq!(found.into_value(), options, "{kind}");
        }
    }
}

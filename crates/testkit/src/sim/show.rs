//! What tests compare: lists as `kubectl get` shows them, without what changes with every run.

use serde_json::Value;

use super::history::History;

/// Columns that tell times and generated addresses.
const LEFT_OUT: [&str; 6] = ["Age", "Last Schedule", "Duration", "Created At", "Created", "IP"];

/// Rows of a Table in order of their objects' names, one line each; wide columns are left out.
pub fn rows(table: &Value) -> String {
    let columns: Vec<usize> = shown_columns(table).collect();
    let row = |row: &Value| {
        let cells = columns.iter().map(|at| cell(&row["cells"][*at])).collect::<Vec<_>>();
        cells.join(" ") + "\n"
    };
    elements(&table["rows"]).map(row).collect()
}

fn shown_columns(table: &Value) -> impl Iterator<Item = usize> {
    let shown = |column: &Value| column["priority"] == 0 && !LEFT_OUT.iter().any(|name| column["name"] == *name);
    elements(&table["columnDefinitions"]).enumerate().filter(move |(_, column)| shown(column)).map(|(at, _)| at)
}

/// One pod's row.
struct PodRow<'a> {
    metadata: &'a Value,
    ready: String,
    status: String,
    restarts: String,
    node: String,
}

fn pod_rows(table: &Value) -> impl Iterator<Item = PodRow<'_>> {
    let at = |name: &str| elements(&table["columnDefinitions"]).position(|column| column["name"] == name);
    let at = ["Ready", "Status", "Restarts", "Node"].map(|name| at(name).expect("pods have this column"));
    elements(&table["rows"]).map(move |row| {
        let [ready, status, restarts, node] = at.map(|at| cell(&row["cells"][at]));
        PodRow { metadata: &row["object"]["metadata"], ready, status, restarts, node }
    })
}

/// `web-a n1 Running`, by alias; how many containers are ready only where not all are.
pub fn pods(table: &Value, history: &History) -> String {
    sorted(pod_rows(table).map(|row| {
        let uid = row.metadata["uid"].as_str().unwrap_or_default();
        let mut line = format!("{} {} {}", history.alias(uid).unwrap_or_default(), row.node, row.status);
        let all_ready = row.ready.split_once('/').is_some_and(|(some, all)| some == all);
        if row.status == "Running" && !all_ready {
            line += &format!(" {}", row.ready);
        }
        // Without how long ago the last one was.
        match row.restarts.split(' ').next() {
            Some("0") | None => line,
            Some(count) => line + &format!(" restarts={count}"),
        }
    }))
}

/// `web Running`.
pub fn states(table: &Value) -> String {
    sorted(pod_rows(table).map(|row| format!("{} {}", cell(&row.metadata["labels"]["app"]), row.status)))
}

fn sorted(lines: impl Iterator<Item = String>) -> String {
    let mut lines: Vec<String> = lines.map(|line| line + "\n").collect();
    lines.sort();
    lines.concat()
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

//! Tables that the server makes, laid out as kubectl lays them out.

use serde_json::Value;

use crate::align::{pad, width};

/// The server's own columns; without it the plain object comes.
pub const ACCEPT: &str =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

const MINIMUM_WIDTH: usize = 6;
const PADDING: usize = 3;

/// What is shown beside the server's columns.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub wide: bool,
    pub namespace: bool,
    pub labels: bool,
    pub no_headers: bool,
    /// Labels that get columns of their own.
    pub label_columns: Vec<String>,
    /// Stands before each name: `deployment.apps/`.
    pub name_prefix: String,
}

/// Lays out tables of one kind, one after the other: columns and their widths carry over, headers come once.
#[derive(Debug, Default)]
pub struct Printer {
    options: Options,
    /// Of the shown columns: place in the row's cells.
    columns: Vec<usize>,
    headers: Vec<String>,
    widths: Vec<usize>,
    headers_shown: bool,
}

impl Printer {
    pub fn new(options: Options) -> Printer {
        Printer { options, ..Printer::default() }
    }

    /// The lines of a Table's rows, below the headers if these have not been shown yet.
    pub fn print(&mut self, table: &Value) -> String {
        self.learn(table);
        let rows = table["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            return String::new();
        }
        let mut lines: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 1);
        if !self.headers_shown && !self.options.no_headers {
            lines.push(self.headers.clone());
        }
        self.headers_shown = true;
        lines.extend(rows.iter().map(|row| self.cells(row)));
        self.widen(&lines);
        lines.iter().map(|cells| self.line(cells)).collect()
    }

    /// Later tables of a watch come without column definitions.
    fn learn(&mut self, table: &Value) {
        let Some(definitions) = table["columnDefinitions"].as_array().filter(|all| !all.is_empty()) else { return };
        let shown = |definition: &&Value| self.options.wide || definition["priority"].as_i64().unwrap_or(0) == 0;
        let indexed = definitions.iter().enumerate().filter(|(_, definition)| shown(definition));
        let (columns, headers): (Vec<usize>, Vec<String>) = indexed.map(|(at, of)| (at, header(&of["name"]))).unzip();
        let before = self.options.namespace.then(|| "NAMESPACE".to_owned());
        let own = self.options.label_columns.iter().map(|label| label_header(label));
        let after = self.options.labels.then(|| "LABELS".to_owned());
        self.columns = columns;
        self.headers = before.into_iter().chain(headers).chain(own).chain(after).collect();
    }

    fn cells(&self, row: &Value) -> Vec<String> {
        let metadata = &row["object"]["metadata"];
        let namespace = self.options.namespace.then(|| metadata["namespace"].as_str().unwrap_or_default().to_owned());
        let cell = |(at, column): (usize, &usize)| {
            let prefix = if at == 0 { self.options.name_prefix.as_str() } else { "" };
            format!("{prefix}{}", cell_text(&row["cells"][*column]))
        };
        let server = self.columns.iter().enumerate().map(cell);
        let own = self.options.label_columns.iter();
        let own = own.map(|label| metadata["labels"][label].as_str().unwrap_or_default().to_owned());
        let labels = self.options.labels.then(|| labels(&metadata["labels"]));
        namespace.into_iter().chain(server).chain(own).chain(labels).collect()
    }

    fn widen(&mut self, lines: &[Vec<String>]) {
        self.widths.resize(self.headers.len().max(self.widths.len()), MINIMUM_WIDTH);
        for (column, cell) in lines.iter().flat_map(|cells| cells.iter().enumerate()) {
            if let Some(wide) = self.widths.get_mut(column) {
                *wide = (*wide).max(width(cell) + PADDING);
            }
        }
    }

    /// The last cell is not padded.
    fn line(&self, cells: &[String]) -> String {
        let Some((last, padded)) = cells.split_last() else { return "\n".to_owned() };
        let padded = padded.iter().zip(&self.widths).map(|(cell, wide)| pad(cell, *wide));
        padded.collect::<String>() + last + "\n"
    }
}

fn header(name: &Value) -> String {
    name.as_str().unwrap_or_default().to_uppercase()
}

/// The part of the label's name after the slash.
fn label_header(label: &str) -> String {
    label.rsplit('/').next().unwrap_or_default().to_uppercase()
}

/// Texts end at their first line.
fn cell_text(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => match text.find(['\n', '\r', '\u{c}']) {
            Some(end) => format!("{}...", &text[..end]),
            None => text.clone(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(cell_text).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

/// `a=1,b=2`, or `<none>`.
pub fn labels(labels: &Value) -> String {
    match labels.as_object().filter(|labels| !labels.is_empty()) {
        None => "<none>".to_owned(),
        Some(labels) => {
            let pairs = labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
            pairs.collect::<Vec<_>>().join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn table() -> Value {
        let row = |cells: Value, name: &str, labels: Value| json!({"cells": cells, "object": {"metadata": {"name": name, "namespace": "ns", "labels": labels}}});
        json!({
            "columnDefinitions": [{"name": "Name"}, {"name": "Ready"}, {"name": "Node Name", "priority": 1}, {"name": "Age"}],
            "rows": [
                row(json!(["a", "1/1", "n1", "5s"]), "a", json!({"app": "x", "b/tier": "front"})),
                row(json!(["a-long-name", 2, null, "a\nb"]), "a-long-name", json!(null)),
            ]
        })
    }

    fn check(options: Options, expected: &expect_test::Expect) {
        expected.assert_eq(&Printer::new(options).print(&table()));
    }

    #[test]
    fn columns_have_three_spaces_between_them() {
        check(
            Options::default(),
            &expect![[r"
                NAME          READY   AGE
                a             1/1     5s
                a-long-name   2       a...
            "]],
        );
    }

    #[test]
    fn wide_tables_show_all_columns() {
        check(
            Options { wide: true, namespace: true, ..Options::default() },
            &expect![[r"
                NAMESPACE   NAME          READY   NODE NAME   AGE
                ns          a             1/1     n1          5s
                ns          a-long-name   2                   a...
            "]],
        );
    }

    #[test]
    fn labels_and_kinds_can_be_shown() {
        check(
            Options {
                labels: true,
                label_columns: vec!["b/tier".into()],
                name_prefix: "pod/".into(),
                ..Options::default()
            },
            &expect![[r"
                NAME              READY   AGE    TIER    LABELS
                pod/a             1/1     5s     front   app=x,b/tier=front
                pod/a-long-name   2       a...           <none>
            "]],
        );
        check(
            Options { no_headers: true, ..Options::default() },
            &expect![[r"
                a             1/1   5s
                a-long-name   2     a...
            "]],
        );
    }

    #[test]
    fn later_rows_keep_the_widths() {
        let mut printer = Printer::new(Options::default());
        printer.print(&table());
        let later = json!({"columnDefinitions": null, "rows": [{"cells": ["b", "0/1", "n", "1s"], "object": {}}]});
        assert_eq!(printer.print(&later), "b             0/1     1s\n");
        assert_eq!(printer.print(&json!({"rows": []})), "");
    }
}

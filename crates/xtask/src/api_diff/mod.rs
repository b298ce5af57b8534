//! `cargo xtask api-diff`: where the API that Keelson describes is not the one that upstream describes.
//!
//! Both OpenAPI 2 documents become facts, and the facts are compared, for the groups and versions that Keelson
//! serves. Differences that are meant stand in `docs/api-differences.txt`, with the reason.

mod facts;
mod meant;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use facts::{Facts, facts};
use meant::Meant;

const MEANT: &str = include_str!("../../../../docs/api-differences.txt");

/// Prints the differences that are not meant, and fails if there are any.
pub fn run(reference: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(reference).with_context(|| format!("cannot read {}", reference.display()))?;
    let theirs: Value = serde_json::from_slice(&text).context("the reference is no JSON")?;
    let mut meant = Meant::parse(MEANT);
    let differences = compare(&theirs, &ours()?);
    let found: Vec<&String> = differences.iter().filter(|difference| !meant.covers(difference)).collect();
    let mut groups: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for difference in &found {
        groups.entry(difference.split(' ').next().unwrap_or_default()).or_default().push(difference);
    }
    for (group, lines) in &groups {
        println!("{group}s that differ: {}", lines.len());
        lines.iter().for_each(|line| println!("  {line}"));
    }
    let unused = meant.unused();
    ensure!(unused.is_empty(), "these meant differences are none any more:\n{}", unused.join("\n"));
    ensure!(found.is_empty(), "{} differences", found.len());
    println!("no difference but the {} that are meant", differences.len());
    Ok(())
}

fn ours() -> anyhow::Result<Value> {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(["run", "--quiet", "--package", "registry", "--example", "openapi"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("the example printed no JSON")
}

/// One line for each fact that is only on one side, or not the same on both.
fn compare(theirs: &Value, ours: &Value) -> Vec<String> {
    let served = facts::versions(ours);
    let (theirs, ours) = (facts(theirs, &served), facts(ours, &served));
    let mut lines = only_in("missing", &theirs, &ours);
    lines.extend(only_in("extra", &ours, &theirs));
    for (subject, theirs) in &theirs {
        let Some(ours) = ours.get(subject) else { continue };
        let aspects = theirs.keys().chain(ours.keys().filter(|aspect| !theirs.contains_key(*aspect)));
        for aspect in aspects {
            let of = |side: &BTreeMap<String, String>| side.get(aspect).map_or("nothing", String::as_str).to_owned();
            if of(theirs) != of(ours) {
                lines.push(format!("{subject}: {aspect}: {} should be {}", of(ours), of(theirs)));
            }
        }
    }
    lines
}

fn only_in(what: &str, one: &Facts, other: &Facts) -> Vec<String> {
    one.keys().filter(|subject| !other.contains_key(*subject)).map(|subject| format!("{subject}: {what}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(kind: &str, field: Value) -> Value {
        let reference = format!("#/definitions/{kind}");
        json!({
            "paths": {"/api/v1/things": {
                "parameters": [{"$ref": "#/parameters/pretty-1"}],
                "get": {"x-kubernetes-action": "list", "responses": {"200": {"schema": {"$ref": reference}}}},
            }},
            "parameters": {"pretty-1": {"name": "pretty", "in": "query", "type": "string", "description": "a"}},
            "definitions": {kind: {"properties": {"a": field}}, "Unrelated": {}},
        })
    }

    #[test]
    fn words_are_no_difference() {
        let one = document("A", json!({"type": "string", "description": "one"}));
        let two = document("A", json!({"type": "string", "description": "two", "default": ""}));
        assert_eq!(compare(&one, &two), Vec::<String>::new());
    }

    #[test]
    fn types_and_what_is_missing_are_differences() {
        let one = document("A", json!({"type": "string"}));
        assert_eq!(
            compare(&one, &document("A", json!({"type": "integer"}))),
            [r#"definition A: field a: {"type":"integer"} should be {"type":"string"}"#]
        );
        assert_eq!(
            compare(&one, &document("B", json!({"type": "string"}))),
            ["definition A: missing", "definition B: extra", "operation GET /api/v1/things: answer 200: B should be A",]
        );
    }
}

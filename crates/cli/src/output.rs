//! Objects in the forms that `-o` names.

use std::io::Write;

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use crate::discovery::Resource;
use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Wide,
    Yaml,
    Json,
    Name,
}

pub fn print(text: &str) -> Result<()> {
    write(text.as_bytes())
}

/// Writes to the standard output.
pub fn write(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Error::OutputClosed,
        _ => error.into(),
    })
}

/// What the server keeps for itself is left out, as nobody edits it.
pub fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// Objects of any kinds as one.
pub fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

/// The text of one object, with the line's end.
pub fn render(object: &Value, resource: &Resource, format: Format) -> Result<String> {
    match format {
        Format::Yaml => yaml(object),
        Format::Json => json(object),
        Format::Name | Format::Wide => {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            Ok(format!("{}/{name}\n", resource.label()))
        }
    }
}

/// Four spaces for each level, as kubectl prints it.
pub fn json(value: &impl Serialize) -> Result<String> {
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut Serializer::with_formatter(&mut text, formatter))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|error| Error::plain(error.to_string()))
}

/// Keys in alphabetical order, lists not indented.
pub fn yaml(value: &Value) -> Result<String> {
    let options = serde_saphyr::ser_options! { compact_list_indent: true, folded_wrap_chars: usize::MAX };
    let text = serde_saphyr::to_string_with_options(value, options);
    text.map_err(|error| Error::plain(format!("cannot print YAML: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::tests::catalog;

    #[test]
    fn yaml_reads_back_as_the_same() {
        let long = "word ".repeat(60);
        let object = json!({"b": [{"x": 1, "y": "1"}], "a": {"on": "yes", "null": "~", "long": long, "lines": "a\nb\n",
            "none": null, "empty": {}, "list": [], "time": "2026-01-01T00:00:00Z", "octal": "0777", "exp": "1e3"}});
        let text = yaml(&object).unwrap();
        assert_eq!(machinery::decode::parse_yaml(text.as_bytes()).unwrap().0, object, "{text}");
        assert!(text.contains("\nb:\n- x: 1\n"), "{text}");
        assert!(text.contains("  octal: \"0777\"\n") && !text.contains('>'), "{text}");
        assert_eq!(
            yaml(&json!({"kind": "Pod", "metadata": {"name": "a"}})).unwrap(),
            "kind: Pod\nmetadata:\n  name: a\n"
        );
    }

    #[test]
    fn names_carry_the_kind_and_group() {
        let catalog = catalog();
        let deployments = catalog.find("deploy").unwrap();
        let object = json!({"metadata": {"name": "web", "managedFields": [1]}});
        assert_eq!(render(&object, deployments, Format::Name).unwrap(), "deployment.apps/web\n");
        assert_eq!(without_managed_fields(object), json!({"metadata": {"name": "web"}}));
    }
}

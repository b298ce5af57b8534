//! Objects in files: YAML and JSON, several documents, Lists, directories, the standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Error, Result};

const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// An object and the file it stands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub object: Value,
    /// `STDIN` for the standard input.
    pub source: String,
}

impl Document {
    pub fn api_version(&self) -> &str {
        text(&self.object, "apiVersion")
    }

    pub fn kind(&self) -> &str {
        text(&self.object, "kind")
    }

    pub fn name(&self) -> &str {
        text(&self.object["metadata"], "name")
    }

    pub fn namespace(&self) -> &str {
        text(&self.object["metadata"], "namespace")
    }
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

/// Every object in these files and directories, in their order; `-` is the standard input.
pub fn read(paths: &[PathBuf], recursive: bool) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            documents.extend(parse(&text, "STDIN")?);
            continue;
        }
        for file in files(path, recursive)? {
            let source = file.display().to_string();
            let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&source, &error))?;
            documents.extend(parse(&text, &source)?);
        }
    }
    if documents.is_empty() { Err(Error::plain("no objects passed to apply")) } else { Ok(documents) }
}

fn unreadable(path: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::plain(format!("the path {path:?} does not exist")),
        _ => Error::plain(format!("the path {path:?} cannot be accessed: {error}")),
    }
}

/// The file itself, or the manifests in the directory by name.
fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>> {
    let fault = |error: std::io::Error| unreadable(&path.display().to_string(), &error);
    if !path.metadata().map_err(fault)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(path).map_err(fault)?.collect();
    let mut paths: Vec<PathBuf> = entries.map_err(fault)?.iter().map(std::fs::DirEntry::path).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            if recursive {
                found.extend(files(&path, true)?);
            }
        } else if path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Every object in a text; Lists are taken apart, empty documents left out.
pub fn parse(text: &str, source: &str) -> Result<Vec<Document>> {
    let fault = |error: String| Error::plain(format!("error parsing {source}: {error}"));
    let values: Vec<Value> = if text.trim_start().starts_with('{') {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        values.collect::<std::result::Result<_, _>>().map_err(|error| fault(error.to_string()))?
    } else {
        let read = |document: String| machinery::decode::parse_yaml(document.as_bytes()).map(|(value, _)| value);
        let values = split(text).into_iter().map(read).collect::<std::result::Result<_, _>>();
        values.map_err(|error| fault(error.message))?
    };
    let mut documents = Vec::new();
    for value in values.into_iter().filter(|value| !value.is_null()) {
        flatten(value, source, &mut documents)?;
    }
    Ok(documents)
}

/// The documents of a YAML stream; those that hold nothing but comments are left out.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line == "---" || line.starts_with("--- ") {
            documents.push(line[3..].trim_start().to_owned() + "\n");
        } else {
            let document = documents.last_mut().expect("it starts with one");
            document.push_str(line);
            document.push('\n');
        }
    }
    let empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "...";
    documents.retain(|document| !document.lines().all(empty));
    documents
}

fn flatten(value: Value, source: &str, into: &mut Vec<Document>) -> Result<()> {
    let document = Document { object: value, source: source.to_owned() };
    if document.kind().is_empty() {
        return Err(Error::plain(format!("error validating {source:?}: error validating data: kind not set")));
    }
    if document.api_version().is_empty() {
        return Err(Error::plain(format!("error validating {source:?}: error validating data: apiVersion not set")));
    }
    let is_list = document.kind().ends_with("List") && document.object["items"].is_array();
    if !is_list {
        into.push(document);
        return Ok(());
    }
    let mut object = document.object;
    if let Value::Array(items) = object["items"].take() {
        for item in items {
            flatten(item, source, into)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text, "f").unwrap().iter().map(|of| format!("{}/{}", of.kind(), of.name())).collect()
    }

    #[test]
    fn streams_hold_several_objects() {
        let yaml = "# first\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n# nothing\n---\n\
                    apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: b}}\n\
                    - {apiVersion: v1, kind: Pod, metadata: {name: c}}\n...\n";
        assert_eq!(names(yaml), ["Pod/a", "Node/b", "Pod/c"]);
        let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}} {"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}"#;
        assert_eq!(names(json), ["Pod/a", "Pod/b"]);
    }

    #[test]
    fn a_block_of_text_may_hold_dashes() {
        let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: |\n    ---\n    y\n";
        let documents = parse(yaml, "f").unwrap();
        assert_eq!(documents.len(), 1);
        assert_eq!(documents[0].object["data"]["x"], "---\ny\n");
    }

    #[test]
    fn mistakes_name_the_file() {
        let error = |text| parse(text, "f.yaml").unwrap_err().to_string();
        assert_eq!(error("a: 1"), "error: error validating \"f.yaml\": error validating data: kind not set");
        assert_eq!(error("kind: Pod"), "error: error validating \"f.yaml\": error validating data: apiVersion not set");
        assert!(error("a: [").starts_with("error: error parsing f.yaml: "), "{}", error("a: ["));
    }

    #[test]
    fn directories_give_their_manifests_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let object = |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n");
        std::fs::create_dir(directory.path().join("sub")).unwrap();
        for (file, name) in [("b.yaml", "b"), ("a.yml", "a"), ("notes.txt", "x"), ("sub/c.json.yaml", "c")] {
            std::fs::write(directory.path().join(file), object(name)).unwrap();
        }
        let found = |recursive| -> Vec<String> {
            let documents = read(&[directory.path().to_owned()], recursive).unwrap();
            documents.iter().map(|document| document.name().to_owned()).collect()
        };
        assert_eq!(found(false), ["a", "b"]);
        assert_eq!(found(true), ["a", "b", "c"]);
        let missing = read(&["no-such-file".into()], false).unwrap_err().to_string();
        assert_eq!(missing, "error: the path \"no-such-file\" does not exist");
    }
}

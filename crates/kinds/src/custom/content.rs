//! The schema of a version, as text and as what is compiled from it.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use machinery::apply::{Layout, Node};
use serde_json::Value;
use structural::Schema;

/// `openAPIV3Schema`, compiled when it is first asked for: most definitions of a cluster have no object.
pub struct Content {
    text: Box<str>,
    schema: OnceLock<Schema>,
    node: OnceLock<Arc<Node>>,
}

/// The text of a schema, compressed.
pub(super) struct Packed(Box<[u8]>);

impl Content {
    pub(super) fn new(text: String) -> Self {
        Self { text: text.into_boxed_str(), schema: OnceLock::new(), node: OnceLock::new() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The schema as the definition has it.
    pub fn source(&self) -> Value {
        serde_json::from_str(&self.text).expect("it was printed when the definition was compiled")
    }

    pub fn schema(&self) -> &Schema {
        self.schema.get_or_init(|| Schema::root(&self.source()))
    }

    /// How objects merge when they are applied; `open` says that all unknown fields stay.
    pub(super) fn layout(&self, open: bool) -> Layout {
        Layout::Node(self.node.get_or_init(|| super::form::node(self.schema(), open).into()).clone())
    }

    pub(super) fn pack(&self) -> Packed {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(self.text.as_bytes()).and_then(|()| encoder.finish());
        Packed(written.expect("memory takes all").into())
    }
}

impl Packed {
    pub(super) fn unpack(&self) -> Content {
        let mut text = String::new();
        ZlibDecoder::new(&*self.0).read_to_string(&mut text).expect("it was packed here");
        Content::new(text)
    }
}

#[cfg(test)]
mod tests {
    use machinery::Object;
    use machinery::decode::FieldPolicy;
    use serde_json::json;

    use crate::custom::family;

    #[test]
    fn a_kind_that_rests_reads_objects_as_before() {
        let size = json!({"type": "integer", "default": 3});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"size": size}}});
        let names = json!({"plural": "gauges", "kind": "Gauge"});
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
        let definition = json!({
            "metadata": {"name": "gauges.example.com"},
            "spec": {"group": "example.com", "names": names, "versions": [version]},
        });
        let definition = Object::from_value(definition).unwrap();
        let family = family(&definition);
        let read = || {
            let body = br#"{"apiVersion": "example.com/v1", "kind": "Gauge", "color": "red"}"#;
            let (mut object, problems) = family.storage.read_json(body, FieldPolicy::Warn).unwrap();
            family.storage.default(&mut object);
            (object.into_value(), problems, format!("{:?}", family.storage.layout()))
        };
        let before = read();
        assert_eq!(before.0["size"], 3);
        assert_eq!(before.1, [r#"unknown field "color""#]);
        family.rest();
        family.rest();
        assert_eq!(read(), before);
        assert!(std::ptr::eq(super::super::family(&definition), family));
        assert_eq!(read(), before);
    }
}

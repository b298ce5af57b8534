//! What types and fields are for, in upstream's words: compressed in the binary, inflated by those who look.

use std::collections::HashMap;
use std::io::Read as _;

use flate2::read::DeflateDecoder;

/// Made by the build script; see there for the format.
const COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.deflate"));

pub struct Descriptions {
    /// The record of each type, by its name, without the name.
    records: HashMap<String, String>,
}

impl Descriptions {
    pub fn load() -> Self {
        let mut text = String::new();
        DeflateDecoder::new(COMPRESSED).read_to_string(&mut text).expect("the build script wrote it");
        let records = text.split('\u{1e}').filter_map(|record| record.split_once('\u{1f}'));
        Self { records: records.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect() }
    }

    /// What the type is for; empty if nothing is known.
    pub fn of_type(&self, name: &str) -> &str {
        self.parts(name).next().unwrap_or_default()
    }

    /// What a field of the type is for; empty if nothing is known.
    pub fn of_field(&self, name: &str, json: &str) -> &str {
        let mut parts = self.parts(name).skip(1);
        while let (Some(field), Some(description)) = (parts.next(), parts.next()) {
            if field == json {
                return description;
            }
        }
        ""
    }

    /// What the field at a path of the message is for: `status.nodeInfo.osImage`.
    pub fn of_path(&self, message: &str, path: &str) -> &str {
        let Some((field, rest)) = path.split_once('.') else { return self.of_field(message, path) };
        match schema::message(message).and_then(|message| message.field(field)).map(|field| field.of) {
            Some(schema::Type::Message(inner)) => self.of_path(inner.name, rest),
            _ => "",
        }
    }

    fn parts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.records.get(name).map(String::as_str).unwrap_or_default().split('\u{1f}')
    }
}

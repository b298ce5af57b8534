//! Keys that a map of a YAML document has twice, in the words of Go's decoder.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::walk::MapKey;

/// One text about all of them, or nothing if there are none. Reads the document once more, as lines are of no other
/// use.
pub(super) fn told(bytes: &[u8]) -> Option<String> {
    let read = serde_saphyr::with_deserializer_from_slice_with_options(bytes, super::yaml_options(), |deserializer| {
        Repeats::deserialize(deserializer)
    });
    let Repeats(lines) = read.ok()?;
    (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", lines.join("\n  ")))
}

/// What is to be told of a value and all within.
#[derive(Default)]
struct Repeats(Vec<String>);

impl<'de> Deserialize<'de> for Repeats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Repeats;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Repeats, E> {
        Ok(Repeats::default())
    }

    fn visit_none<E>(self) -> Result<Repeats, E> {
        Ok(Repeats::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Repeats, E> {
        Ok(Repeats::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Repeats, E> {
        Ok(Repeats::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Repeats, E> {
        Ok(Repeats::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Repeats, E> {
        Ok(Repeats::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Repeats, E> {
        Ok(Repeats::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Repeats, A::Error> {
        let mut told = Repeats::default();
        while let Some(item) = access.next_element::<Repeats>()? {
            told.0.extend(item.0);
        }
        Ok(told)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Repeats, A::Error> {
        let mut told = Repeats::default();
        let mut keys = HashSet::new();
        while let Some(key) = access.next_key_seed(MapKey)? {
            let value: Spanned<Repeats> = access.next_value()?;
            told.0.extend(value.value.0);
            if !keys.insert(key.to_string()) {
                told.0.push(format!("line {}: key {key:?} already set in map", value.referenced.line()));
            }
        }
        Ok(told)
    }
}

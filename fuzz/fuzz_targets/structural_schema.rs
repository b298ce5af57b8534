//! Schemas of custom resources and what is held against them: a schema that is refused is refused without a panic, one
//! that is taken prunes and defaults to what it prunes and defaults no further. The input is a schema, an object, and
//! what it was before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::field::Path;
use serde_json::{Map, Value};
use structural::{Budget, Correlated, Schema, UnknownFields, check_defaults, check_invariants};

fuzz_target!(|bytes: &[u8]| {
    let Ok((source, new, old)) = serde_json::from_slice::<(Value, Map<String, Value>, Map<String, Value>)>(bytes) else {
        return;
    };
    let (path, schema) = (Path::new("s"), Schema::root(&source));
    if !check_invariants(&path, &source).is_empty() || !check_defaults(&path, &schema, true).is_empty() {
        return;
    }
    let read = |mut object: Map<String, Value>| {
        let read_once = |object: &mut Map<String, Value>| {
            schema.prune(object, &mut UnknownFields::default());
            schema.drop_nulls(object);
            schema.coerce(object, true, &mut Vec::new()).ok()?;
            schema.fill_in(object);
            Some(())
        };
        read_once(&mut object)?;
        let mut twice = object.clone();
        read_once(&mut twice)?;
        assert_eq!(twice, object, "{source}");
        Some(Value::Object(object))
    };
    let (Some(new), Some(old)) = (read(new), read(old)) else { return };
    let correlated = Correlated::new(&new, &old, &schema);
    for (before, correlated) in [(None, None), (Some(&old), Some(&correlated))] {
        let _ = schema.check(&path, &new, correlated);
        let _ = schema.check_rules(&path, &new, before, correlated, &mut Budget::default(), &mut Vec::new());
    }
    if let Value::Object(object) = &new {
        let _ = (schema.check_lists(object), schema.check_embedded(&path, object));
    }
});

//! Objects of every kind, from what a client sends to what a table shows: defaults that change nothing the second time,
//! and hooks that cope with anything. The input is the kind's number, an object, and what it was before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::decode::{FieldPolicy, decode_json};
use serde_json::value::RawValue;

fuzz_target!(|bytes: &[u8]| {
    let Ok((number, new, old)) = serde_json::from_slice::<(usize, &RawValue, &RawValue)>(bytes) else { return };
    let all = kinds::all();
    let kind = all[number % all.len()];
    let strategy = &kind.strategy;
    let read = |json: &RawValue| {
        let (mut object, _) = decode_json(json.get().as_bytes(), kind.schema, FieldPolicy::Ignore).ok()?;
        (strategy.default)(&mut object);
        let mut twice = object.clone();
        (strategy.default)(&mut twice);
        assert_eq!(twice, object, "{kind:?}");
        Some(object)
    };
    let Some(new) = read(new) else { return };
    let mut created = new.clone();
    (strategy.prepare_create)(&mut created);
    for object in [&new, &created] {
        let _ = [(strategy.validate)(object), (strategy.validate_create)(object)];
        let _ =
            ((strategy.validate_name)(object.name()), (strategy.warnings)(object), (strategy.deletion_blocked)(object));
        let _ = (strategy.grace)(object, None);
        kind.columns.iter().for_each(|column| drop((column.cell)(object)));
        kind.selectable_fields.iter().for_each(|field| drop((field.value)(object)));
        (strategy.prepare_delete)(&mut object.clone());
    }
    if let Some(conversion) = kind.conversion {
        let mut converted = new.clone();
        (conversion.to_storage)(&mut converted);
        (conversion.from_storage)(&mut converted);
    }
    let Some(old) = read(old) else { return };
    let mut updated = new.clone();
    (strategy.prepare_update)(&mut updated, &old);
    let _ = (strategy.validate_update)(&updated, &old);
    let mut updated = new.clone();
    (strategy.prepare_status_update)(&mut updated, &old);
    let _ = (strategy.validate_status_update)(&updated, &old);
    for subresource in ["ephemeralcontainers", "resize", "approval", "finalize"] {
        let mut updated = new.clone();
        (strategy.prepare_subresource_update)(&mut updated, &old, subresource);
        let _ = (strategy.validate_subresource_update)(&updated, &old, subresource);
    }
});

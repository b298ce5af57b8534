//! Objects in the version that a client asked for.

use std::ptr;
use std::sync::Arc;

use kinds::KindDef;
use machinery::Object;

use crate::entry::Entry;

/// `entry` as `kind`; shared when it is stored in that version.
pub fn view(entry: &Arc<Entry>, kind: &'static KindDef) -> Arc<Entry> {
    if ptr::eq(entry.kind(), kind) {
        return entry.clone();
    }
    Arc::new(entry.seen_as(kind, from_storage(kind, entry.object())))
}

/// A stored object as `kind`.
pub fn from_storage(kind: &KindDef, mut object: Object) -> Object {
    if kind.custom.is_some() {
        return renamed(kind, object);
    }
    if let Some(conversion) = &kind.conversion {
        (conversion.from_storage)(&mut object);
        set_type(kind, &mut object);
    }
    object
}

/// An object of `kind` as it is stored; `storage` is the stored version.
pub fn to_storage(kind: &KindDef, storage: &KindDef, mut object: Object) -> Object {
    if kind.custom.is_some() {
        return renamed(storage, object);
    }
    if let Some(conversion) = &kind.conversion {
        (conversion.to_storage)(&mut object);
        set_type(storage, &mut object);
    }
    object
}

/// Versions of a custom kind that no webhook converts differ by name, and in what their schemas know.
fn renamed(kind: &KindDef, mut object: Object) -> Object {
    if object.api_version() != kind.group_version().to_string() {
        set_type(kind, &mut object);
        if let Err(why) = kind.read_converted(&mut object) {
            tracing::warn!(kind = %kind.gvk(), why, "an object does not fit another version");
        }
    }
    object
}

pub fn set_type(kind: &KindDef, object: &mut Object) {
    object.set(&["apiVersion"], kind.group_version().to_string());
    object.set(&["kind"], kind.kind);
}

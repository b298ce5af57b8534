//! JSON patches: document and patch are the two halves of a list.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::object::{DEPTH_MAX, depth};
use machinery::patch::json_patch;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok((document, patch)) = serde_json::from_slice::<(Value, Value)>(bytes) else { return };
    if let Ok(patched) = json_patch(document.clone(), &patch) {
        assert!(depth(&patched) <= DEPTH_MAX.max(depth(&document)));
    }
});

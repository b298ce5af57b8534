//! Merge patches: applied twice they change nothing more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::patch::merge_patch;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok((document, patch)) = serde_json::from_slice::<(Value, Value)>(bytes) else { return };
    if let Ok(once) = merge_patch(document, &patch) {
        assert_eq!(merge_patch(once.clone(), &patch), Ok(once));
    }
});

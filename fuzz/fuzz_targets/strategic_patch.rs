//! Strategic merge patches of any document by any patch.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::patch::strategic_merge_patch;
use serde_json::Value;

const POD: &str = "io.k8s.api.core.v1.Pod";

fuzz_target!(|bytes: &[u8]| {
    let Ok((document, patch)) = serde_json::from_slice::<(Value, Value)>(bytes) else { return };
    let _ = strategic_merge_patch(document, &patch, POD);
});

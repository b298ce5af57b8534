//! Answers of admission webhooks: any bytes are an answer that keeps the rules of its version, or a fault.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::Object;
use machinery::decode::{FieldPolicy, decode_patched};
use machinery::patch::json_patch;
use serde_json::{Value, json};

#[allow(dead_code)]
#[path = "../../crates/admission/src/webhook/answer.rs"]
mod answer;

use answer::{Version, read};

fuzz_target!(|bytes: &[u8]| {
    let Ok(answered) = serde_json::from_slice::<Value>(bytes) else { return };
    for version in [Version::V1, Version::V1Beta1] {
        if let Ok(answer) = read(version, "1", false, answered.clone()) {
            assert!(answer.patch.is_empty(), "who validates changes nothing");
        }
        let Ok(answer) = read(version, "1", true, answered.clone()) else { continue };
        let before = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
        let Ok(after) = json_patch(before, &Value::Array(answer.patch)) else { continue };
        let read: Option<Object> =
            decode_patched(after, "io.k8s.api.core.v1.ConfigMap", FieldPolicy::Ignore).ok().map(|(object, _)| object);
        drop(read);
    }
});

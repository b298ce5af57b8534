//! Bodies in YAML.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::decode::{FieldPolicy, decode_json, decode_yaml, parse_yaml};

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_yaml(bytes);
    if let Ok((object, _)) = decode_yaml(bytes, DEPLOYMENT, FieldPolicy::Warn) {
        let (again, _) = decode_json(&object.to_bytes(), DEPLOYMENT, FieldPolicy::Strict).expect("it was printed");
        assert_eq!(object, again);
    }
});

//! Bodies in JSON: what is read and printed reads again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::decode::{FieldPolicy, decode_json, parse_json};

const POD: &str = "io.k8s.api.core.v1.Pod";
const DEFINITION: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_json(bytes);
    for message in [POD, DEFINITION] {
        let Ok((object, _)) = decode_json(bytes, message, FieldPolicy::Warn) else { continue };
        let (again, problems) = decode_json(&object.to_bytes(), message, FieldPolicy::Strict).expect("it was printed");
        assert_eq!((object, 0), (again, problems.len()));
    }
});

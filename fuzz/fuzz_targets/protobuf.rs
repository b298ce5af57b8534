//! Bodies in protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::protobuf::decode_protobuf;

const MESSAGES: [&str; 3] = [
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.apps.v1.ControllerRevision",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
];

fuzz_target!(|bytes: &[u8]| {
    // The magic number and the envelope's second field stand for themselves, so that the object is what varies.
    let mut whole = b"k8s\0\x12".to_vec();
    let mut length = bytes.len();
    while length >= 0x80 {
        whole.push(length as u8 | 0x80);
        length >>= 7;
    }
    whole.push(length as u8);
    whole.extend_from_slice(bytes);
    for message in MESSAGES {
        if let Ok(object) = decode_protobuf(&whole, message) {
            object.to_bytes();
        }
        let _ = decode_protobuf(bytes, message);
    }
});

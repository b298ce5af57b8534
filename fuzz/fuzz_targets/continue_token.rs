//! Continue tokens: whatever a client makes up, the list stays within its prefix.
#![no_main]

// Stands in for the store, of which the module wants no more than this name.
extern crate self as store;

use libfuzzer_sys::fuzz_target;

pub type Revision = u64;

#[allow(dead_code)]
#[path = "../../crates/registry/src/continuation.rs"]
mod continuation;

use continuation::Continuation;

const PREFIX: &str = "/registry/pods/default/";

fuzz_target!(|bytes: &[u8]| {
    let made_up = std::str::from_utf8(bytes).unwrap_or_default();
    for token in [made_up.to_owned(), base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes)] {
        if let Ok(next) = Continuation::decode(&token, PREFIX) {
            assert!(next.start.starts_with(PREFIX) && next.start.len() > PREFIX.len());
            let again = Continuation::decode(&next.encode(PREFIX), PREFIX).expect("it was encoded");
            assert_eq!(next, again);
        }
    }
});

//! SPDY frames, in pieces as they may come.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../crates/node/src/server/spdy/dictionary.rs"]
mod dictionary;
#[allow(dead_code)]
#[path = "../../crates/node/src/server/spdy/frame.rs"]
mod frame;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = frame::Decoder::default();
    for piece in bytes.chunks(1 + bytes.first().map_or(0, |first| usize::from(*first))) {
        decoder.feed(piece);
        while let Ok(Some(_)) = decoder.next() {}
    }
});

//! Quantities: the normal form is the normal form of itself, and as much.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::Quantity;

fuzz_target!(|text: &str| {
    if let Ok(normal) = Quantity::normalize(text) {
        assert_eq!(Quantity::normalize(&normal).as_deref(), Ok(normal.as_str()));
    }
});

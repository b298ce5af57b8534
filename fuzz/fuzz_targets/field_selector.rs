//! Field selectors: what is printed parses as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::selector::FieldSelector;

fuzz_target!(|text: &str| {
    if let Ok(selector) = FieldSelector::parse(text) {
        let printed = selector.to_string();
        let again = FieldSelector::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert_eq!(again.to_string(), printed);
    }
});

//! Field selectors: what is printed parses as the same. Terms are sorted as they are written (`==` before `=?`), so that
//! the first reading may order them anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::selector::FieldSelector;

fuzz_target!(|text: &str| {
    if let Ok(selector) = FieldSelector::parse(text) {
        let read = |text: &str| FieldSelector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string();
        let printed = read(&selector.to_string());
        assert_eq!(read(&printed), printed);
    }
});

//! Label selectors: what is printed parses as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::selector::LabelSelector;

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        let printed = selector.to_string();
        let again = LabelSelector::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert_eq!(again.to_string(), printed);
        selector.matches_map(&[("a".to_owned(), "1".to_owned())].into());
    }
});

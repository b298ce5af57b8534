//! `fieldsV1`: what is read is written as the same, and sets of such fields follow the laws of sets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machinery::apply::Set;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok((a, b)) = serde_json::from_slice::<(Value, Value)>(bytes) else { return };
    let (Ok(a), Ok(b)) = (Set::from_fields(&a), Set::from_fields(&b)) else { return };
    for set in [&a, &b] {
        assert_eq!(Set::from_fields(&set.to_fields()).as_ref(), Ok(set));
        assert!(set.paths().iter().all(|path| set.has(path)));
    }
    assert_eq!(a.union(&b), b.union(&a));
    assert_eq!(a.intersection(&b), a.difference(&a.difference(&b)));
    assert_eq!(a.difference(&b).union(&a.intersection(&b)), a);
    assert!(a.recursive_difference(&a).is_empty());
});

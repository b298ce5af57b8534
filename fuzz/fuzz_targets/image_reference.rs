//! Names of images: a name that is read stands for itself, and names neither a directory above nor another host.
#![no_main]

// Stands in for the client, of which the module wants no more than this.
extern crate self as oci_client;

use libfuzzer_sys::fuzz_target;
pub use oci_spec::distribution::Reference;

#[allow(dead_code)]
#[path = "../../crates/containers/src/image/reference.rs"]
mod reference;

use reference::{Name, is_loopback};

fuzz_target!(|text: &str| {
    is_loopback(text);
    let Ok(name) = Name::parse(text) else { return };
    let again = Name::parse(&name.whole()).expect("it was printed");
    assert_eq!((&again.whole(), again.tagged(), again.digest()), (&name.whole(), name.tagged(), name.digest()));
    // Files of a registry's authority are found by its name.
    let registry = name.reference().registry();
    assert!(!registry.contains('/') && !matches!(registry, "" | "." | ".."), "{registry}");
    if let Some(digest) = name.digest() {
        assert_eq!(Name::parse(&name.with_digest(digest)).expect("it was printed").digest(), Some(digest));
    }
});

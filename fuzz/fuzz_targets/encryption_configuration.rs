//! Encryption configurations: what one that is read writes it reads, whatever else lies in the store.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use encryption::{Encryption, Source};
use libfuzzer_sys::fuzz_target;
use registry::Transformer;
use tokio::runtime::Builder;

const KEY: &str = "/registry/secrets/default/a";
const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: ";

static ROOT: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir_in("/dev/shm").expect("a directory"));

fuzz_target!(|input: (&str, &[u8])| {
    let (text, stored) = input;
    // Plugins' tasks end with it.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _within = runtime.enter();
    let path = ROOT.path().join("configuration.yaml");
    let shorter = text.replace("KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    for text in [text, &format!("{HEAD}{shorter}")] {
        fs::write(&path, text).expect("a file");
        let Ok(encryption) = Encryption::open(Source::Config(path.clone())) else { continue };
        let _ = encryption.from_storage(KEY, stored.to_vec().into());
        let Ok(sealed) = encryption.to_storage(KEY, stored.to_vec().into()) else { continue };
        if sealed != stored || !stored.starts_with(b"k8s:enc:") {
            assert_eq!(encryption.from_storage(KEY, sealed).expect("it was written"), stored);
        }
    }
});

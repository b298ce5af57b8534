//! What strangers and users show to servers, as arguments of curl.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use auth::pki::{Authority, LeafSpec};

use super::Cluster;

/// Certificates that were shown.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl Cluster {
    /// A small file of the test's own.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.scratch().join(name);
        std::fs::write(&path, text).expect("a small file is written");
        path
    }

    /// An authority of the cluster, by the name of its file.
    pub fn authority(&self, name: &str) -> Authority {
        Authority::load(&self.data_dir().join("pki"), name).expect("the server has it")
    }

    /// A client's certificate that an authority signed.
    pub fn shows(&self, authority: &Authority, name: &str, groups: &[&str]) -> Vec<String> {
        let (certificate, key) = authority.issue(&LeafSpec::client(name, groups)).expect("it signs");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file =
            |of: &str, text: &str| self.file(&format!("shown-{number}.{of}"), text).to_string_lossy().into_owned();
        vec!["--cert".to_owned(), file("crt", &certificate), "--key".to_owned(), file("key", &key)]
    }
}

pub fn bearer(token: &str) -> Vec<String> {
    vec!["--header".to_owned(), format!("Authorization: Bearer {}", token.trim())]
}

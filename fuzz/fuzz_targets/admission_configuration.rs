//! Admission configurations: any file is taken or refused, as a whole or as that of one plugin.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use admission::Options;
use libfuzzer_sys::fuzz_target;

const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: ";
/// Plugins, each with the version and kind of its configuration.
const PLUGINS: [(&str, &str, &str); 6] = [
    ("PodSecurity", "pod-security.admission.config.k8s.io/v1", "PodSecurityConfiguration"),
    ("ValidatingAdmissionWebhook", "apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration"),
    ("ResourceQuota", "apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"),
    ("PodNodeSelector", "", ""),
    ("PodTolerationRestriction", "podtolerationrestriction.admission.k8s.io/v1alpha1", "Configuration"),
    ("EventRateLimit", "eventratelimit.admission.k8s.io/v1alpha1", "Configuration"),
];

static ROOT: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir_in("/dev/shm").expect("a directory"));

fuzz_target!(|text: &str| {
    let [path, own] = ["configuration.yaml", "own.yaml"].map(|name| ROOT.path().join(name));
    let read = |text: &str| {
        fs::write(&path, text).expect("a file");
        drop(Options::new(&[], &[], Some(&path)));
    };
    read(text);
    read(&format!("{HEAD}{text}"));
    for (name, version, kind) in PLUGINS {
        fs::write(&own, format!("apiVersion: '{version}'\nkind: '{kind}'\n{text}")).expect("a file");
        read(&format!("{HEAD}[{{name: {name}, path: own.yaml}}]"));
    }
});

//! Gathers the descriptions of types and fields that OpenAPI shows, compressed.
//!
//! They are read from the sources of k8s-openapi, which the product depends on anyway; building that crate
//! a second time with its `schemars` output would add a minute. Its sources are generated, so that a scanner
//! of lines is enough: see [`scan::file`].

mod scan;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// The version whose module of k8s-openapi is read.
const VERSION: &str = "v1_35";

fn main() {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    let mut records = Vec::new();
    collect(&k8s_openapi().join("src").join(VERSION), &mut records);
    assert!(!records.is_empty(), "the sources of k8s-openapi hold no descriptions");
    records.sort();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(records.join("\u{1e}").as_bytes()).expect("a Vec takes every write");
    let compressed = encoder.finish().expect("a Vec takes every write");
    std::fs::write(out.join("descriptions.deflate"), compressed).expect("OUT_DIR can be written");
}

/// Where the sources of k8s-openapi lie.
fn k8s_openapi() -> PathBuf {
    let target = std::env::var("TARGET").expect("cargo sets TARGET");
    let cargo = std::env::var_os("CARGO").expect("cargo sets CARGO");
    let arguments = ["metadata", "--format-version=1", "--filter-platform", &target];
    let output = Command::new(cargo).args(arguments).output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let manifest = manifest(&metadata, "k8s-openapi").expect("the workspace depends on k8s-openapi");
    Path::new(manifest).parent().expect("a manifest lies in a folder").to_owned()
}

/// The path in `"manifest_path":"/…/k8s-openapi-0.29.0/Cargo.toml"`, found without a JSON parser.
fn manifest<'a>(metadata: &'a str, package: &str) -> Option<&'a str> {
    let mut paths = metadata.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let prefix = format!("{package}-");
    let in_package = |path: &&str| {
        let folder = Path::new(path).parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let version = folder.and_then(|name| name.strip_prefix(&prefix));
        version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    };
    paths.find(in_package)
}

fn collect(folder: &Path, records: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the sources of k8s-openapi can be read") {
        let path = entry.expect("the sources of k8s-openapi can be read").path();
        if path.is_dir() {
            collect(&path, records);
        } else {
            let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
            records.extend(scan::file(&text));
        }
    }
}

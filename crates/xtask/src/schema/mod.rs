//! The schema table, made from the sources of two crates and a list.
//!
//! k8s-openapi says what the JSON is (names, types, what is required), k8s-pb what the protobuf is (tags,
//! wire types) and, in its doc comments, how lists and maps merge. The two are joined by names. What
//! neither knows, which fields are pointers in Go, is in `pointers.txt`.

mod emit;
mod join;
mod openapi;
mod protobuf;
mod tokens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The Kubernetes version whose module of k8s-openapi is read.
const VERSION: &str = "v1_35";

pub fn run(check: bool) -> Result<()> {
    let packages = package_roots()?;
    let root = |name: &str| packages.get(name).with_context(|| format!("cargo metadata knows no package {name}"));
    let definitions = openapi::read(&root("k8s-openapi")?.join("src").join(VERSION))?;
    let messages = protobuf::read(&root("k8s-pb")?.join("src"))?;
    let table = join::join(definitions, &messages)?;
    let files = emit::files(&table);
    let folder = root("schema")?.join("src/table");
    if check { compare(&folder, &files) } else { write(&folder, &files) }
}

/// Where the sources of each package of the workspace's graph lie, by name.
fn package_roots() -> Result<BTreeMap<String, PathBuf>> {
    let output = Command::new(env!("CARGO")).args(["metadata", "--format-version=1"]).output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    Ok(packages.iter().filter_map(package_root).collect())
}

fn package_root(package: &Value) -> Option<(String, PathBuf)> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    Some((package["name"].as_str()?.to_owned(), manifest.parent()?.to_owned()))
}

fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    for (name, text) in files {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

fn compare(folder: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    let present = std::fs::read_dir(folder)?.count();
    let stale = |(name, text): &(&String, &String)| {
        std::fs::read_to_string(folder.join(name)).is_ok_and(|found| found == **text)
    };
    let current = files.iter().filter(stale).count();
    if current != files.len() || present != files.len() {
        bail!("{} is not up to date: run `cargo xtask schema`", folder.display());
    }
    Ok(())
}

/// All `.rs` files below a folder, each with its path relative to it.
fn sources(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)?;
                found.push((path.strip_prefix(folder)?.to_owned(), text));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The module path of a file: `api/core/v1/pod.rs` lies in `api::core::v1`.
fn module_of(file: &Path) -> String {
    let folders = file.parent().into_iter().flat_map(Path::components);
    let names: Vec<_> = folders.map(|component| component.as_os_str().to_string_lossy().into_owned()).collect();
    names.join("::")
}

/// A name without what the two crates spell differently.
fn normalized(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

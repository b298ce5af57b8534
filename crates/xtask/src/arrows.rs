//! `cargo xtask arrows`: which crate may stand upon which.
//!
//! Crates are listed in layers; one may depend on those above it, never on those below. The loops, besides,
//! know the cluster through its API alone.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// From the leaves to the product.
const ORDER: &[&str] = &[
    "schema",
    "clock",
    "grpc",
    "trace",
    "files",
    "webhook",
    "machinery",
    "expression",
    "archive",
    "structural",
    "kinds",
    "store",
    "registry",
    "encryption",
    "auth",
    "admission",
    "apiserver",
    "control",
    "controllers",
    "scheduler",
    "autoscale",
    "containers",
    "node",
    "network",
    "dns",
    "cli",
    "keelson",
    "sample",
    "testkit",
    "bench",
    "xtask",
];
/// What knows the cluster through its API alone.
const LOOPS: &[&str] =
    &["control", "controllers", "scheduler", "autoscale", "containers", "node", "network", "dns", "cli"];
const SERVER: &[&str] = &["store", "registry", "encryption", "auth", "admission", "apiserver"];

/// Fails if a crate depends on one that it must not know.
pub fn check() -> anyhow::Result<()> {
    let arrows = arrows()?;
    let mut wrong = Vec::new();
    for (from, targets) in &arrows {
        let Some(place) = position(from) else {
            wrong.push(format!("the crate {from} is in no layer: add it to crates/xtask/src/arrows.rs"));
            continue;
        };
        for to in targets {
            if position(to).is_some_and(|above| above >= place) {
                wrong.push(format!("{from} depends on {to}, which stands below it"));
            }
            if LOOPS.contains(&from.as_str()) && SERVER.contains(&to.as_str()) {
                wrong.push(format!("{from} depends on {to}: loops know the cluster through its API alone"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} crates, no arrow down", arrows.len());
    Ok(())
}

fn position(name: &str) -> Option<usize> {
    ORDER.iter().position(|of| *of == name)
}

/// Dependencies between crates of this repository; those of tests do not count.
fn arrows() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let output = Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let ours: Vec<String> = packages.iter().map(name).collect();
    let targets = |package: &Value| {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
        normal.map(name).filter(|name| ours.contains(name)).collect()
    };
    Ok(packages.iter().map(|package| (name(package), targets(package))).collect())
}

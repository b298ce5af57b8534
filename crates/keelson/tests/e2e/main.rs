//! The program itself, with real containers, driven as its users drive it: by kubectl and by Kubernetes' clients.
//!
//! Each test has a server, a network namespace and a data directory of its own, and leaves nothing behind.
//! Needs root, `kubectl`, `ip`, `nft`, `nsenter`, `curl`, `dig`, and room in `TMPDIR`; without them the tests fail and
//! say so.

mod access;
mod admission;
mod basics;
mod certs;
mod clients;
#[path = "../../../apiserver/tests/collector/mod.rs"]
mod collector;
mod definitions;
mod dns;
mod escalation;
mod etcd;
mod extension;
mod faults;
mod flags;
mod identity;
mod keys;
mod lifecycle;
mod machines;
mod operator;
mod partitions;
mod placement;
// Not all that it can do is of use here.
#[allow(dead_code)]
#[path = "../../../encryption/tests/plugin/mod.rs"]
mod plugin;
mod reset;
mod rights;
mod rollout;
mod scale;
mod security;
mod servers;
mod snapshots;
mod strangers;
mod streams;
mod support;
mod upstream;
mod volumes;

//! `keelson secrets`: the cluster's own keys of encryption at rest.

use std::time::Duration;

use anyhow::{Context, bail};
use encryption::keys;

use crate::flags;
use crate::paths::Paths;

/// How long a running server is given to store everything anew.
const PATIENCE: Duration = Duration::from_secs(120);

/// Safe to repeat, and to cut off at any point: the file holds every key that is needed.
pub async fn run(flags: flags::Secrets) -> anyhow::Result<()> {
    let flags::SecretsCommand::RotateKeys { data } = flags.command;
    let paths = Paths::open(&data.data_dir)?;
    if paths.token().exists() {
        bail!(
            "the keys of this cluster are shared by its servers: rotate keys of an --encryption-provider-config \
             instead, which each of them is given first for reading and then for writing"
        );
    }
    let path = paths.encryption_keys();
    keys::add(&path).context("no server has started in this data directory with keys of its own")?;
    match tokio::time::timeout(PATIENCE, keys::rotated(&path)).await {
        Ok(rotated) => {
            rotated?;
            println!("every Secret is encrypted by a new key; the old one is gone");
        }
        Err(_) => println!("there is a new key; the server drops the old one when it has stored every Secret anew"),
    }
    Ok(())
}

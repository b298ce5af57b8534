//! `keelson secrets`: the cluster's own keys of encryption at rest.

use std::time::Duration;

use anyhow::{Context, bail};
use encryption::keys;

use crate::paths::Paths;
use crate::{datastore, flags, rotation, shared};

/// How long a running server is given to store everything anew.
const PATIENCE: Duration = Duration::from_secs(120);

/// Safe to repeat, and to cut off at any point: the file holds every key that is needed.
pub async fn run(flags: flags::Secrets) -> anyhow::Result<()> {
    let flags::SecretsCommand::RotateKeys { data, datastore } = flags.command;
    let paths = Paths::open(&data.data_dir)?;
    if let Some(token) = shared::own_token(&paths) {
        if !datastore.is_shared() {
            bail!("the keys of this cluster are shared by its servers: name their etcd by --datastore");
        }
        let store = datastore::connect(&datastore.datastore, &datastore.tls).await?;
        rotation::rotate(&store, &paths, &token).await?;
        println!("every Secret is encrypted by a new key, which all servers have");
        return Ok(());
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

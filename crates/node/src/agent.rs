//! The agent as a whole: start order, the pods it runs, and its end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::{AgentConfig, Error};
use crate::machine::Machine;
use crate::registration::Registration;

/// A node agent.
pub struct Agent;

impl Agent {
    /// Runs a node until `shutdown`. Containers keep running when it ends.
    pub async fn run(config: AgentConfig, shutdown: CancellationToken) -> Result<(), Error> {
        let config = Arc::new(config);
        std::fs::create_dir_all(&config.root_dir)
            .map_err(|error| Error::Io(config.root_dir.display().to_string(), error))?;
        let machine = match &config.machine {
            Some(machine) => machine.clone(),
            None => Machine::of_host(&config.root_dir)?,
        };
        let registration = Registration::new(config.clone(), machine, config.port);
        let node = tokio::select! {
            node = registration.register() => node,
            () = shutdown.cancelled() => return Ok(()),
        };
        registration.run(node, shutdown).await;
        Ok(())
    }
}

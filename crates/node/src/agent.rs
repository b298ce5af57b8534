//! The agent as a whole: start order, what runs beside the pods, and the end.

use std::sync::Arc;

use control::Informers;
use k8s_openapi::api::core::v1::Pod;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{AgentConfig, Error};
use crate::context::Node;
use crate::logs::rotate;
use crate::machine::Machine;
use crate::pods::{Pods, Table};
use crate::registration::Registration;
use crate::server::Server;

/// A node agent.
pub struct Agent;

impl Agent {
    /// Runs a node until `shutdown`. Containers keep running when it ends.
    pub async fn run(config: AgentConfig, shutdown: CancellationToken) -> Result<(), Error> {
        tokio::select! {
            ended = Self::run_all(config) => ended,
            () = shutdown.cancelled() => Ok(()),
        }
    }

    async fn run_all(config: AgentConfig) -> Result<(), Error> {
        let config = Arc::new(config);
        std::fs::create_dir_all(&config.root_dir)
            .map_err(|error| Error::Io(config.root_dir.display().to_string(), error))?;
        let machine = match &config.machine {
            Some(machine) => machine.clone(),
            None => Machine::of_host(&config.root_dir)?,
        };
        let informers = Informers::new(config.client.clone());
        let listener = listen(&config).await?;
        let port = match &listener {
            Some(listener) => listener.local_addr().map_err(|e| Error::Io("the node's port".into(), e))?.port(),
            None => config.port,
        };
        let node = Arc::new(Node::new(config.clone(), machine.clone(), &informers));
        // Its list is on the way while the node registers.
        informers.select::<Pod>(&format!("spec.nodeName={}", config.node_name), "");
        let registration = Registration::new(config.clone(), machine, port);
        let object = registration.register().await;
        node.record_node("Starting", "Starting kubelet.");
        info!(node = config.node_name, port, "the agent runs");
        let table = Table::default();
        let pods = Pods::new(node.clone(), table.clone(), object.metadata.labels.clone().unwrap_or_default());
        let server = Server::new(node.clone(), table);
        tokio::select! {
            ended = pods.run(&informers) => ended,
            () = registration.run(object) => Ok(()),
            () = rotate::rotate_all(node.runtime.clone()) => Ok(()),
            ended = server.serve(listener) => ended,
        }
    }
}

async fn listen(config: &AgentConfig) -> Result<Option<TcpListener>, Error> {
    if config.tls.is_none() {
        return Ok(None);
    }
    let listener = TcpListener::bind(("0.0.0.0", config.port)).await;
    listener.map(Some).map_err(|error| Error::Io(format!("listening on port {}", config.port), error))
}

//! A simulated node: a real agent over a runtime that only remembers.

use std::collections::BTreeMap;
use std::path::Path;

use apiserver::Server;
use containers::Runtime;
use control::CancellationToken;
use machinery::UserInfo;
use node::Agent;
use node::machine::Machine;
use node::simulated::{self, Behaviour, Containers};
use tracing::warn;

use super::link::Link;

const CPUS: u64 = 4;
const MEMORY: u64 = 8 << 30;

pub struct SimulatedNode {
    name: String,
    /// Tells the addresses of this node's pods from those of others.
    number: u8,
    pub link: Link,
    pub containers: Containers,
    agent: CancellationToken,
}

impl SimulatedNode {
    /// A machine that is switched off.
    pub fn new(name: &str, number: u8) -> Self {
        let containers = Containers::with_subnet([10, 42, number]);
        let agent = CancellationToken::new();
        Self { name: name.to_owned(), number, link: Link::default(), containers, agent }
    }

    /// Starts the agent. What it finds in the runtime it takes over.
    pub fn start(&mut self, server: &Server, root: &Path, images: &BTreeMap<String, Behaviour>) {
        self.stop();
        self.agent = CancellationToken::new();
        images.iter().for_each(|(image, behaviour)| self.containers.behave(image, *behaviour));
        let user = UserInfo::new(format!("system:node:{}", self.name), &["system:nodes"]);
        self.link = Link::default();
        let client = self.link.client(server.client(user));
        let machine = Machine::simulated(CPUS, MEMORY);
        let config = simulated::config(client, self.containers.clone(), &self.name, &root.join(&self.name), machine);
        let (agent, name) = (self.agent.clone(), self.name.clone());
        tokio::spawn(async move {
            if let Err(error) = Agent::run(config, agent).await {
                warn!(%error, name, "an agent ended");
            }
        });
    }

    /// The agent ends, containers run on.
    pub fn stop(&mut self) {
        self.link.cut();
        self.agent.cancel();
    }

    /// The machine loses power.
    pub fn kill(&mut self) {
        self.stop();
        self.containers = Containers::with_subnet([10, 42, self.number]);
    }

    /// The pods that have a running container, as `namespace/name uid`.
    pub async fn running(&self) -> Vec<(String, String)> {
        let sandboxes = self.containers.list_sandboxes().await.expect("a runtime in memory answers");
        let ready = sandboxes.into_iter().filter(|sandbox| sandbox.state == containers::SandboxState::Ready);
        ready.map(|s| (format!("{}/{}", s.metadata.namespace, s.metadata.name), s.metadata.uid)).collect()
    }
}

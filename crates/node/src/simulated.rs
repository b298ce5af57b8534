//! A node without a machine: a container runtime that only remembers, for simulated clusters and tests.
//!
//! Containers start at once and run until they are stopped or [`Containers::exit`] ends them. Time is
//! crate `clock`'s, so that a paused clock moves everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use containers::{
    ContainerConfig, ContainerState, ContainerStatus, Error, Event, ExecConfig, ExecOutput, FilesystemUsage, Image,
    RegistryAuth, Resources, Result, Runtime, SandboxConfig, SandboxState, SandboxStatus, Streams, Usage,
};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::config::AgentConfig;
use crate::machine::Machine;

/// Events that a slow reader may be behind.
const EVENTS: usize = 1024;

/// How the containers of an image behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Ends by itself after this time with this code.
    pub ends: Option<(Duration, i32)>,
    /// It cannot be pulled.
    pub missing: bool,
    /// It does not heed the stop signal.
    pub stubborn: bool,
}

#[derive(Default)]
struct Table {
    sandboxes: BTreeMap<String, SandboxStatus>,
    containers: BTreeMap<String, ContainerStatus>,
    configs: HashMap<String, ContainerConfig>,
    images: BTreeMap<String, Image>,
    behaviours: HashMap<String, Behaviour>,
    logs_begun: BTreeSet<String>,
    next: u32,
}

/// A runtime in memory. Clones share it.
#[derive(Clone)]
pub struct Containers {
    table: Arc<Mutex<Table>>,
    events: broadcast::Sender<Event>,
    /// Second octet pair of the pods' addresses.
    subnet: [u8; 3],
}

impl Default for Containers {
    fn default() -> Containers {
        Containers::new()
    }
}

impl Containers {
    pub fn new() -> Containers {
        Containers::with_subnet([10, 42, 0])
    }

    /// Pods get addresses that begin with these bytes.
    pub fn with_subnet(subnet: [u8; 3]) -> Containers {
        Containers { table: Arc::default(), events: broadcast::Sender::new(EVENTS), subnet }
    }

    /// Says how containers of an image behave from now on.
    pub fn behave(&self, image: &str, behaviour: Behaviour) {
        self.table.lock().behaviours.insert(image.to_string(), behaviour);
    }

    /// Ends the running container of this name, of whichever pod. False when there is none.
    pub fn exit(&self, name: &str, code: i32) -> bool {
        let running = |status: &&ContainerStatus| status.name == name && status.state == ContainerState::Running;
        let id = self.table.lock().containers.values().find(running).map(|status| status.id.clone());
        id.is_some_and(|id| self.end(&id, code, ""))
    }

    /// What a container was made from.
    pub fn config(&self, id: &str) -> Option<ContainerConfig> {
        self.table.lock().configs.get(id).cloned()
    }

    /// The containers whose logs were begun anew.
    pub fn logs_begun(&self) -> Vec<String> {
        self.table.lock().logs_begun.iter().cloned().collect()
    }

    fn end(&self, id: &str, code: i32, reason: &str) -> bool {
        let mut table = self.table.lock();
        let Some(status) = table.containers.get_mut(id).filter(|status| status.state == ContainerState::Running) else {
            return false;
        };
        status.state = ContainerState::Exited;
        status.exit_code = code;
        status.finished_at = Some(clock::now());
        let default = if code == 0 { "Completed" } else { "Error" };
        status.reason = if reason.is_empty() { default } else { reason }.to_string();
        let event = Event::Exited { sandbox_id: status.sandbox_id.clone(), container_id: id.to_string() };
        drop(table);
        self.tell(event);
        true
    }

    /// Nobody may be listening, which is no fault.
    fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::trace!("an event that nobody hears");
        }
    }

    fn behaviour(&self, id: &str) -> Behaviour {
        let table = self.table.lock();
        let image = table.containers.get(id).map(|status| status.image.clone()).unwrap_or_default();
        let tag = table.images.get(&image).and_then(|image| image.tags.first().cloned()).unwrap_or(image);
        table.behaviours.get(&tag).copied().unwrap_or_default()
    }

    fn ids_in(&self, sandbox: &str) -> Vec<String> {
        let table = self.table.lock();
        table
            .containers
            .values()
            .filter(|status| status.sandbox_id == sandbox)
            .map(|status| status.id.clone())
            .collect()
    }
}

#[async_trait]
impl Runtime for Containers {
    fn version(&self) -> (String, String) {
        ("keelson".into(), "simulated".into())
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String> {
        let mut table = self.table.lock();
        table.next += 1;
        let id = format!("sandbox-{}", table.next);
        let [a, b, c] = self.subnet;
        let ip = IpAddr::V4(Ipv4Addr::new(a, b, c, (table.next % 250 + 2) as u8));
        let status = SandboxStatus {
            id: id.clone(),
            metadata: config.metadata.clone(),
            state: SandboxState::Ready,
            created_at: clock::now(),
            ips: if config.host_network { Vec::new() } else { vec![ip] },
            host_network: config.host_network,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        table.sandboxes.insert(id.clone(), status);
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        for container in self.ids_in(id) {
            self.end(&container, 137, "Error");
        }
        if let Some(sandbox) = self.table.lock().sandboxes.get_mut(id) {
            sandbox.state = SandboxState::NotReady;
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.stop_sandbox(id).await?;
        for container in self.ids_in(id) {
            self.remove_container(&container).await?;
        }
        self.table.lock().sandboxes.remove(id);
        Ok(())
    }

    async fn list_sandboxes(&self) -> Result<Vec<SandboxStatus>> {
        Ok(self.table.lock().sandboxes.values().cloned().collect())
    }

    async fn create_container(&self, sandbox_id: &str, config: &ContainerConfig) -> Result<String> {
        let mut table = self.table.lock();
        if !table.sandboxes.contains_key(sandbox_id) {
            return Err(Error::NotFound(format!("sandbox {sandbox_id}")));
        }
        table.next += 1;
        let id = format!("container-{}", table.next);
        let status = ContainerStatus {
            id: id.clone(),
            sandbox_id: sandbox_id.to_string(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            created_at: clock::now(),
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: config.image.clone(),
            log_path: Path::new("/nonexistent").join(&id),
            pid: None,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        table.containers.insert(id.clone(), status);
        table.configs.insert(id.clone(), config.clone());
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let sandbox_id = {
            let mut table = self.table.lock();
            let status = table.containers.get_mut(id).ok_or_else(|| Error::NotFound(format!("container {id}")))?;
            status.state = ContainerState::Running;
            status.started_at = Some(clock::now());
            status.sandbox_id.clone()
        };
        self.tell(Event::Started { sandbox_id, container_id: id.to_string() });
        if let Some((after, code)) = self.behaviour(id).ends {
            let (this, id) = (self.clone(), id.to_string());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                this.end(&id, code, "");
            });
        }
        Ok(())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        if self.behaviour(id).stubborn {
            tokio::time::sleep(grace).await;
            self.end(id, 137, "Error");
        } else {
            self.end(id, 143, "Error");
        }
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        let mut table = self.table.lock();
        table.containers.remove(id);
        table.configs.remove(id);
        Ok(())
    }

    async fn list_containers(&self) -> Result<Vec<ContainerStatus>> {
        Ok(self.table.lock().containers.values().cloned().collect())
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus> {
        let found = self.table.lock().containers.get(id).cloned();
        found.ok_or_else(|| Error::NotFound(format!("container {id}")))
    }

    async fn update_resources(&self, id: &str, resources: &Resources) -> Result<()> {
        if let Some(config) = self.table.lock().configs.get_mut(id) {
            config.resources = resources.clone();
        }
        Ok(())
    }

    async fn reopen_log(&self, id: &str) -> Result<()> {
        self.table.lock().logs_begun.insert(id.to_string());
        Ok(())
    }

    async fn exec(&self, _: &str, _: &ExecConfig) -> Result<Streams> {
        let (exit, exited) = oneshot::channel();
        if exit.send(0).is_err() {
            return Err(Error::Runtime("the caller is gone".into()));
        }
        Ok(Streams { stdin: None, stdout: None, stderr: None, tty: None, exit: exited })
    }

    async fn exec_sync(&self, _: &str, _: &[String], _: Duration) -> Result<ExecOutput> {
        Ok(ExecOutput::default())
    }

    async fn attach(&self, id: &str) -> Result<Streams> {
        self.exec(id, &ExecConfig::default()).await
    }

    async fn connect(&self, sandbox_id: &str, _: u16) -> Result<TcpStream> {
        Err(Error::Runtime(format!("sandbox {sandbox_id} is simulated")))
    }

    async fn container_usage(&self, _: &str) -> Result<Usage> {
        Ok(Usage { at: clock::now(), ..Usage::default() })
    }

    async fn sandbox_usage(&self, _: &str) -> Result<Usage> {
        Ok(Usage { at: clock::now(), ..Usage::default() })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        Ok(self.table.lock().images.values().cloned().collect())
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        let table = self.table.lock();
        let found =
            table.images.values().find(|image| image.id == reference || image.tags.iter().any(|t| t == reference));
        Ok(found.cloned())
    }

    async fn pull_image(&self, reference: &str, _: Option<&RegistryAuth>) -> Result<Image> {
        let mut table = self.table.lock();
        if table.behaviours.get(reference).is_some_and(|behaviour| behaviour.missing) {
            return Err(Error::Image(format!("{reference}: not found")));
        }
        let id = format!("sha256:{}", machinery::strconv::hex(reference.as_bytes()));
        let image =
            Image { id: id.clone(), tags: vec![reference.to_string()], digests: Vec::new(), size: 1 << 20, user: None };
        table.images.insert(id, image.clone());
        Ok(image)
    }

    async fn import_images(&self, archive: &Path, _: mpsc::Sender<(u64, u64)>) -> Result<Vec<Image>> {
        Err(Error::InvalidArgument(format!("{}: a simulated node takes no archives", archive.display())))
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        self.table.lock().images.retain(|id, image| id != reference && !image.tags.iter().any(|tag| tag == reference));
        Ok(())
    }

    async fn image_filesystem(&self) -> Result<FilesystemUsage> {
        Ok(FilesystemUsage::default())
    }
}

/// The configuration of a simulated node: no API of its own, a machine of this size.
pub fn config(client: kube::Client, runtime: Containers, name: &str, root_dir: &Path, machine: Machine) -> AgentConfig {
    AgentConfig {
        root_dir: root_dir.to_path_buf(),
        machine: Some(machine),
        ..AgentConfig::new(client, Arc::new(runtime), name, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

//! The runtime that is built in, as the agent sees it.

mod client;
mod reset;
mod resolve;
mod streams;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::sched::{CloneFlags, setns};
use tokio::sync::{broadcast, mpsc};

use crate::api::{
    ContainerConfig, ContainerState, ContainerStatus, Error, Event, ExecConfig, ExecOutput, FilesystemUsage, Image,
    RegistryAuth, Resources, Result, Runtime, SandboxConfig, SandboxNetwork, SandboxStatus, Streams, Usage,
};
use crate::cgroup::Cgroups;
use crate::image::{ImageError, Name, Puller, Registries, Store, to_api};
use crate::record::{ContainerRecord, Layout, SandboxRecord};
use crate::wire::{Answer, Request};
use client::Client;
pub use reset::reset;

/// How long a killed container may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Random bytes of an id.
const ID_BYTES: usize = 32;

pub struct EmbeddedConfig {
    /// Records, images and writable layers; on a disk.
    pub root: PathBuf,
    /// Sockets and namespaces; on a tmpfs, so that a reboot empties it.
    pub run: PathBuf,
    pub network: Arc<dyn SandboxNetwork>,
    /// What runs [`crate::supervisor_main`]: `keelson supervisor`. Directories are added as `--root` and `--run`.
    pub supervisor_command: Vec<OsString>,
}

/// Runs containers through the supervisor. Dropping it leaves the supervisor and every container running.
pub struct Embedded {
    layout: Layout,
    client: Client,
    network: Arc<dyn SandboxNetwork>,
    images: Arc<Store>,
    puller: Puller,
    cgroups: Cgroups,
}

impl Embedded {
    /// Finds or starts the supervisor and opens the image store. One process at a time may use a root.
    pub async fn start(config: EmbeddedConfig) -> Result<Embedded> {
        let layout = Layout { root: config.root, run: config.run };
        fs::create_dir_all(&layout.root).map_err(to_api)?;
        let images = Arc::new(Store::open(layout.images()).map_err(to_api)?);
        let client = Client::start(layout.clone(), config.supervisor_command).await?;
        let cgroups = Cgroups::detect().map_err(to_api)?;
        let embedded =
            Embedded { puller: Puller::new(images.clone()), layout, client, network: config.network, images, cgroups };
        let known: Vec<String> = embedded.sandboxes().await?.into_iter().map(|record| record.status.id).collect();
        embedded.network.retain(&known).await?;
        embedded.empty_trash().await?;
        Ok(embedded)
    }

    pub fn configure_registries(&self, registries: Registries) {
        self.puller.configure(registries);
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxRecord>> {
        match self.client.ask(|| Request::ListSandboxes).await?.answer {
            Answer::Sandboxes(records) => Ok(records),
            other => Err(unexpected(&other)),
        }
    }

    async fn sandbox(&self, id: &str) -> Result<SandboxRecord> {
        let found = self.sandboxes().await?.into_iter().find(|record| record.status.id == id);
        found.ok_or_else(|| Error::NotFound(format!("sandbox \"{id}\"")))
    }

    async fn containers(&self) -> Result<Vec<ContainerRecord>> {
        match self.client.ask(|| Request::ListContainers).await?.answer {
            Answer::Containers(records) => Ok(records),
            other => Err(unexpected(&other)),
        }
    }

    async fn container(&self, id: &str) -> Result<ContainerRecord> {
        match self.client.ask(|| Request::Container { id: id.to_owned() }).await?.answer {
            Answer::Containers(records) if records.len() == 1 => Ok(records.into_iter().next().expect("there is one")),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts the new sandbox on the network; when that fails, nothing of it stays.
    async fn attach_network(&self, id: &str, config: &SandboxConfig) -> Result<Vec<IpAddr>> {
        if config.host_network {
            return Ok(Vec::new());
        }
        let attached = self.network.attach(id, &self.layout.network_namespace(id), config).await;
        if attached.is_err()
            && let Err(error) = self.remove_sandbox(id).await
        {
            tracing::warn!(sandbox = id, %error, "what was made of the sandbox stays");
        }
        attached
    }

    async fn kill(&self, id: &str) -> Result<()> {
        self.client.order(Request::SignalContainer { id: id.to_owned(), signal: libc::SIGKILL }).await?;
        let ended =
            tokio::time::timeout(KILL_TIMEOUT, self.client.order(Request::WaitContainer { id: id.to_owned() })).await;
        ended.unwrap_or_else(|_| {
            Err(Error::DeadlineExceeded(format!("an error occurs during waiting for container \"{id}\" to be killed")))
        })
    }

    /// Deletes what the supervisor put aside.
    async fn empty_trash(&self) -> Result<()> {
        let trash = self.layout.root.join("trash");
        blocking(move || {
            fs::create_dir_all(&trash)?;
            for entry in fs::read_dir(&trash)? {
                match fs::remove_dir_all(entry?.path()) {
                    // Another call was quicker.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => other?,
                }
            }
            Ok(())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(to_api),
        Err(error) => Err(Error::Runtime(error.to_string())),
    }
}

fn unexpected(answer: &Answer) -> Error {
    Error::Runtime(format!("the supervisor answers another question: {answer:?}"))
}

fn new_id() -> String {
    let mut bytes = [0; ID_BYTES];
    clock::fill_random(&mut bytes);
    machinery::strconv::hex(&bytes)
}

/// No error when it is gone already.
fn unless_gone(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// Connects inside a network namespace, on a thread that ends: a thread that was elsewhere is of no other use.
fn connect_inside(namespace: Option<PathBuf>, port: u16) -> io::Result<TcpStream> {
    let work = move || {
        if let Some(path) = namespace {
            setns(fs::File::open(path)?, CloneFlags::CLONE_NEWNET)?;
        }
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        TcpStream::connect_timeout(&v4, CONNECT_TIMEOUT)
            .or_else(|error| TcpStream::connect_timeout(&v6, CONNECT_TIMEOUT).map_err(|_| error))
    };
    std::thread::spawn(work).join().map_err(|_| io::Error::other("the connecting thread panicked"))?
}

#[async_trait]
impl Runtime for Embedded {
    fn version(&self) -> (String, String) {
        ("keelson".to_owned(), env!("CARGO_PKG_VERSION").to_owned())
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String> {
        let id = new_id();
        self.client.order(Request::CreateSandbox { id: id.clone(), config: Box::new(config.clone()) }).await?;
        let ips = self.attach_network(&id, config).await?;
        self.client.order(Request::SandboxReady { id: id.clone(), ips }).await?;
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let running = self.containers().await?.into_iter().map(|record| record.status);
        let running = running.filter(|status| status.sandbox_id == id && status.state != ContainerState::Exited);
        let kills = running.map(|status| async move { unless_gone(self.kill(&status.id).await) });
        futures::future::try_join_all(kills).await?;
        self.network.detach(id).await?;
        self.client.order(Request::StopSandbox { id: id.to_owned() }).await
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.stop_sandbox(id).await?;
        self.client.order(Request::RemoveSandbox { id: id.to_owned() }).await?;
        self.empty_trash().await
    }

    async fn list_sandboxes(&self) -> Result<Vec<SandboxStatus>> {
        Ok(self.sandboxes().await?.into_iter().map(|record| record.status).collect())
    }

    async fn create_container(&self, sandbox_id: &str, config: &ContainerConfig) -> Result<String> {
        let sandbox = self.sandbox(sandbox_id).await?;
        let image =
            self.images.find(&config.image).ok_or_else(|| Error::NotFound(format!("image \"{}\"", config.image)))?;
        let plan = resolve::plan(config, &sandbox.config, &image.manifest, self.images.layers(&image.manifest))?;
        let id = new_id();
        let request = Request::CreateContainer {
            id: id.clone(),
            sandbox: sandbox_id.to_owned(),
            config: Box::new(config.clone()),
            image: image.image.id,
            plan: Box::new(plan),
        };
        self.client.order(request).await?;
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        self.client.order(Request::StartContainer { id: id.to_owned() }).await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        if !grace.is_zero() {
            let asked = self.client.order(Request::SignalContainer { id: id.to_owned(), signal: 0 }).await;
            if matches!(asked, Err(Error::NotFound(_))) {
                return Ok(());
            }
            asked?;
            let ended = self.client.order(Request::WaitContainer { id: id.to_owned() });
            if let Ok(ended) = tokio::time::timeout(grace, ended).await {
                return unless_gone(ended);
            }
        }
        unless_gone(self.kill(id).await)
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.client.order(Request::RemoveContainer { id: id.to_owned() }).await?;
        self.empty_trash().await
    }

    async fn list_containers(&self) -> Result<Vec<ContainerStatus>> {
        Ok(self.containers().await?.into_iter().map(|record| record.status).collect())
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus> {
        Ok(self.container(id).await?.status)
    }

    async fn update_resources(&self, id: &str, resources: &Resources) -> Result<()> {
        self.client.order(Request::UpdateResources { id: id.to_owned(), resources: resources.clone() }).await
    }

    async fn reopen_log(&self, id: &str) -> Result<()> {
        self.client.order(Request::ReopenLog { id: id.to_owned() }).await
    }

    async fn exec(&self, id: &str, config: &ExecConfig) -> Result<Streams> {
        Ok(streams::exec(&self.client, id, config).await?.1)
    }

    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        streams::exec_sync(&self.client, id, command, timeout).await
    }

    async fn attach(&self, id: &str) -> Result<Streams> {
        Ok(streams::from_reply(self.client.call(Request::Attach { id: id.to_owned() }).await?)?.1)
    }

    async fn connect(&self, sandbox_id: &str, port: u16) -> Result<tokio::net::TcpStream> {
        let host = self.sandbox(sandbox_id).await?.status.host_network;
        let namespace = (!host).then(|| self.layout.network_namespace(sandbox_id));
        let connected = tokio::task::spawn_blocking(move || connect_inside(namespace, port)).await;
        let failed = |error: String| {
            Error::Runtime(format!("failed to connect to localhost:{port} inside namespace \"{sandbox_id}\": {error}"))
        };
        let stream =
            connected.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        stream.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(stream)).map_err(to_api)
    }

    async fn container_usage(&self, id: &str) -> Result<Usage> {
        let record = self.container(id).await?;
        self.cgroups.usage(&record.cgroup).map_err(to_api)
    }

    async fn sandbox_usage(&self, id: &str) -> Result<Usage> {
        let record = self.sandbox(id).await?;
        self.cgroups.usage(&record.cgroup).map_err(to_api)
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.client.events()
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        Ok(self.images.list())
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        Ok(self.images.find(reference).map(|entry| entry.image))
    }

    async fn pull_image(&self, reference: &str, auth: Option<&RegistryAuth>) -> Result<Image> {
        let name = Name::parse(reference).map_err(Error::Image)?;
        self.puller.pull(&name, auth).await
    }

    async fn import_images(&self, archive: &Path, progress: mpsc::Sender<(u64, u64)>) -> Result<Vec<Image>> {
        let (images, path) = (self.images.clone(), archive.to_path_buf());
        let imported = tokio::task::spawn_blocking(move || images.import(&path, &progress)).await;
        match imported.map_err(|error| Error::Runtime(error.to_string()))? {
            Ok(images) => Ok(images),
            Err(ImageError::Io(error)) => Err(to_api(error)),
            Err(error) => Err(Error::Image(format!("failed to import {}: {error}", archive.display()))),
        }
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        let in_use: BTreeSet<String> = self.containers().await?.into_iter().map(|record| record.status.image).collect();
        let (images, reference) = (self.images.clone(), reference.to_owned());
        let removed = tokio::task::spawn_blocking(move || images.remove(&reference, &in_use)).await;
        removed.map_err(|error| Error::Runtime(error.to_string()))?
    }

    async fn image_filesystem(&self) -> Result<FilesystemUsage> {
        self.images.filesystem().map_err(to_api)
    }
}

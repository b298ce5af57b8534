//! A node of its own for one test: runtime, supervisor, images, and what there is to clean up after it.
#![allow(dead_code)] // Each test file uses a part of it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archive::{ImageBuilder, Layer};
use async_trait::async_trait;
use containers::embedded::{Embedded, EmbeddedConfig};
use containers::{
    ContainerConfig, ContainerState, ContainerStatus, Error, PodMetadata, Resources, Result, Runtime, SandboxConfig,
    SandboxNetwork,
};
use tokio::sync::mpsc;

pub const IMAGE: &str = "docker.io/library/busybox:test";
const TIMEOUT: Duration = Duration::from_secs(30);

/// A network that gives every sandbox the same address and nothing else.
pub struct NoNetwork;

#[async_trait]
impl SandboxNetwork for NoNetwork {
    async fn attach(&self, _: &str, _: &Path, _: &SandboxConfig) -> Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([10, 0, 0, 1])])
    }

    async fn detach(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn retain(&self, _: &[String]) -> Result<()> {
        Ok(())
    }
}

pub struct Node {
    pub directory: tempfile::TempDir,
    pub runtime: Agent,
}

/// The agent, while it is there.
pub struct Agent(Option<Embedded>);

impl std::ops::Deref for Agent {
    type Target = Embedded;

    fn deref(&self) -> &Embedded {
        self.0.as_ref().expect("the agent runs")
    }
}

/// Debian's static busybox with a few users.
pub fn busybox() -> ImageBuilder {
    let program = fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut layer = Layer::default().directory("bin", 0o755).unwrap().file("bin/busybox", 0o755, &program).unwrap();
    for name in [
        "sh", "cat", "echo", "sleep", "ls", "id", "grep", "mount", "touch", "ps", "nc", "hostname", "stty", "kill",
        "env", "mknod", "dd", "tail", "chroot", "mkdir", "stat", "printf", "seq", "head", "wc", "readlink", "httpd",
    ] {
        layer = layer.symlink(&format!("bin/{name}"), "busybox").unwrap();
    }
    layer =
        layer.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/home/web:/bin/sh\n").unwrap();
    layer = layer.file("etc/group", 0o644, b"root:x:0:\nadm:x:4:web\n").unwrap();
    layer = layer.directory("tmp", 0o1777).unwrap();
    ImageBuilder::default().layer(layer).unwrap().env("PATH", "/bin").command(&["sh"])
}

impl Node {
    pub async fn new() -> Node {
        let directory = tempfile::Builder::new().prefix("keelson-node").tempdir().unwrap();
        let runtime = Agent(Some(start(directory.path()).await));
        let node = Node { directory, runtime };
        node.import(&[(&[IMAGE], &busybox())]).await;
        node
    }

    pub async fn import(&self, images: &[(&[&str], &ImageBuilder)]) -> Vec<containers::Image> {
        let path = self.directory.path().join("images.tar");
        archive::write_docker(images, fs::File::create(&path).unwrap()).unwrap();
        self.runtime.import_images(&path, mpsc::channel(1).0).await.unwrap()
    }

    pub fn stop_agent(&mut self) {
        self.runtime = Agent(None);
    }

    pub async fn start_agent(&mut self) {
        self.runtime = Agent(Some(start(self.directory.path()).await));
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub fn run(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    pub async fn sandbox(&self) -> String {
        self.runtime.run_sandbox(&self.sandbox_config("pod")).await.unwrap()
    }

    pub fn sandbox_config(&self, name: &str) -> SandboxConfig {
        SandboxConfig {
            metadata: PodMetadata {
                namespace: "default".to_owned(),
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                attempt: 0,
            },
            hostname: name.to_owned(),
            resolv_conf: "nameserver 10.43.0.10\n".to_owned(),
            log_directory: self.directory.path().join("logs").join(name),
            cgroup_parent: format!("besteffort/{name}"),
            ..SandboxConfig::default()
        }
    }

    pub async fn run_in(&self, sandbox: &str, config: &ContainerConfig) -> String {
        let id = self.runtime.create_container(sandbox, config).await.unwrap();
        self.runtime.start_container(&id).await.unwrap();
        id
    }

    pub async fn run_script(&self, script: &str) -> String {
        let sandbox = self.sandbox().await;
        self.run_in(&sandbox, &shell(script)).await
    }

    pub async fn ended(&self, id: &str) -> ContainerStatus {
        let mut events = self.runtime.events();
        let wait = async {
            loop {
                match self.runtime.container_status(id).await {
                    Ok(status) if status.state == ContainerState::Exited => return status,
                    Ok(_) => {}
                    Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
                }
                // Whatever happened, look again; a slow look costs nothing.
                drop(tokio::time::timeout(Duration::from_millis(200), events.recv()).await);
            }
        };
        tokio::time::timeout(TIMEOUT, wait).await.expect("the container ends")
    }

    pub async fn log(&self, id: &str) -> String {
        let status = self.runtime.container_status(id).await.unwrap();
        fs::read_to_string(&status.log_path).unwrap()
    }

    /// The messages of a stream, without times.
    pub async fn lines(&self, id: &str) -> Vec<String> {
        self.log(id).await.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap_or("").to_owned()).collect()
    }

    pub async fn output_of(&self, script: &str) -> Vec<String> {
        let id = self.run_script(script).await;
        self.ended(&id).await;
        self.lines(&id).await
    }

    pub async fn exec(&self, id: &str, script: &str) -> containers::ExecOutput {
        self.runtime.exec_sync(id, &words(&["sh", "-c", script]), TIMEOUT).await.unwrap()
    }

    pub async fn until_log(&self, id: &str, text: &str) {
        let wait = async {
            while !self.log(id).await.contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, wait).await.expect("the log comes");
    }

    pub fn supervisor_pid(&self) -> i32 {
        let cgroup = self.cgroup();
        let directory = cgroup_roots()
            .into_iter()
            .map(|root| root.join(&cgroup).join("supervisor"))
            .find(|path| path.exists())
            .unwrap();
        // Its helpers begin in its group.
        let pids = fs::read_to_string(directory.join("cgroup.procs")).unwrap();
        pids.lines().map(|pid| pid.parse().unwrap()).min().expect("the supervisor runs")
    }

    pub fn kill_supervisor(&self) {
        let pid = nix::unistd::Pid::from_raw(self.supervisor_pid());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    pub fn cgroup(&self) -> String {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(self.root().as_os_str().as_encoded_bytes());
        format!("keelson-{}", digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// Mounts of the host below this node's directories, besides the one that keeps them private.
    pub fn mounts(&self) -> Vec<String> {
        let prefix = self.directory.path().to_string_lossy().into_owned();
        let run = self.run().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|at| at.starts_with(&prefix) && *at != run)
            .map(str::to_owned)
            .collect()
    }

    /// Groups below this node's, besides the supervisor's.
    pub fn groups(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for root in cgroup_roots() {
            collect_groups(&root.join(self.cgroup()), &mut all);
        }
        all.retain(|path| !path.ends_with("supervisor"));
        all
    }
}

fn collect_groups(directory: &Path, all: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        collect_groups(&path, all);
        all.push(path);
    }
}

pub fn cgroup_roots() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines = mounts.lines().filter(|line| line.contains(" - cgroup"));
    lines.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

impl Drop for Node {
    fn drop(&mut self) {
        let cgroup = self.cgroup();
        for root in cgroup_roots() {
            let mut groups = Vec::new();
            collect_groups(&root.join(&cgroup), &mut groups);
            groups.push(root.join(&cgroup));
            for group in groups.iter().rev().chain(&groups) {
                for pid in fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
                    nix::sys::signal::kill(
                        nix::unistd::Pid::from_raw(pid.parse().unwrap()),
                        nix::sys::signal::Signal::SIGKILL,
                    )
                    .ok();
                }
            }
            for group in &groups {
                for _ in 0..100 {
                    if fs::remove_dir(group).is_ok() || !group.exists() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        let prefix = self.directory.path().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        for at in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).filter(|at| at.starts_with(&prefix)) {
            nix::mount::umount2(at, nix::mount::MntFlags::MNT_DETACH).ok();
        }
    }
}

async fn start(directory: &Path) -> Embedded {
    let config = EmbeddedConfig {
        root: directory.join("root"),
        run: directory.join("run"),
        network: Arc::new(NoNetwork),
        supervisor_command: vec![env!("CARGO_BIN_EXE_containers-test-helper").into(), "supervisor".into()],
    };
    Embedded::start(config).await.unwrap()
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub fn shell(script: &str) -> ContainerConfig {
    ContainerConfig {
        name: "main".to_owned(),
        image: IMAGE.to_owned(),
        command: words(&["sh", "-c", script]),
        resources: Resources::default(),
        ..ContainerConfig::default()
    }
}

//! A server of its own for each test, started and ended as an administrator would.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Machine, Output, image, until};

pub const KEELSON: &str = env!("CARGO_BIN_EXE_keelson");

pub struct Cluster {
    pub machine: Machine,
    directory: TempDir,
    /// The server, and the agents of further nodes.
    nodes: Vec<Node>,
}

/// What was started on a machine, by its data directory.
pub struct Node {
    pub data: PathBuf,
    /// The machine's network namespace.
    pub network: String,
    pub process: Option<Child>,
}

impl Cluster {
    /// A cluster of one machine, with the sample image, whose node is Ready.
    pub fn start() -> Cluster {
        Cluster::start_on(Machine::new(), &[])
    }

    pub fn start_on(machine: Machine, flags: &[&str]) -> Cluster {
        let cluster = Cluster::start_with(machine, flags);
        cluster.import("n1");
        cluster
    }

    pub fn start_without_image() -> Cluster {
        Cluster::start_with(Machine::new(), &[])
    }

    /// The same on a certain machine, by flags.
    pub fn start_with(machine: Machine, flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::prepare(machine);
        cluster.start_server(flags);
        cluster
    }

    fn prepare(machine: Machine) -> Cluster {
        super::require_everything();
        let directory = tempfile::Builder::new().prefix("keelson-e2e-").tempdir().expect("there is a place for files");
        Cluster { machine, directory, nodes: Vec::new() }
    }

    /// Starts the server (again), and waits until its node is Ready.
    pub fn start_server(&mut self, flags: &[&str]) {
        let data = self.data_dir();
        let log = self.directory.path().join("server.log");
        let written = fs::metadata(&log).map_or(0, |of| of.len());
        let mut command = self.machine.command(KEELSON);
        command.args(["server", "--node-name", "n1", "--data-dir"]).arg(&data).args(flags);
        let mut child = spawn(&mut command, &log);
        until("the node is Ready", || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let ended = child.try_wait().expect("the server is a child");
            assert!(ended.is_none(), "the server ended: {ended:?}\n{text}");
            text.get(usize::try_from(written).unwrap_or(0)..).is_some_and(|new| new.contains("is Ready")).then_some(())
        });
        // Without an address of its own, the machine is reached once the node's network is up.
        until("the API answers", || (self.try_kubectl("get --raw /readyz").code == 0).then_some(()));
        let network = self.machine.path();
        self.keep(Node { data, network, process: Some(child) });
    }

    fn keep(&mut self, node: Node) {
        self.nodes.retain(|known| known.data != node.data);
        self.nodes.push(node);
    }

    /// Kills the server. Containers run on.
    pub fn kill_server(&mut self) {
        self.kill(&self.data_dir());
    }

    /// Kills the server or agent of a data directory.
    pub fn kill(&mut self, data: &Path) {
        let node = self.nodes.iter_mut().find(|node| node.data == data).expect("it was started");
        let mut process = node.process.take().expect("it runs");
        process.kill().and_then(|()| process.wait()).expect("it is a child");
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory of the test's own.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// What the server and the agents of further nodes said.
    fn logs(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.directory.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
    }

    /// Brings the sample image to a node.
    pub fn import(&self, node: &str) {
        let archive = image::archive();
        self.keelson(&["image", "import", archive.to_str().expect("a plain path"), "--node", node]).succeeds();
    }

    /// Runs the program's other commands on the server's machine.
    pub fn keelson(&self, words: &[&str]) -> Output {
        let mut command = self.program();
        Output::of(command.args(words).arg("--data-dir").arg(self.data_dir()).env_remove("KUBECONFIG"))
    }

    /// The program on the server's machine, without arguments.
    pub fn program(&self) -> Command {
        self.machine.command(KEELSON)
    }

    /// Kubernetes' client for Rust, with the administrator's rights. To be used on the server's machine.
    pub async fn client(&self) -> kube::Client {
        let kubeconfig =
            kube::config::Kubeconfig::read_from(self.data_dir().join("kubeconfig")).expect("the server wrote it");
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await;
        kube::Client::try_from(config.expect("it is well formed")).expect("it names a server")
    }

    pub fn kubectl_command(&self) -> Command {
        self.kubectl_command_of(Path::new("kubectl"))
    }

    /// The same with a certain kubectl.
    pub fn kubectl_command_of(&self, kubectl: &Path) -> Command {
        let mut command = self.machine.command(kubectl.to_str().expect("a plain path"));
        command.arg("--kubeconfig").arg(self.data_dir().join("kubeconfig"));
        command.arg("--cache-dir").arg(self.directory.path().join("kubectl"));
        command
    }

    /// kubectl with arguments that hold blanks.
    pub fn kubectl_with(&self, words: &[&str]) -> Output {
        Output::of(self.kubectl_command().args(words))
    }

    pub fn try_kubectl(&self, line: &str) -> Output {
        Output::of(self.kubectl_command().args(line.split_whitespace()))
    }

    /// Runs a line of kubectl that must succeed; answers what it printed.
    #[track_caller]
    pub fn kubectl(&self, line: &str) -> String {
        self.try_kubectl(line).succeeds()
    }

    /// A token of the account that a controller makes in each namespace.
    #[track_caller]
    pub fn token(&self) -> String {
        token_by(|line| self.try_kubectl(line))
    }

    #[track_caller]
    pub fn apply(&self, manifest: &str) -> String {
        // A brace at the very beginning would be taken for JSON.
        self.kubectl_stdin("apply -f -", &format!("---\n{manifest}")).succeeds()
    }

    pub fn kubectl_stdin(&self, line: &str, input: &str) -> Output {
        let file = self.directory.path().join("input");
        File::create(&file).and_then(|mut file| file.write_all(input.as_bytes())).expect("a small file is written");
        let input = File::open(file).expect("it was written");
        Output::of(self.kubectl_command().args(line.split_whitespace()).stdin(input))
    }

    /// Runs a script in a container, as `pod/web` or `deployment/web -c name`.
    pub fn sh(&self, target: &str, script: &str) -> Output {
        let words = ["exec"].into_iter().chain(target.split_whitespace()).chain(["--", "sh", "-c", script]);
        Output::of(self.kubectl_command().args(words))
    }

    /// A field of an object by JSONPath, without the braces: `.status.phase`.
    pub fn field(&self, object: &str, path: &str) -> String {
        let words: Vec<&str> = object.split_whitespace().collect();
        let path = format!("jsonpath={{{path}}}");
        Output::of(self.kubectl_command().arg("get").args(words).args(["-o", &path])).stdout
    }

    /// Waits until a field has a value.
    #[track_caller]
    pub fn until_field(&self, object: &str, path: &str, wanted: &str) {
        let mut last = String::new();
        until_or(
            &mut last,
            |last| {
                *last = self.field(object, path);
                last == wanted
            },
            |last| {
                format!(
                    "{object} has {path} {last:?}, not {wanted:?}\n{}",
                    self.try_kubectl(&format!("describe {object}")).stdout
                )
            },
        );
    }

    /// Waits for an event of this reason about an object, as `pod/web`, and answers its message.
    #[track_caller]
    pub fn until_event(&self, name: &str, reason: &str) -> String {
        let selector = format!("involvedObject.name={name},reason={reason}");
        until(&format!("an event {reason} about {name}"), || {
            let messages =
                self.kubectl(&format!("get events --field-selector {selector} -o jsonpath={{.items[*].message}}"));
            (!messages.is_empty()).then_some(messages)
        })
    }

    /// Starts a further node on a machine that reaches the server.
    pub fn join(&mut self, machine: &Machine, name: &str, flags: &[&str]) -> PathBuf {
        let token = self.keelson(&["token", "create"]).succeeds();
        let data = self.directory.path().join(name);
        let mut command = machine.command(KEELSON);
        command.args(["agent", "--node-name", name, "--token", token.trim(), "--data-dir"]).arg(&data).args(flags);
        let child = spawn(&mut command, &self.directory.path().join(format!("{name}.log")));
        self.keep(Node { data: data.clone(), network: machine.path(), process: Some(child) });
        data
    }
}

/// The account may not be there yet when the server is ready.
#[track_caller]
pub(super) fn token_by(kubectl: impl Fn(&str) -> Output) -> String {
    until("the default account has a token", || {
        let made = kubectl("create token default");
        (made.code == 0).then(|| made.stdout.trim().to_owned())
    })
}

#[track_caller]
fn until_or(state: &mut String, mut look: impl FnMut(&mut String) -> bool, explain: impl Fn(&str) -> String) {
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the field", || look(state).then_some(()));
    }));
    assert!(found.is_ok(), "{}", explain(state));
}

pub fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log is made");
    let errors = log.try_clone().expect("a log is shared");
    command.stdin(Stdio::null()).stdout(log).stderr(errors).env("KEELSON_LOG", "info,hickory_server=warn");
    command.spawn().expect("keelson was built")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for what in ["get pods -A -o wide", "get events -A"] {
                let shown = self.try_kubectl(what);
                eprintln!("--- {what}\n{}{}", shown.stdout, shown.stderr);
            }
            for log in self.logs() {
                eprintln!("--- {}\n{}", log.display(), fs::read_to_string(&log).unwrap_or_default());
            }
        }
        for node in self.nodes.iter_mut().rev() {
            node.remove();
        }
    }
}

impl Node {
    pub fn remove(&mut self) {
        if let Some(mut process) = self.process.take()
            && let Err(error) = process.kill().and_then(|()| process.wait())
        {
            eprintln!("a process stays: {error}");
        }
        let mut reset = Command::new("nsenter");
        reset.arg(format!("--net={}", self.network)).args(["--", KEELSON, "reset", "--data-dir"]).arg(&self.data);
        let reset = Output::of(&mut reset);
        if reset.code != 0 {
            eprintln!("{} stays: {}", self.data.display(), reset.stderr);
        }
    }
}

//! Servers without nodes that share an etcd, all on the loopback of this machine or in a network namespace.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use auth::pki::{Authority, LeafSpec};
use store::testing::{MemberTls, Members, Place, own_loopback};
use tempfile::TempDir;

use super::cluster::{KEELSON, Node, spawn, token_by};
use super::machine::program_in;
use super::{Lan, Machine, Output, until};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub struct Servers {
    pub members: Members,
    directory: TempDir,
    /// Who vouches for members and for their clients.
    authority: Authority,
    running: Vec<Running>,
    /// Machines that joined.
    agents: Vec<Node>,
    /// Where servers are that are not on the loopback.
    machine: Option<Machine>,
}

struct Running {
    name: String,
    url: String,
    /// Of its machine, if it is on one.
    network: Option<String>,
    process: Child,
}

impl Servers {
    /// An etcd of three members that is spoken to by TLS, and no server yet.
    pub fn prepare() -> Servers {
        Servers::prepare_with(&[])
    }

    /// The same with members that are started with these flags.
    pub fn prepare_with(flags: &[&str]) -> Servers {
        Servers::prepare_at(vec![Place::loopback(None); 3], flags, None)
    }

    /// The same with members that show a certificate whose time is over.
    pub fn prepare_expired() -> Servers {
        Servers::prepare_lasting(Duration::ZERO, vec![Place::loopback(None); 3], &[], None)
    }

    /// Servers and an etcd of one member on a machine that others reach.
    pub fn prepare_on(machine: Machine) -> Servers {
        Servers::prepare_at(vec![Place::loopback(Some(machine.path()))], &[], Some(machine))
    }

    /// A member on each of the first machines, three of them.
    pub fn prepare_apart(lan: &Lan) -> Servers {
        let place = |index| Place { network: Some(lan.machine(index).path()), address: Lan::address(index) };
        Servers::prepare_at((0..3).map(place).collect(), &[], None)
    }

    fn prepare_at(places: Vec<Place>, flags: &[&str], machine: Option<Machine>) -> Servers {
        Servers::prepare_lasting(DAY, places, flags, machine)
    }

    fn prepare_lasting(lasts: Duration, places: Vec<Place>, flags: &[&str], machine: Option<Machine>) -> Servers {
        let directory = tempfile::Builder::new().prefix("keelson-e2e-").tempdir().expect("there is a place for files");
        let authority = Authority::create("etcd-ca").expect("an authority is made");
        let addresses: Vec<IpAddr> =
            places.iter().map(|place| place.address.parse().expect("places have addresses")).collect();
        let tls = certificates(directory.path(), &authority, addresses, lasts);
        let members = Members::start_at(places, directory.path(), Some(tls), flags);
        Servers { members, directory, authority, running: Vec::new(), agents: Vec::new(), machine }
    }

    /// Leaves a certificate for clients of the etcd in `NAME.crt` and `NAME.key`, valid for so long.
    pub fn issue(&self, name: &str, user: &str, lasts: Duration) {
        let issued = self.authority.issue_for(&LeafSpec::client(user, &[]), lasts).expect("issued");
        write_pair(self.directory.path(), name, &issued);
    }

    /// A program where the servers are.
    fn program(&self, program: &str) -> Command {
        program_in(self.machine.as_ref().map(Machine::path).as_deref(), program)
    }

    /// A file or directory of the test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How the program is told of the etcd.
    pub fn datastore(&self) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.path(name).display());
        vec![
            format!("--datastore={}", self.members.urls().join(",")),
            file("datastore-cafile", "etcd-ca.crt"),
            file("datastore-certfile", "client.crt"),
            file("datastore-keyfile", "client.key"),
        ]
    }

    /// The program, which says of itself that it is elsewhere: pods could not reach a loopback.
    fn command(&self, network: Option<&str>, name: &str, address: &SocketAddr, flags: &[&str]) -> Command {
        let mut command = program_in(network, KEELSON);
        let reached = if network.is_some() { address.ip().to_string() } else { "192.0.2.1".to_owned() };
        command.args(["server", "--no-agent", "--node-ip", &reached, "--node-name", name]);
        command.args(["--bind", &address.to_string(), "--data-dir"]).arg(self.path(name)).args(flags);
        command
    }

    /// Starts a server and waits until it is ready.
    pub fn start(&mut self, name: &str, flags: &[&str]) {
        let shared = self.datastore();
        let flags: Vec<&str> = shared.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        self.start_with(name, &flags);
    }

    /// The same with flags that say all about the datastore.
    pub fn start_with(&mut self, name: &str, flags: &[&str]) {
        let network = self.machine.as_ref().map(Machine::path);
        self.start_at(network, name, free_address(), flags);
    }

    /// Starts a server that uses the etcd at an address of its machine.
    pub fn start_on_machine(&mut self, name: &str, address: &str, flags: &[&str]) {
        let network = self.machine.as_ref().map(Machine::path).expect("there is a machine");
        self.start_in(network, name, address, flags);
    }

    /// The same on one of several machines.
    pub fn start_on(&mut self, machine: &Machine, name: &str, address: &str, flags: &[&str]) {
        self.start_in(machine.path(), name, address, flags);
    }

    fn start_in(&mut self, network: String, name: &str, address: &str, flags: &[&str]) {
        let shared = self.datastore();
        let flags: Vec<&str> = shared.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        self.start_at(Some(network), name, address.parse().expect("an address"), &flags);
    }

    /// Joins a machine by these URLs of servers, or starts its agent again.
    pub fn join(&mut self, machine: &Machine, name: &str, servers: &str, flags: &[&str]) {
        let (data, log) = (self.path(name), self.path(&format!("{name}.log")));
        let mut command = machine.command(KEELSON);
        command.args(["agent", "--node-name", name, "--server", servers, "--data-dir"]).arg(&data).args(flags);
        let process = Some(spawn(&mut command, &log));
        self.agents.retain(|agent| agent.data != data);
        self.agents.push(Node { data, network: machine.path(), process });
    }

    pub fn kill_agent(&mut self, name: &str) {
        let data = self.path(name);
        let agent = self.agents.iter_mut().find(|agent| agent.data == data).expect("it joined");
        let mut process = agent.process.take().expect("it runs");
        process.kill().and_then(|()| process.wait()).expect("it is a child");
    }

    fn start_at(&mut self, network: Option<String>, name: &str, address: SocketAddr, flags: &[&str]) {
        let log = self.path(&format!("{name}.log"));
        let process = spawn(&mut self.command(network.as_deref(), name, &address, flags), &log);
        self.running.push(Running { name: name.to_owned(), url: format!("https://{address}"), network, process });
        until("the server is ready", || {
            let process = &mut self.running.last_mut().expect("it was added").process;
            let ended = process.try_wait().expect("the server is a child");
            assert!(ended.is_none(), "{name} ended: {ended:?}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            (self.path(name).join("kubeconfig").exists() && self.try_kubectl(name, "get --raw /readyz").code == 0)
                .then_some(())
        });
    }

    /// Why a server with these flags does not start.
    #[track_caller]
    pub fn refused(&self, name: &str, flags: &[&str]) -> String {
        Output::of(self.command(None, name, &free_address(), flags).args(self.datastore())).fails()
    }

    pub fn kill(&mut self, name: &str) {
        let mut process = self.take(name);
        process.kill().and_then(|()| process.wait()).expect("it is a child");
    }

    /// Ends a server as an administrator does.
    pub fn stop(&mut self, name: &str) {
        let mut process = self.take(name);
        Output::of(Command::new("kill").arg(process.id().to_string())).succeeds();
        process.wait().expect("it is a child");
    }

    /// The server keeps its connections and says nothing, as one whose process hangs.
    pub fn pause(&self, name: &str) {
        self.signal(name, "-STOP");
    }

    pub fn resume(&self, name: &str) {
        self.signal(name, "-CONT");
    }

    fn signal(&self, name: &str, signal: &str) {
        let id = self.find(name).process.id().to_string();
        Output::of(Command::new("kill").args([signal, &id])).succeeds();
    }

    /// What a server has said so far.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).expect("it has a log")
    }

    /// Waits until a server has ended by itself, and answers what it said.
    pub fn ended(&mut self, name: &str) -> String {
        let mut process = self.take(name);
        let status = until("the server ends", || process.try_wait().expect("it is a child"));
        assert!(!status.success(), "{status}");
        self.log(name)
    }

    /// Copies what the members hold, none of which runs meanwhile.
    pub fn back_up_etcd(&mut self) {
        until("all members are up", || (self.etcdctl("client", &["endpoint", "health"]).code == 0).then_some(()));
        (0..3).for_each(|member| self.members.kill(member));
        let directories: Vec<PathBuf> = (0..3).map(|member| self.path(&format!("m{member}"))).collect();
        let backup = self.path("backup");
        std::fs::create_dir(&backup).expect("a directory is made");
        Output::of(Command::new("cp").arg("-a").args(directories).arg(backup)).succeeds();
        (0..3).for_each(|member| self.members.run(member));
    }

    /// Sets the members back to that.
    pub fn restore_etcd(&mut self) {
        for member in 0..3 {
            self.members.kill(member);
            let directory = self.path(&format!("m{member}"));
            std::fs::remove_dir_all(&directory).expect("it was there");
            Output::of(Command::new("cp").arg("-a").arg(self.path("backup").join(format!("m{member}"))).arg(directory))
                .succeeds();
        }
        (0..3).for_each(|member| self.members.run(member));
    }

    fn take(&mut self, name: &str) -> Child {
        let at = self.running.iter().position(|running| running.name == name).expect("it runs");
        self.running.remove(at).process
    }

    fn find(&self, name: &str) -> &Running {
        self.running.iter().find(|running| running.name == name).expect("it runs")
    }

    pub fn url(&self, name: &str) -> &str {
        &self.find(name).url
    }

    /// The code of a server's answer to the administrator, who unlike other clients does not try again.
    pub fn status(&self, server: &str, path: &str, more: &[&str]) -> String {
        let file = |name: &str| self.path(server).join("pki").join(name).display().to_string();
        let mut curl = program_in(self.find(server).network.as_deref(), "curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "60"]);
        curl.args(["--cacert", &file("ca.crt"), "--cert", &file("admin.crt"), "--key", &file("admin.key")]).args(more);
        Output::of(curl.arg(format!("{}{path}", self.url(server)))).succeeds()
    }

    /// What etcdctl says to who shows the certificate of that name.
    pub fn etcdctl(&self, certificate: &str, words: &[&str]) -> Output {
        let file = |name: &str| self.path(name).display().to_string();
        let mut command = self.program("etcdctl");
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", self.members.urls().join(",")));
        command.arg(format!("--cacert={}", file("etcd-ca.crt")));
        command.arg(format!("--cert={}", file(&format!("{certificate}.crt"))));
        command.arg(format!("--key={}", file(&format!("{certificate}.key")))).args(words);
        Output::of(&mut command)
    }

    /// Another command of the program.
    pub fn keelson(&self, words: &[&str]) -> Output {
        Output::of(self.program(KEELSON).args(words).env_remove("KUBECONFIG"))
    }

    pub fn kubectl_command(&self, server: &str) -> Command {
        let mut command = program_in(self.find(server).network.as_deref(), "kubectl");
        command.arg("--kubeconfig").arg(self.path(server).join("kubeconfig"));
        command.args(["--server", self.url(server)]).arg("--cache-dir").arg(self.path("kubectl"));
        command
    }

    pub fn try_kubectl(&self, server: &str, line: &str) -> Output {
        Output::of(self.kubectl_command(server).args(line.split_whitespace()))
    }

    #[track_caller]
    pub fn kubectl(&self, server: &str, line: &str) -> String {
        self.try_kubectl(server, line).succeeds()
    }

    /// A token of the account that a controller makes in each namespace.
    #[track_caller]
    pub fn token(&self, server: &str) -> String {
        token_by(|line| self.try_kubectl(server, line))
    }

    pub async fn client(&self, server: &str) -> kube::Client {
        let file = self.path(server).join("kubeconfig");
        let kubeconfig = kube::config::Kubeconfig::read_from(file).expect("the server wrote it");
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.expect("it is well formed");
        config.cluster_url = self.url(server).parse().expect("it is a URL");
        kube::Client::try_from(config).expect("it names a server")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.agents.iter_mut().for_each(Node::remove);
        for Running { name, process, .. } in &mut self.running {
            if let Err(error) = process.kill().and_then(|()| process.wait()) {
                eprintln!("{name} stays: {error}");
            }
        }
        if std::thread::panicking() {
            let files = std::fs::read_dir(self.directory.path()).into_iter().flatten().flatten();
            let logs = files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|of| of == "log"));
            let of_servers = logs.filter(|path| {
                self.path(&path.file_stem().unwrap_or_default().to_string_lossy()).join("kubeconfig").exists()
            });
            for file in of_servers {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("--- {}\n{}", file.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((own_loopback(), 0)).and_then(|port| port.local_addr()).expect("a port is free")
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a file is written");
    path
}

fn write_pair(directory: &Path, name: &str, (certificate, key): &(String, String)) -> (PathBuf, PathBuf) {
    (write(directory, &format!("{name}.crt"), certificate), write(directory, &format!("{name}.key"), key))
}

/// What members show, and what servers show to them.
fn certificates(directory: &Path, authority: &Authority, addresses: Vec<IpAddr>, lasts: Duration) -> MemberTls {
    let member = LeafSpec::server("etcd", vec!["localhost".to_owned()], addresses);
    let member = authority.issue_for(&member, lasts).expect("issued");
    let client = authority.issue(&LeafSpec::client("keelson", &[])).expect("issued");
    write_pair(directory, "client", &client);
    let (certificate, key) = write_pair(directory, "member", &member);
    let authority = authority.certificate_pem().expect("it is one");
    MemberTls { authority: write(directory, "etcd-ca.crt", &authority), certificate, key }
}

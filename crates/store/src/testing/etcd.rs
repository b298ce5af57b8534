//! Clusters of etcd for tests: members of their own, in directories and on ports of their own, gone with the test.
//!
//! Needs the programs `etcd` (Debian: etcd-server) and `setpriv` (util-linux). Failures panic.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Of each member's log, for who looks why a test failed.
const LAST_LINES: usize = 20;

/// Files with which members are served by TLS to clients that show a certificate.
#[derive(Clone, Debug)]
pub struct MemberTls {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where a member runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file that stands for its network namespace, if that is not the test's own; needs `nsenter` (util-linux).
    pub network: Option<String>,
    /// Its address there.
    pub address: String,
}

impl Place {
    /// The loopback of a network.
    pub fn loopback(network: Option<String>) -> Self {
        let address = if network.is_some() { Ipv4Addr::LOCALHOST } else { own_loopback() };
        Self { network, address: address.to_string() }
    }
}

/// An address of the loopback for this process alone: nobody else takes a port there that was free a moment ago.
pub fn own_loopback() -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 64, 0, 0).to_bits() | (std::process::id() & 0x3f_ffff))
}

/// Different ones of [`own_loopback`]; nothing listens there any more.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind((own_loopback(), 0)).unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Members of one cluster. Dropping it kills them.
pub struct Members {
    dir: PathBuf,
    tls: Option<MemberTls>,
    extra: Vec<String>,
    members: Vec<Member>,
}

struct Member {
    place: Place,
    client: u16,
    peer: u16,
    process: Option<Child>,
}

impl Members {
    /// Starts `count` members on the loopback with the flags `extra`; they answer after a second or two.
    pub fn start(dir: &Path, count: usize, tls: Option<MemberTls>, extra: &[&str]) -> Self {
        Self::start_at(vec![Place::loopback(None); count], dir, tls, extra)
    }

    /// Starts a member in each place.
    pub fn start_at(places: Vec<Place>, dir: &Path, tls: Option<MemberTls>, extra: &[&str]) -> Self {
        let count = places.len();
        let ports = free_ports(2 * count);
        let member = |(place, pair): (Place, &[u16])| Member { place, client: pair[0], peer: pair[1], process: None };
        let members = places.into_iter().zip(ports.chunks(2)).map(member).collect();
        let extra = extra.iter().map(|flag| (*flag).to_owned()).collect();
        let mut cluster = Self { dir: dir.to_owned(), tls, extra, members };
        (0..count).for_each(|member| cluster.run(member));
        cluster
    }

    /// Where clients reach the members.
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(|member| self.url(member)).collect()
    }

    fn url(&self, member: &Member) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{}", member.place.address, member.client)
    }

    fn peer_url(member: &Member) -> String {
        format!("http://{}:{}", member.place.address, member.peer)
    }

    /// Starts a member that was killed, with what it had.
    pub fn run(&mut self, member: usize) {
        let log = File::create(self.log(member)).unwrap();
        // A test that is killed takes its members along.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(network) = &self.members[member].place.network {
            command.args(["nsenter", &format!("--net={network}")]);
        }
        command.arg("etcd").args(self.flags(member)).args(&self.extra);
        let process = command.stdout(Stdio::null()).stderr(log).spawn();
        self.members[member].process = Some(process.expect("setpriv and etcd are installed"));
    }

    fn flags(&self, member: usize) -> Vec<String> {
        let (url, peer) = (self.url(&self.members[member]), Self::peer_url(&self.members[member]));
        let peers = self.members.iter().enumerate();
        let peers: Vec<String> = peers.map(|(index, member)| format!("m{index}={}", Self::peer_url(member))).collect();
        let mut flags = vec![
            format!("--name=m{member}"),
            format!("--data-dir={}", self.dir.join(format!("m{member}")).display()),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={}", peers.join(",")),
        ];
        if let Some(MemberTls { authority, certificate, key }) = &self.tls {
            flags.push("--client-cert-auth".to_owned());
            flags.push(format!("--trusted-ca-file={}", authority.display()));
            flags.push(format!("--cert-file={}", certificate.display()));
            flags.push(format!("--key-file={}", key.display()));
        }
        flags
    }

    fn log(&self, member: usize) -> PathBuf {
        self.dir.join(format!("m{member}.log"))
    }

    fn last_said(&self, member: usize) -> String {
        let log = std::fs::read_to_string(self.log(member)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    pub fn kill(&mut self, member: usize) {
        if let Some(mut process) = self.members[member].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// The member keeps its connections and says nothing, as one that is cut off by the network.
    pub fn pause(&self, member: usize) {
        self.signal(member, "-STOP");
    }

    pub fn resume(&self, member: usize) {
        self.signal(member, "-CONT");
    }

    fn signal(&self, member: usize, signal: &str) {
        let process = self.members[member].process.as_ref().expect("the member runs");
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|member| self.kill(member));
        if std::thread::panicking() {
            (0..self.members.len()).for_each(|member| eprintln!("--- m{member}\n{}", self.last_said(member)));
        }
    }
}

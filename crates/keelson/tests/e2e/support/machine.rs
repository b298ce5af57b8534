//! A machine of its own to the network: a network namespace, with links to others where a test wants several.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use super::Output;

static COUNT: AtomicU32 = AtomicU32::new(0);

pub struct Machine {
    name: String,
}

impl Machine {
    /// One with nothing but its loopback.
    pub fn new() -> Machine {
        let name = format!("keelson-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let machine = Machine { name };
        Output::of(machine.command("ip").args(["link", "set", "lo", "up"])).succeeds();
        machine
    }

    /// Connects two machines by a cable, and gives each its address, as `10.99.0.1`.
    pub fn connect(&self, own: &str, other: &Machine, others: &str) {
        let end = |machine: &Machine| format!("e{}", machine.name.trim_start_matches("keelson-").replace('-', "x"));
        let (here, there) = (end(self), end(other));
        ip(&["link", "add", &here, "netns", &self.name, "type", "veth", "peer", "name", &there, "netns", &other.name]);
        for (machine, link, address) in [(self, &here, own), (other, &there, others)] {
            let inside = |words: &[&str]| Output::of(machine.command("ip").args(words)).succeeds();
            inside(&["address", "add", &format!("{address}/24"), "dev", link]);
            inside(&["link", "set", link, "up"]);
        }
    }

    /// A program to be run on this machine.
    pub fn command(&self, program: &str) -> Command {
        program_in(Some(&self.path()), program)
    }

    /// Runs a part of the test itself on this machine's network.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = self.path();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                enter(&path);
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Asks a server by HTTP, and answers its body.
    pub fn try_http(&self, url: &str) -> Output {
        Output::of(self.command("curl").args(["--silent", "--show-error", "--fail-with-body", "--max-time", "5", url]))
    }

    #[track_caller]
    pub fn http(&self, url: &str) -> String {
        self.try_http(url).succeeds()
    }

    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }
}

/// Machines on one switch, each with a cable that can be pulled.
pub struct Lan {
    switch: Machine,
    machines: Vec<Machine>,
}

impl Lan {
    pub fn new(count: usize) -> Lan {
        let switch = Machine::new();
        let inside = |words: &[&str]| Output::of(switch.command("ip").args(words)).succeeds();
        inside(&["link", "add", "bridge", "type", "bridge"]);
        inside(&["link", "set", "bridge", "up"]);
        let machines: Vec<Machine> = (0..count).map(|_| Machine::new()).collect();
        for (index, machine) in machines.iter().enumerate() {
            let port = port(index);
            ip(&["link", "add", &port, "netns", &switch.name, "type", "veth", "peer", "lan", "netns", &machine.name]);
            inside(&["link", "set", &port, "master", "bridge", "up"]);
            let address = format!("{}/24", Lan::address(index));
            Output::of(machine.command("ip").args(["address", "add", &address, "dev", "lan"])).succeeds();
            Output::of(machine.command("ip").args(["link", "set", "lan", "up"])).succeeds();
        }
        Lan { switch, machines }
    }

    pub fn machine(&self, index: usize) -> &Machine {
        &self.machines[index]
    }

    pub fn address(index: usize) -> String {
        format!("10.98.0.{}", index + 1)
    }

    /// Pulls the cable of a machine: nothing reaches it or comes from it, and no connection is told.
    pub fn cut(&self, index: usize) {
        self.set_link(index, "down");
    }

    /// Puts it back.
    pub fn mend(&self, index: usize) {
        self.set_link(index, "up");
    }

    fn set_link(&self, index: usize, state: &str) {
        Output::of(self.switch.command("ip").args(["link", "set", &port(index), state])).succeeds();
    }

    /// Two machines do not reach each other any more, while others reach both.
    pub fn part(&self, one: usize, other: usize) {
        self.route(one, other, "add");
    }

    /// They do again.
    pub fn join(&self, one: usize, other: usize) {
        self.route(one, other, "delete");
    }

    fn route(&self, one: usize, other: usize, verb: &str) {
        for (from, to) in [(one, other), (other, one)] {
            let mut command = self.machines[from].command("ip");
            Output::of(command.args(["route", verb, "blackhole", &format!("{}/32", Lan::address(to))])).succeeds();
        }
    }
}

fn port(index: usize) -> String {
    format!("port{index}")
}

/// A program to be run in a network namespace, or where the test is.
pub fn program_in(network: Option<&str>, program: &str) -> Command {
    let Some(network) = network else { return Command::new(program) };
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={network}")).arg("--").arg(program);
    command
}

/// Moves the calling thread to a network namespace. What the thread starts is there too.
pub fn enter(path: &str) {
    let namespace = std::fs::File::open(path).expect("the machine is there");
    setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter");
}

impl Drop for Machine {
    fn drop(&mut self) {
        let gone = Output::of(Command::new("ip").args(["netns", "delete", &self.name]));
        if gone.code != 0 {
            eprintln!("machine {} stays: {}", self.name, gone.stderr);
        }
    }
}

fn ip(words: &[&str]) {
    Output::of(Command::new("ip").args(words)).succeeds();
}

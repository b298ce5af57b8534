//! A machine of its own to the network: a network namespace, with a link to others where a test wants several.

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
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--").arg(program);
        command
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

//! Steady requests while something else goes on.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Machine;
use super::machine::enter;

const CLIENTS: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two requests of a client, so that the machine has time for the rest.
const PAUSE: Duration = Duration::from_millis(5);

pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

/// How often each answer came, and what went wrong.
#[derive(Debug, Default)]
pub struct Tally {
    pub answers: BTreeMap<String, usize>,
    pub failures: Vec<String>,
}

impl Load {
    /// Clients that ask for `/` over and over, each time by a new connection.
    pub fn start(machine: &Machine, address: SocketAddr) -> Load {
        Load::start_at(machine, address, "/")
    }

    pub fn start_at(machine: &Machine, address: SocketAddr, page: &'static str) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (stop, path) = (stop.clone(), machine.path());
            std::thread::spawn(move || {
                enter(&path);
                let mut tally = Tally::default();
                while !stop.load(Ordering::Relaxed) {
                    tally.add(ask(address, page));
                    std::thread::sleep(PAUSE);
                }
                tally
            })
        };
        Load { clients: (0..CLIENTS).map(client).collect(), stop }
    }

    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let tallies = self.clients.into_iter().map(|client| client.join().expect("a client does not panic"));
        tallies.fold(Tally::default(), Tally::merge)
    }
}

impl Tally {
    pub fn count(&self) -> usize {
        self.answers.values().sum()
    }

    /// How many answers hold a text.
    pub fn with(&self, text: &str) -> usize {
        self.answers.iter().filter(|(answer, _)| answer.contains(text)).map(|(_, count)| count).sum()
    }

    fn add(&mut self, answer: std::io::Result<String>) {
        match answer {
            Ok(answer) => *self.answers.entry(answer).or_default() += 1,
            Err(error) => self.failures.push(error.to_string()),
        }
    }

    fn merge(mut self, other: Tally) -> Tally {
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        self.failures.extend(other.failures);
        self
    }
}

fn ask(address: SocketAddr, page: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET {page} HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!("no answer: {answer:?}"))),
    }
}

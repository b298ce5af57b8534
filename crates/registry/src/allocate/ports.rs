//! Node ports: which are taken, and which a Service gets.
//!
//! What is taken is known from the Services themselves: from the cache at start, from each write after
//! that. There is no record of allocations that could disagree with them.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use machinery::field::{Error, Path};
use machinery::{ApiError, Object};
use parking_lot::Mutex;
use serde_json::json;

use super::claims::{may_have_node_ports, needs_health_check_port, needs_node_ports};

/// Random tries before the range is searched from its start.
const RANDOM_TRIES: usize = 16;

pub(super) struct NodePorts {
    range: RangeInclusive<u16>,
    /// Which Service holds a port, by its uid.
    taken: Mutex<HashMap<u16, Box<str>>>,
}

/// Why a Service gets no port: its own fault, or the server's.
pub(super) enum Refusal {
    Invalid(Error),
    Full,
}

impl From<Refusal> for Result<Error, ApiError> {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(error) => Ok(error),
            Refusal::Full => Err(ApiError::internal("failed to allocate a nodePort: range is full")),
        }
    }
}

/// One write's view of what is taken: it remembers what it took itself.
struct Taking<'a> {
    range: &'a RangeInclusive<u16>,
    taken: &'a mut HashMap<u16, Box<str>>,
    holder: &'a str,
    added: Vec<u16>,
}

impl NodePorts {
    pub fn new((first, last): (u16, u16)) -> Self {
        Self { range: first..=last, taken: Mutex::default() }
    }

    pub fn range(&self) -> RangeInclusive<u16> {
        self.range.clone()
    }

    /// Takes over what a stored Service holds; of two that hold the same, the first keeps it.
    pub fn adopt(&self, holder: &str, ports: &[u16]) {
        let mut taken = self.taken.lock();
        for port in ports {
            taken.entry(*port).or_insert_with(|| holder.into());
        }
    }

    pub fn free(&self, holder: &str, ports: &[u16]) {
        if !ports.is_empty() {
            self.taken.lock().retain(|port, by| &**by != holder || !ports.contains(port));
        }
    }

    /// Fills in the ports that the Service needs, and answers those that it did not hold before.
    pub fn take(&self, service: &mut Object) -> Result<Vec<u16>, Refusal> {
        let holder = service.uid().to_owned();
        let mut taken = self.taken.lock();
        let mut taking = Taking { range: &self.range, taken: &mut taken, holder: &holder, added: Vec::new() };
        match taking.take_all(service) {
            Ok(()) => Ok(taking.added),
            Err(refusal) => {
                taking.added.iter().for_each(|port| drop(taking.taken.remove(port)));
                Err(refusal)
            }
        }
    }
}

impl Taking<'_> {
    fn take_all(&mut self, service: &mut Object) -> Result<(), Refusal> {
        if may_have_node_ports(service) {
            self.take_listed(service)?;
        }
        if needs_health_check_port(service) {
            let asked = service.int(&["spec", "healthCheckNodePort"]).unwrap_or(0);
            let port = self.take(asked, &Path::new("spec").child("healthCheckNodePort"))?;
            service.set(&["spec", "healthCheckNodePort"], port);
        }
        Ok(())
    }

    /// Two protocols on the same port share a node port.
    fn take_listed(&mut self, service: &mut Object) -> Result<(), Refusal> {
        let all = needs_node_ports(service);
        let mut chosen: Vec<(i64, u16)> = Vec::new();
        for index in 0..service.list(&["spec", "ports"]).len() {
            let port = &service.list(&["spec", "ports"])[index];
            let (number, asked) = (port["port"].as_i64().unwrap_or(0), port["nodePort"].as_i64().unwrap_or(0));
            if !all && asked == 0 {
                continue;
            }
            let shared = chosen.iter().find(|(of, _)| *of == number).map_or(0, |(_, port)| i64::from(*port));
            let path = Path::new("spec").child("ports").index(index).child("nodePort");
            let given = self.take(if asked == 0 { shared } else { asked }, &path)?;
            chosen.push((number, given));
            service.map_mut(&["spec"])["ports"][index]["nodePort"] = json!(given);
        }
        Ok(())
    }

    /// The port asked for, or any when that is zero.
    fn take(&mut self, asked: i64, path: &Path) -> Result<u16, Refusal> {
        if asked == 0 {
            let free = self.any_free().ok_or(Refusal::Full)?;
            self.insert(free);
            return Ok(free);
        }
        let refused = |message: String| Err(Refusal::Invalid(Error::invalid(path, asked, message)));
        let Some(port) = u16::try_from(asked).ok().filter(|port| self.range.contains(port)) else {
            let (first, last) = (self.range.start(), self.range.end());
            return refused(format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            ));
        };
        match self.taken.get(&port) {
            None => self.insert(port),
            Some(holder) if **holder == *self.holder => {}
            Some(_) => return refused("provided port is already allocated".to_owned()),
        }
        Ok(port)
    }

    fn insert(&mut self, port: u16) {
        self.taken.insert(port, self.holder.into());
        self.added.push(port);
    }

    fn any_free(&self) -> Option<u16> {
        let first = *self.range.start();
        let random = (0..RANDOM_TRIES).map(|_| first + clock::random_below(self.range.len()) as u16);
        random.chain(self.range.clone()).find(|port| !self.taken.contains_key(port))
    }
}

//! Node ports: which are taken, and which a Service gets.
//!
//! A port that is given out is claimed by a key of its own in the store, which names the Service. Who makes the
//! key has the port, so allocation is as exact as the store, whoever else allocates. Claims of Services that turn
//! out not to have the port are taken over when somebody wants it.

use std::ops::RangeInclusive;

use bytes::Bytes;
use jiff::Timestamp;
use machinery::field::{Error as FieldError, Path};
use machinery::{ApiError, Object};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Expect, KeyValue, Revision, Write, prefix_range};

use super::UNSETTLED;
use super::claims::{Claims, may_have_node_ports, needs_health_check_port, needs_node_ports};
use crate::cache::Resource;
use crate::errors::of_store;
use crate::registry::Registry;

/// Above all claims; a port's number follows.
const CLAIMS: &str = "/keelson/nodeports/";
/// Random tries before the range is searched from its start.
const RANDOM_TRIES: usize = 16;
/// Rounds against others who claim or free the same port at the same time.
const ATTEMPTS: usize = 8;

/// Who has a port, and since when.
#[derive(Serialize, Deserialize)]
struct Claim {
    uid: String,
    namespace: String,
    name: String,
    since: Timestamp,
}

/// Why a Service gets no port: its own fault, or the server's.
pub(super) enum Refusal {
    Invalid(FieldError),
    Api(ApiError),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<Refusal> for Result<FieldError, ApiError> {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(error) => Ok(error),
            Refusal::Api(error) => Err(error),
        }
    }
}

/// One write's view of the ports: it remembers what it took itself.
struct Taking<'a> {
    registry: &'a Registry,
    claim: Claim,
    /// What the Service has already.
    held: Vec<u16>,
    dry_run: bool,
    added: Vec<u16>,
}

impl Registry {
    /// Fills in the ports that the Service needs, and answers those that it did not hold before.
    pub(super) async fn take_ports(
        &self,
        service: &mut Object,
        old: Option<&Object>,
        dry_run: bool,
    ) -> Result<Vec<u16>, Refusal> {
        let held = old.map(|old| Claims::of(old).ports).unwrap_or_default();
        let mut taking = Taking { registry: self, claim: Claim::of(service), held, dry_run, added: Vec::new() };
        match taking.take_all(service).await {
            Ok(()) => Ok(taking.added),
            Err(refusal) => {
                self.free_ports(service.uid(), &taking.added).await;
                Err(refusal)
            }
        }
    }

    /// Those that someone else has by now stay. What can not be freed is taken over by who wants it.
    pub(super) async fn free_ports(&self, holder: &str, ports: &[u16]) {
        for port in ports {
            if let Err(error) = self.free_port(holder, *port).await {
                tracing::warn!(%error, port, "a node port stays claimed");
            }
        }
    }

    async fn free_port(&self, holder: &str, port: u16) -> store::Result<()> {
        let key = claim_key(port);
        let Some(claimed) = self.0.store.get(&key, None).await? else { return Ok(()) };
        if Claim::read(&claimed).is_none_or(|claim| claim.uid != holder) {
            return Ok(());
        }
        let expect = Expect::ModRevision(claimed.mod_revision);
        match self.0.store.write(Write { key: key.into(), value: None, expect }).await {
            Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Claims what stored Services hold without a claim; of two that hold the same, the first keeps it.
    pub(crate) async fn adopt_ports(&self, services: &Resource) -> store::Result<()> {
        let claimed = self.0.store.range(prefix_range(CLAIMS), 0, None).await?;
        let claimed: Vec<&str> = claimed.items.iter().map(|item| &*item.key).collect();
        let mut missing = Vec::new();
        let prefix = crate::keys::resource_prefix(services.kind());
        services.scan(&prefix, "", 0, |entry| {
            let service = entry.object();
            let ports = Claims::of(&service).ports;
            let unclaimed = ports.into_iter().map(claim_key).filter(|key| !claimed.contains(&key.as_str()));
            missing.extend(unclaimed.map(|key| (key, Claim::of(&service))));
            true
        });
        for (key, claim) in missing {
            let write = Write { key: key.into(), value: Some(claim.to_bytes()), expect: Expect::Absent };
            match self.0.store.write(write).await {
                Ok(_) | Err(store::Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether nobody will ever free the claim: its Service has not got the port, and had the time to get it.
    async fn is_abandoned(&self, claim: &Claim, port: u16) -> bool {
        if clock::since(claim.since) < UNSETTLED {
            return false;
        }
        let Some(kind) = self.kinds().find("", "v1", "services") else { return false };
        match self.get(kind, &claim.namespace, &claim.name, "").await {
            Ok(entry) => {
                let service = entry.object();
                service.uid() != claim.uid || !Claims::of(&service).ports.contains(&port)
            }
            Err(error) => error.reason == machinery::Reason::NotFound,
        }
    }
}

impl Claim {
    fn of(service: &Object) -> Self {
        Self {
            uid: service.uid().to_owned(),
            namespace: service.namespace().to_owned(),
            name: service.name().to_owned(),
            since: clock::now_seconds(),
        }
    }

    fn read(stored: &KeyValue) -> Option<Self> {
        serde_json::from_slice(&stored.value).ok()
    }

    fn to_bytes(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("texts and a time are JSON"))
    }
}

fn claim_key(port: u16) -> String {
    format!("{CLAIMS}{port}")
}

impl Taking<'_> {
    async fn take_all(&mut self, service: &mut Object) -> Result<(), Refusal> {
        if may_have_node_ports(service) {
            self.take_listed(service).await?;
        }
        if needs_health_check_port(service) {
            let asked = service.int(&["spec", "healthCheckNodePort"]).unwrap_or(0);
            let port = self.take(asked, &Path::new("spec").child("healthCheckNodePort")).await?;
            service.set(&["spec", "healthCheckNodePort"], port);
        }
        Ok(())
    }

    /// Two protocols on the same port share a node port.
    async fn take_listed(&mut self, service: &mut Object) -> Result<(), Refusal> {
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
            let given = self.take(if asked == 0 { shared } else { asked }, &path).await?;
            chosen.push((number, given));
            service.map_mut(&["spec"])["ports"][index]["nodePort"] = json!(given);
        }
        Ok(())
    }

    /// The port asked for, or any when that is zero.
    async fn take(&mut self, asked: i64, path: &Path) -> Result<u16, Refusal> {
        if asked == 0 {
            return self.take_any().await;
        }
        let range = self.registry.node_ports();
        let refused = |message: String| Refusal::Invalid(FieldError::invalid(path, asked, message));
        let Some(port) = u16::try_from(asked).ok().filter(|port| range.contains(port)) else {
            let (first, last) = (range.start(), range.end());
            return Err(refused(format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            )));
        };
        match self.claim(port).await? {
            true => Ok(port),
            false => Err(refused("provided port is already allocated".to_owned())),
        }
    }

    async fn take_any(&mut self) -> Result<u16, Refusal> {
        let range = self.registry.node_ports();
        for _ in 0..RANDOM_TRIES {
            let port = range.start() + clock::random_below(range.len()) as u16;
            if !self.has(port) && self.claim(port).await? {
                return Ok(port);
            }
        }
        for port in self.least_wanted(range).await? {
            if !self.has(port) && self.claim(port).await? {
                return Ok(port);
            }
        }
        Err(Refusal::Api(ApiError::internal("failed to allocate a nodePort: range is full")))
    }

    /// All ports, those first that nobody claims.
    async fn least_wanted(&self, range: RangeInclusive<u16>) -> Result<Vec<u16>, ApiError> {
        let claimed = self.registry.0.store.range(prefix_range(CLAIMS), 0, None).await.map_err(of_store)?;
        let claimed: Vec<&str> = claimed.items.iter().map(|item| &*item.key).collect();
        let (free, claimed): (Vec<u16>, Vec<u16>) =
            range.partition(|port| !claimed.contains(&claim_key(*port).as_str()));
        Ok([free, claimed].concat())
    }

    fn has(&self, port: u16) -> bool {
        self.added.contains(&port) || self.held.contains(&port)
    }

    /// Whether the Service has the port now. A dry run only looks.
    async fn claim(&mut self, port: u16) -> Result<bool, ApiError> {
        if self.has(port) {
            return Ok(true);
        }
        let mut expect = Expect::Absent;
        for _ in 0..ATTEMPTS {
            let held = match self.put(port, expect).await? {
                Ok(_) => {
                    self.added.push(port);
                    return Ok(true);
                }
                Err(held) => held,
            };
            let Some(held) = held else {
                expect = Expect::Absent;
                continue;
            };
            match Claim::read(&held) {
                Some(claim) if claim.uid == self.claim.uid => return Ok(true),
                Some(claim) if !self.registry.is_abandoned(&claim, port).await => return Ok(false),
                _ => expect = Expect::ModRevision(held.mod_revision),
            }
        }
        Ok(false)
    }

    /// The outcome of a claim's write: its revision, or what holds instead.
    async fn put(&self, port: u16, expect: Expect) -> Result<Result<Revision, Option<KeyValue>>, ApiError> {
        let (store, key) = (&self.registry.0.store, claim_key(port));
        if self.dry_run {
            let held = store.get(&key, None).await.map_err(of_store)?;
            let holds = match expect {
                Expect::Absent => held.is_none(),
                Expect::ModRevision(revision) => held.as_ref().is_some_and(|held| held.mod_revision == revision),
            };
            return Ok(if holds { Ok(0) } else { Err(held) });
        }
        let write = Write { key: key.into(), value: Some(self.claim.to_bytes()), expect };
        match store.write(write).await {
            Ok(revision) => Ok(Ok(revision)),
            Err(store::Error::Conflict(held)) => Ok(Err(held)),
            Err(error) => Err(of_store(error)),
        }
    }
}

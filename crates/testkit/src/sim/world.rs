//! What a simulation consists of, as its own thread sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use apiserver::Server;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use machinery::UserInfo;
use node::simulated::Behaviour;

use super::admin::Admin;
use super::history::History;
use super::loops::Loops;
use super::node::SimulatedNode;
use super::usage::Reported;
use crate::api::{self, Setup};

/// So long nothing may be written for a cluster to count as settled.
const QUIET: Duration = Duration::from_secs(12);
/// A cluster that is still busy after this is at fault.
const SETTLED_MAX: Duration = Duration::from_secs(20 * 60);

pub struct World {
    server: Server,
    pub admin: Admin,
    pub loops: Loops,
    pub nodes: BTreeMap<String, SimulatedNode>,
    pub history: History,
    pub usage: Reported,
    images: BTreeMap<String, Behaviour>,
    /// Of a hundred requests so many are lost.
    losses: u32,
    root: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let store = Arc::new(store::Memory::new());
        let history = History::follow(store.clone()).await;
        let server = api::serve(Setup::new(store)).await;
        let admin = Admin(Client::new(server.client(UserInfo::new("admin", &[UserInfo::MASTERS])), "default"));
        let usage = Reported::default();
        let loops = Loops::start(&server, &usage);
        let root = tempfile::Builder::new().prefix("keelson-sim").tempdir().expect("a temporary directory");
        let (nodes, images) = Default::default();
        Self { server, admin, loops, nodes, history, usage, images, losses: 0, root }
    }

    /// Adds machines, named by their number.
    pub fn add_nodes(&mut self, count: u8) {
        for _ in 0..count {
            let number = u8::try_from(self.nodes.len() + 1).expect("few nodes");
            let name = format!("n{number}");
            self.nodes.insert(name.clone(), SimulatedNode::new(&name, number));
            self.start_node(&name);
        }
    }

    pub fn node(&mut self, name: &str) -> &mut SimulatedNode {
        self.nodes.get_mut(name).unwrap_or_else(|| panic!("no node {name}"))
    }

    pub fn start_node(&mut self, name: &str) {
        let node = self.nodes.get_mut(name).unwrap_or_else(|| panic!("no node {name}"));
        node.start(&self.server, self.root.path(), &self.images);
        node.link.lose(self.losses);
    }

    pub fn behave(&mut self, image: &str, behaviour: Behaviour) {
        self.images.insert(image.to_owned(), behaviour);
        self.nodes.values().for_each(|node| node.containers.behave(image, behaviour));
    }

    /// All loops end, wherever they are, and start anew.
    pub fn restart_loops(&mut self) {
        self.loops = Loops::start(&self.server, &self.usage);
        self.loops.link.lose(self.losses);
    }

    pub fn lose_requests(&mut self, percent: u32) {
        self.losses = percent;
        let links = self.nodes.values().map(|node| &node.link).chain([&self.loops.link]);
        links.for_each(|link| link.lose(percent));
    }

    /// Waits until nothing was written for a while.
    pub async fn settle(&self) {
        let deadline = clock::monotonic() + SETTLED_MAX;
        // What was asked for just now may not have been written yet.
        self.history.pass(QUIET).await;
        while self.history.quiet_for() < QUIET {
            assert!(clock::monotonic() < deadline, "the cluster does not settle:\n{}", self.history.tail());
            self.history.pass(QUIET - self.history.quiet_for()).await;
        }
    }

    /// Fails if two machines run the same pod, which for a StatefulSet's would be two of one ordinal.
    pub async fn check_safety(&self) {
        let mut seen = BTreeSet::new();
        for node in self.nodes.values() {
            for (name, _) in node.running().await {
                assert!(seen.insert(name.clone()), "{name} runs twice:\n{}", self.history.tail());
            }
        }
    }

    /// Fails if a machine runs what the API does not say it should.
    pub async fn check_no_leaks(&self) {
        let pods: Api<Pod> = Api::all(self.admin.0.clone());
        let listed = pods.list(&ListParams::default()).await.expect("pods are listed").items;
        let known: BTreeSet<_> =
            listed.iter().map(|pod| (control::pods::node_name(pod), pod.metadata.uid.as_deref())).collect();
        for (node, machine) in &self.nodes {
            for (name, uid) in machine.running().await {
                let place = (Some(node.as_str()), Some(uid.as_str()));
                assert!(known.contains(&place), "{name} runs on {node} unknown to the API:\n{}", self.history.tail());
            }
        }
    }
}

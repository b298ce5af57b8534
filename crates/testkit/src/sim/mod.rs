//! A cluster without machines: the real control plane over a store in memory, real node agents over runtimes
//! that only remember, paused time, and one seed for everything that is left to chance.
//!
//! ```
//! use testkit::sim::{Cluster, Seed, minutes};
//!
//! let mut c = Cluster::new(Seed::from_name("lost-node")).nodes(3);
//! c.apply("deployment web replicas=3");
//! c.settle();
//! c.node("n1").cut();
//! c.advance(minutes(6));
//! println!("{}", c.pods());
//! ```
//!
//! Time passes only inside a call. A test that fails prints its seed.

mod admin;
mod entropy;
mod history;
mod link;
mod loops;
mod node;
mod objects;
mod show;
mod stage;
mod usage;
mod world;

use std::time::Duration;

pub use ::node::simulated::Behaviour;
use expect_test::Expect;
pub use kube::api::{DeleteParams, PropagationPolicy};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use history::{Entry, What};
use stage::Stage;
use world::World;

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

pub fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 60 * 60)
}

/// What all chance in a simulation follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    pub fn from_name(name: &str) -> Self {
        let digest = Sha256::digest(name);
        Self(u64::from_be_bytes(digest[..8].try_into().expect("a digest is longer")))
    }
}

/// A simulated cluster.
pub struct Cluster {
    seed: Seed,
    stage: Stage<World>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation's seed is {:?}", self.seed);
        }
    }
}

impl Cluster {
    /// A control plane without nodes.
    pub fn new(seed: Seed) -> Self {
        let mut cluster = Self { seed, stage: Stage::new(seed.0, World::new) };
        cluster.settle();
        cluster
    }

    /// Adds so many nodes, named `n1`, `n2` and so on.
    pub fn nodes(mut self, count: u8) -> Self {
        self.add_nodes(count);
        self
    }

    pub fn add_nodes(&mut self, count: u8) {
        self.stage.run(async move |world| world.add_nodes(count));
        self.settle();
    }

    pub fn node(&mut self, name: &str) -> Node<'_> {
        Node { cluster: self, name: name.to_owned() }
    }

    /// Makes or changes the object of a line such as `deployment web replicas=3 image=web:2`.
    pub fn apply(&mut self, line: &str) {
        self.apply_object(objects::object(line));
    }

    /// Makes the object, or merges it into the one that is there.
    pub fn apply_object(&mut self, object: Value) {
        self.stage.run(async move |world| world.admin.apply(object).await);
    }

    pub fn delete(&mut self, resource: &'static str, name: &'static str, params: DeleteParams) {
        self.stage.run(async move |world| world.admin.delete(resource, name, &params).await);
    }

    pub fn patch(&mut self, resource: &'static str, name: &'static str, patch: Value) {
        self.stage.run(async move |world| world.admin.patch(resource, name, patch).await);
    }

    /// Says how containers of an image behave from now on.
    pub fn image(&mut self, image: &'static str, behaviour: Behaviour) {
        self.stage.run(async move |world| world.behave(image, behaviour));
    }

    /// Thousandths of a CPU that each pod of `app` uses from now on.
    pub fn usage(&mut self, app: &'static str, millis: u64) {
        self.stage.run(async move |world| world.usage.set(app, millis));
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        self.stage.run(async move |world| world.history.pass(time).await);
    }

    /// Lets time pass until nothing happens any more.
    pub fn settle(&mut self) {
        self.stage.run(async |world| world.settle().await);
    }

    /// Ends controllers, scheduler and autoscalers wherever they are, and starts new ones.
    pub fn crash_loops(&mut self) {
        self.stage.run(async |world| world.restart_loops());
    }

    /// The loops lose the API after so many more writes, the last of which is made but not answered.
    pub fn cut_loops_after(&mut self, writes: u32) {
        self.stage.run(async move |world| world.loops.link.cut_after(writes));
    }

    /// Of a hundred requests of loops and nodes so many are lost, or their answers.
    pub fn lose_requests(&mut self, percent: u32) {
        self.stage.run(async move |world| world.lose_requests(percent));
    }

    /// A number under `bound` from the seed.
    pub fn draw(&mut self, bound: usize) -> usize {
        self.stage.run(async move |_| clock::random_below(bound))
    }

    /// The pods of the namespace `default`, a line each: `web-a n1 Running`.
    ///
    /// Pods with generated names go by the label `app` and a letter, in order of their creation.
    pub fn pods(&mut self) -> String {
        self.stage.run(async |world| world.admin.pods(&world.history).await)
    }

    /// As [`Self::pods`] without letters and nodes: `web Running`.
    pub fn states(&mut self) -> String {
        self.stage.run(async |world| world.admin.states().await)
    }

    pub fn check(&mut self, expected: Expect) {
        expected.assert_eq(&self.pods());
    }

    /// `kubectl get` in the namespace `default`, without header and ages.
    pub fn rows(&mut self, resource: &'static str) -> String {
        self.stage.run(async move |world| world.admin.rows(resource).await)
    }

    pub fn check_rows(&mut self, resource: &'static str, expected: Expect) {
        expected.assert_eq(&self.rows(resource));
    }

    /// Fails if a pod runs twice.
    pub fn check_safety(&mut self) {
        self.stage.run(async |world| world.check_safety().await);
    }

    /// Fails if machines run anything but what the API says.
    pub fn check_no_leaks(&mut self) {
        self.stage.run(async |world| world.check_no_leaks().await);
    }

    /// Every write to the store since the start.
    pub fn history(&mut self) -> Vec<Entry> {
        self.stage.run(async |world| world.history.entries())
    }

    /// How many pods of `app` were ready at the least while `act` ran.
    pub fn fewest_ready(&mut self, app: &'static str, act: impl FnOnce(&mut Self)) -> usize {
        self.stage.run(async move |world| world.history.observe(app));
        act(self);
        self.stage.run(async move |world| world.history.fewest_ready(app)).expect("it is observed")
    }
}

/// One machine of a cluster.
pub struct Node<'a> {
    cluster: &'a mut Cluster,
    name: String,
}

impl Node<'_> {
    /// A partition, not a crash: its containers run on.
    pub fn cut(self) {
        self.cluster.stage.run(async move |world| world.node(&self.name).link.cut());
    }

    pub fn heal(self) {
        self.cluster.stage.run(async move |world| world.node(&self.name).link.heal());
    }

    /// The machine loses power.
    pub fn kill(self) {
        self.cluster.stage.run(async move |world| world.node(&self.name).kill());
    }

    /// Starts the agent, after [`Self::kill`] or in place of the one that runs.
    pub fn start(self) {
        self.cluster.stage.run(async move |world| world.start_node(&self.name));
    }

    /// What `kubectl drain` does.
    pub fn drain(self) {
        self.cluster.stage.run(async move |world| world.admin.drain(&self.name).await);
    }
}

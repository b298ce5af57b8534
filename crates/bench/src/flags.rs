//! The command line, and how large each measurement is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::cluster::Subject;

/// Measures a cluster: start, memory, pods, API, scheduler
#[derive(Parser)]
#[command(name = "bench")]
pub struct Flags {
    /// What to measure [default: all that can be]
    #[arg(value_enum)]
    names: Vec<Name>,
    /// The program to measure
    #[arg(long, value_name = "FILE", required_unless_present = "kubeconfig")]
    keelson: Option<PathBuf>,
    /// Archive with the image of the measured pods
    #[arg(long, value_name = "FILE", required_unless_present = "kubeconfig")]
    image: Option<PathBuf>,
    /// The image of the measured pods; it must run until it is stopped
    #[arg(long, value_name = "IMAGE", default_value = "keelson.dev/sample:v1")]
    pub image_name: String,
    /// Measure the cluster of this kubeconfig instead of one of our own
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// URL of that cluster's API, if not as in the kubeconfig
    #[arg(long, value_name = "URL", requires = "kubeconfig")]
    url: Option<String>,
    /// Small and short: shows that everything works
    #[arg(long)]
    pub quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    Start,
    Idle,
    Pods,
    Requests,
    Admission,
    Watchers,
    Cache,
    Definitions,
    Schedule,
}

impl Flags {
    pub fn subject(&self) -> anyhow::Result<Subject> {
        if let Some(kubeconfig) = self.kubeconfig.clone() {
            return Ok(Subject::Given { kubeconfig, url: self.url.clone() });
        }
        let keelson = self.keelson.clone().context("--keelson or --kubeconfig")?;
        Ok(Subject::Own { keelson, archive: self.image.clone().context("--image or --kubeconfig")? })
    }

    /// In the order of the table; what is named twice is measured once.
    pub fn names(&self) -> impl Iterator<Item = Name> {
        let all = Name::value_variants().iter().copied();
        // These start a server again, or look at its memory alone.
        let own = |name: &Name| matches!(name, Name::Start | Name::Idle | Name::Cache | Name::Definitions);
        let possible = move |name: &Name| self.kubeconfig.is_none() || !own(name);
        all.filter(move |name| if self.names.is_empty() { possible(name) } else { self.names.contains(name) })
    }

    pub fn sizes(&self) -> Sizes {
        if self.quick { Sizes::QUICK } else { Sizes::FULL }
    }
}

/// Counts and times of the measurements: all of them are bounds.
pub struct Sizes {
    pub starts: usize,
    /// From Ready until memory is read.
    pub settle: Duration,
    /// How long processor time is counted.
    pub idle: Duration,
    /// Pods made one after the other.
    pub single_pods: usize,
    /// Replicas at first, and then.
    pub replicas: [u32; 2],
    /// How long requests are sent.
    pub load: Duration,
    pub small_list: u64,
    pub large_list: u64,
    pub watchers: u64,
    /// Writes a second that each of them could see.
    pub watched_writes: u64,
    /// Pods of `POD` bytes each, in the server's memory.
    pub held_pods: u64,
    /// CustomResourceDefinitions in the server.
    pub definitions: u64,
    pub slow_lists: usize,
    pub nodes: u64,
    pub scheduled: u64,
}

impl Sizes {
    const FULL: Self = Self {
        starts: 5,
        settle: Duration::from_secs(30),
        idle: Duration::from_secs(60),
        single_pods: 30,
        replicas: [10, 60],
        load: Duration::from_secs(5),
        small_list: 500,
        large_list: 20_000,
        watchers: 10_000,
        watched_writes: 1_000,
        held_pods: 100_000,
        definitions: 1000,
        slow_lists: 256,
        nodes: 5_000,
        scheduled: 10_000,
    };
    const QUICK: Self = Self {
        starts: 1,
        settle: Duration::from_secs(2),
        idle: Duration::from_secs(5),
        single_pods: 3,
        replicas: [2, 6],
        load: Duration::from_secs(1),
        small_list: 50,
        large_list: 500,
        watchers: 200,
        watched_writes: 100,
        held_pods: 500,
        definitions: 20,
        slow_lists: 16,
        nodes: 50,
        scheduled: 100,
    };
}

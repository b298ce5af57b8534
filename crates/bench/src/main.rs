//! Measures a cluster as its users meet it: the built program, over TLS, with real containers.
//!
//! ```text
//! cargo xtask bench                     # everything, with optimized programs (about eight minutes)
//! cargo xtask bench requests schedule   # some of it
//! cargo xtask bench --quick             # small and short, without aims: shows that it works
//! cargo xtask bench --kubeconfig FILE   # another cluster, Kubernetes itself for example, to compare with
//! ```
//!
//! | Name | What is measured |
//! | --- | --- |
//! | `start` | from the start of the process on an empty disk to the API answering `/readyz`, and to the node Ready; the median of some starts |
//! | `idle` | memory of server and supervisor while nothing happens, and their processor time |
//! | `pods` | one pod from its creation to Running, as a watcher sees it; 10 pods of a Deployment until all are Ready, 50 more, all 60 deleted with 1 s of grace; memory of server and supervisor for each pod |
//! | `requests` | requests a second over keep-alive HTTP/1.1 and TLS: durable creates, gets, lists |
//! | `admission` | creates under two policies and a quota, against the same creates without |
//! | `watchers` | how late many watchers learn of writes, and what each holds |
//! | `cache` | the memory and the start of a server with many pods; the memory of lists that nobody reads |
//! | `definitions` | the memory and the start of a server with many custom kinds |
//! | `schedule` | pods bound a second where nodes are many: Node objects without machines, in a server without an agent |
//!
//! How to read the table: a value, its unit, what is aimed at, and whether it was reached. The load comes from
//! this program on the same cores, so that the API's numbers hold for client and server together. Memory is
//! PSS: what a process has for itself and its share of what it has in common with others. The first line says
//! how busy the machine was before: numbers of a busy machine are no one's. The last line is all of it as JSON.
//!
//! Each measurement has a server of its own, on an empty data directory below `TMPDIR`, in a network and a mount
//! namespace that this program makes for itself: it needs root, and disturbs no cluster of the machine. Another
//! cluster (`--kubeconfig`) gets namespaces, nodes and policies whose names begin with `bench-`, which are deleted
//! at the end; the image of the pods must be on its node, and `start`, `idle`, `cache` and `definitions` need a
//! server that is ours.

mod cluster;
mod flags;
mod isolation;
mod load;
mod measure;
mod pods;
mod processes;
mod report;
mod server;
mod stats;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use cluster::{Interrupted, Subject};
use flags::{Flags, Name};
use report::Measure;

fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    let subject = flags.subject()?;
    let provider = rustls::crypto::ring::default_provider().install_default();
    provider.map_err(|_| anyhow::anyhow!("TLS is set up already"))?;
    // Before there is any other thread: a namespace belongs to a thread.
    if matches!(subject, Subject::Own { .. }) {
        isolation::enter().context("a namespace for the measurement (are you root?)")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let complete = runtime.block_on(run(&flags, &subject))?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether everything could be measured.
async fn run(flags: &Flags, subject: &Subject) -> anyhow::Result<bool> {
    if matches!(subject, Subject::Own { .. }) {
        isolation::set_up_links().await?;
    }
    let machine = report::Machine::look()?;
    println!("{machine}");
    let sizes = flags.sizes();
    let mut measures = Vec::new();
    for name in flags.names() {
        eprintln!("measuring {name:?} ...");
        let measured = match name {
            Name::Start => measure::start::run(subject, &sizes).await,
            Name::Idle => measure::idle::run(subject, &sizes).await,
            Name::Pods => measure::pods::run(subject, &sizes, &flags.image_name).await,
            Name::Requests => measure::requests::run(subject, &sizes).await,
            Name::Admission => measure::admission::run(subject, &sizes).await,
            Name::Watchers => measure::watchers::run(subject, &sizes).await,
            Name::Cache => measure::cache::run(subject, &sizes).await,
            Name::Definitions => measure::definitions::run(subject, &sizes).await,
            Name::Schedule => measure::schedule::run(subject, &sizes).await,
        };
        match measured {
            Ok(more) => measures.extend(more),
            Err(error) => {
                measures.push(Measure::failed(&format!("{name:?}").to_lowercase(), &error));
                if error.is::<Interrupted>() {
                    break;
                }
            }
        }
    }
    if flags.quick {
        measures.iter_mut().for_each(|measure| measure.aim = None);
    }
    print!("{}", report::table(&measures));
    println!("{}", report::json(&machine, flags.quick, &measures));
    Ok(measures.iter().all(|measure| measure.failure.is_none()))
}

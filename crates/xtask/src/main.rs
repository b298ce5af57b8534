//! Chores of this repository: `cargo xtask <chore>`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod api_diff;
mod arrows;
mod bench;
mod build;
mod image;
mod schema;
mod test;
mod up;

#[derive(Parser)]
#[command(about = "Chores of this repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Writes the schema table (crates/schema/src/table) from k8s-openapi and k8s-pb.
    Schema {
        /// Writes nothing; fails if the table is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Compares the API with the OpenAPI 2 document of Kubernetes v1.35; fails at differences that are not meant.
    ApiDiff {
        /// The document: `kubectl get --raw /openapi/v2` of such a cluster prints it.
        #[arg(long)]
        reference: PathBuf,
    },
    /// Fails if a crate depends on one that it must not know.
    Arrows,
    /// Runs every test. Needs root, kubectl and a few Debian packages (.ci/install).
    Test {
        /// For nextest: filters, --no-capture and the like.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds Keelson and brings up a cluster with the sample application on this machine. Needs root.
    Up {
        /// Builds without optimization, which is quicker.
        #[arg(long)]
        debug: bool,
    },
    /// Removes the cluster that `up` made, and everything that runs in it.
    Down,
    /// Packs the image of the sample application and prints where it is.
    Image,
    /// Measures start, memory, pods, API and scheduler of a fresh cluster, or of a given one. Needs root.
    Bench {
        /// Builds without optimization: to try the measurements, not to measure.
        #[arg(long)]
        debug: bool,
        /// What to measure (start, idle, pods, api, schedule) and how (--quick, --kubeconfig FILE, --url URL).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Schema { check } => schema::run(check),
        Chore::ApiDiff { reference } => api_diff::run(&reference),
        Chore::Arrows => arrows::check(),
        Chore::Test { arguments } => test::test(&arguments),
        Chore::Up { debug } => up::up(debug),
        Chore::Down => up::down(),
        Chore::Bench { debug, arguments } => bench::bench(debug, &arguments),
        Chore::Image => {
            println!("{}", image::pack(false)?.display());
            Ok(())
        }
    }
}

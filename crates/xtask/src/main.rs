//! Chores of this repository: `cargo xtask <chore>`.

use clap::{Parser, Subcommand};

mod schema;

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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Schema { check } => schema::run(check),
    }
}

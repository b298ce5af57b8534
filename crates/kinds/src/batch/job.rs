//! Job.

use crate::def::{KindDef, Strategy, Subresource};

pub static JOB: KindDef = KindDef {
    group: "batch",
    kind: "Job",
    resource: "jobs",
    singular: "job",
    categories: &["all"],
    schema: "io.k8s.api.batch.v1.Job",
    subresources: &[Subresource::Status],
    strategy: Strategy::WITH_STATUS,
    ..KindDef::PLAIN
};

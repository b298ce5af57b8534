//! CronJob.

use crate::def::{KindDef, Strategy, Subresource};

pub static CRON_JOB: KindDef = KindDef {
    group: "batch",
    kind: "CronJob",
    resource: "cronjobs",
    singular: "cronjob",
    short_names: &["cj"],
    categories: &["all"],
    schema: "io.k8s.api.batch.v1.CronJob",
    subresources: &[Subresource::Status],
    strategy: Strategy::WITH_STATUS,
    ..KindDef::PLAIN
};

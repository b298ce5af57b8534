//! batch/v1.

mod cron_job;
mod job;

use crate::def::KindDef;

pub use cron_job::CRON_JOB;
pub use job::JOB;

pub const KINDS: &[&KindDef] = &[&CRON_JOB, &JOB];

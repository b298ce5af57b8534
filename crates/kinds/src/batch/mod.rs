//! batch/v1.

mod cron_job;
mod failure_policy;
mod job;
mod job_status;
mod job_validate;

use crate::def::KindDef;

pub use cron_job::CRON_JOB;
pub use job::JOB;

pub const KINDS: &[&KindDef] = &[&CRON_JOB, &JOB];

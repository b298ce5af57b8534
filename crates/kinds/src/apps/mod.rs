//! apps/v1.

mod controller_revision;
mod daemon_set;
mod deployment;
mod replica_set;
mod stateful_set;
mod status;

use crate::def::KindDef;

pub use controller_revision::CONTROLLER_REVISION;
pub use daemon_set::DAEMON_SET;
pub use deployment::DEPLOYMENT;
pub(crate) use deployment::{at_most_all, validate_counts, validate_lasting_template};
pub use replica_set::REPLICA_SET;
pub(crate) use replica_set::STATUS as REPLICA_STATUS;
pub use stateful_set::STATEFUL_SET;
pub(crate) use status::Counts;

pub const KINDS: &[&KindDef] = &[&CONTROLLER_REVISION, &DAEMON_SET, &DEPLOYMENT, &REPLICA_SET, &STATEFUL_SET];

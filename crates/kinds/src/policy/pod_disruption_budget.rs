//! PodDisruptionBudget.

use crate::def::{KindDef, Strategy, Subresource};

pub static POD_DISRUPTION_BUDGET: KindDef = KindDef {
    group: "policy",
    kind: "PodDisruptionBudget",
    resource: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    short_names: &["pdb"],
    schema: "io.k8s.api.policy.v1.PodDisruptionBudget",
    subresources: &[Subresource::Status],
    strategy: Strategy { unconditional_update: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};

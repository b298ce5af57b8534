//! PodDisruptionBudget.

use crate::columns::{AGE, NAME, number, scalar_or};
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::tree::default_status_number;

const NOT_SET: &str = "N/A";
const COUNTS: [&str; 4] = ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"];

pub static POD_DISRUPTION_BUDGET: KindDef = KindDef {
    group: "policy",
    kind: "PodDisruptionBudget",
    resource: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    short_names: &["pdb"],
    schema: "io.k8s.api.policy.v1.PodDisruptionBudget",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Min Available", "Pods that must stay", |budget| {
            scalar_or(budget.get(&["spec"]), "minAvailable", NOT_SET)
        }),
        Column::string("Max Unavailable", "Pods that may be missing", |budget| {
            scalar_or(budget.get(&["spec"]), "maxUnavailable", NOT_SET)
        }),
        Column::integer("Allowed Disruptions", "Pods that may be evicted now", |budget| {
            number(budget, &["status", "disruptionsAllowed"])
        }),
        AGE,
    ],
    strategy: Strategy {
        default: |budget| default_status_number(budget, &COUNTS),
        unconditional_update: false,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

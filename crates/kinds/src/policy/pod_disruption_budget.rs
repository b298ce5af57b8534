//! PodDisruptionBudget.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{path_segment_name, validate_label_selector};

use crate::apps::{Counts, at_most_all};
use crate::check::{At, int_or_percent, one_of, validate_conditions};
use crate::columns::{AGE, NAME, number, scalar_or};
use crate::def::Description::Text;
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
        Column::string("Min Available", Text("The minimum number of pods that must be available."), |budget| {
            scalar_or(budget.get(&["spec"]), "minAvailable", NOT_SET)
        }),
        Column::string("Max Unavailable", Text("The maximum number of pods that may be unavailable."), |budget| {
            scalar_or(budget.get(&["spec"]), "maxUnavailable", NOT_SET)
        }),
        Column::integer(
            "Allowed Disruptions",
            Text("Calculated number of pods that may be disrupted at this time."),
            |budget| number(budget, &["status", "disruptionsAllowed"]),
        ),
        AGE,
    ],
    strategy: Strategy {
        any_finalizers: true,
        validate_name: path_segment_name,
        default: |budget| default_status_number(budget, &COUNTS),
        validate,
        validate_status_update,
        unconditional_update: false,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn validate_status_update(new: &Object, old: &Object) -> ErrorList {
    let mut errors = validate_conditions(&At::field(new, "status").child("conditions"));
    errors.extend(Counts { fields: &COUNTS, bounds: &[] }.validate(new, old));
    errors
}

fn validate(budget: &Object) -> ErrorList {
    let spec = At::field(budget, "spec");
    let bounds = spec.set_children(&["minAvailable", "maxUnavailable"]);
    let mut errors = ErrorList::new();
    if bounds.len() > 1 {
        errors.push(spec.invalid("minAvailable and maxUnavailable cannot be both set"));
    }
    for bound in &bounds {
        errors.extend(int_or_percent(bound));
        errors.extend(at_most_all(bound));
    }
    let selector = spec.child("selector");
    errors.extend(validate_label_selector(selector.value, &selector.path));
    errors.extend(one_of(&spec.child("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]));
    errors
}

//! PriorityLevelConfiguration.

use machinery::Object;

use crate::columns::{AGE, NAME, NONE, scalar};
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};
use crate::tree::{Map, child, default};

pub static PRIORITY_LEVEL_CONFIGURATION: KindDef = KindDef {
    group: "flowcontrol.apiserver.k8s.io",
    kind: "PriorityLevelConfiguration",
    resource: "prioritylevelconfigurations",
    singular: "prioritylevelconfiguration",
    scope: Scope::Cluster,
    schema: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Type", "Limited or exempt", |level| level.str(&["spec", "type"]).into()),
        Column::string("NominalConcurrencyShares", "Its share of the requests served at once", |level| {
            let exempt = level.str(&["spec", "type"]) == "Exempt";
            let part = if exempt { "exempt" } else { "limited" };
            shown(level, &["spec", part, "nominalConcurrencyShares"])
        }),
        Column::string("Queues", "Queues of waiting requests", |level| shown_of_queuing(level, "queues")),
        Column::string("HandSize", "Queues dealt to each flow", |level| shown_of_queuing(level, "handSize")),
        Column::string("QueueLengthLimit", "Requests a queue holds", |level| {
            shown_of_queuing(level, "queueLengthLimit")
        }),
        AGE,
    ],
    strategy: Strategy { default: default_level, unconditional_update: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};

fn default_level(level: &mut Object) {
    let spec = level.map_mut(&["spec"]);
    if let Some(exempt) = child(spec, "exempt") {
        default(exempt, "nominalConcurrencyShares", 0);
        default(exempt, "lendablePercent", 0);
    }
    child(spec, "limited").into_iter().for_each(default_limited);
}

fn default_limited(limited: &mut Map) {
    default(limited, "nominalConcurrencyShares", 30);
    default(limited, "lendablePercent", 0);
    let queuing = child(limited, "limitResponse").and_then(|response| child(response, "queuing"));
    if let Some(queuing) = queuing {
        default(queuing, "handSize", 8);
        default(queuing, "queues", 64);
        default(queuing, "queueLengthLimit", 50);
    }
}

fn shown_of_queuing(level: &Object, field: &str) -> serde_json::Value {
    shown(level, &["spec", "limited", "limitResponse", "queuing", field])
}

fn shown(level: &Object, path: &[&str]) -> serde_json::Value {
    level.get(path).map_or_else(|| NONE.to_owned(), scalar).into()
}

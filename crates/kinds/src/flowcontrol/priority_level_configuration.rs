//! PriorityLevelConfiguration.

use machinery::Object;
use machinery::field::{Error, ErrorList};

use super::flow_schema_validate::validate_conditions;
use super::mandatory::{self, EXEMPT};
use crate::check::At;
use crate::columns::{AGE, NAME, NONE};
use crate::def::Description::Field;
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
        Column::string("Type", Field("spec.type"), |level| level.str(&["spec", "type"]).into()),
        Column::string("NominalConcurrencyShares", Field("spec.limited.nominalConcurrencyShares"), |level| {
            shown(level, &["spec", "limited", "nominalConcurrencyShares"])
        }),
        Column::string("Queues", Field("spec.limited.limitResponse.queuing.queues"), |level| {
            shown_of_queuing(level, "queues")
        }),
        Column::string("HandSize", Field("spec.limited.limitResponse.queuing.handSize"), |level| {
            shown_of_queuing(level, "handSize")
        }),
        Column::string("QueueLengthLimit", Field("spec.limited.limitResponse.queuing.queueLengthLimit"), |level| {
            shown_of_queuing(level, "queueLengthLimit")
        }),
        AGE,
    ],
    strategy: Strategy {
        default: default_level,
        validate,
        validate_status_update: |level, _| validate_conditions(level),
        kept_by_status: &[&["metadata"]],
        ..Strategy::WITH_STATUS
    },
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
    level.get(path).cloned().unwrap_or_else(|| NONE.into())
}

const QUEUES_MAX: i64 = 10_000_000;
const HASH_BITS: f64 = 60.0;
const PERCENT: std::ops::RangeInclusive<i64> = 0..=100;

fn validate(level: &Object) -> ErrorList {
    let spec = At::field(level, "spec");
    let [of_type, limited, exempt] = ["type", "limited", "exempt"].map(|field| spec.child(field));
    let mut errors = ErrorList::new();
    if (level.name() == EXEMPT) != (of_type.text() == "Exempt") {
        errors.push(of_type.invalid("must be 'Exempt' if and only if `name` is 'exempt'"));
    }
    match of_type.text() {
        "Exempt" => {
            errors.extend(limited.is_set().then(|| limited.forbidden("must be nil if the type is not Limited")));
            errors.extend(validate_share(&exempt));
        }
        "Limited" => {
            errors.extend(exempt.is_set().then(|| exempt.forbidden("must be nil if the type is Limited")));
            match limited.is_set() {
                true => errors.extend(validate_limited(&limited)),
                false => errors.push(limited.required("must not be empty when type is Limited")),
            }
        }
        _ => errors.push(of_type.not_supported(&["Exempt", "Limited"])),
    }
    errors.extend(mandatory::validate_level(level));
    errors.extend(validate_conditions(level));
    errors
}

fn validate_share(part: &At) -> ErrorList {
    let (shares, lendable) = (part.child("nominalConcurrencyShares"), part.child("lendablePercent"));
    let negative = shares.int().is_some_and(|number| number < 0);
    let mut errors: ErrorList =
        negative.then(|| shares.invalid("must be a non-negative integer")).into_iter().collect();
    let outside = lendable.int().is_some_and(|number| !PERCENT.contains(&number));
    errors.extend(outside.then(|| lendable.invalid("must be between 0 and 100, inclusive")));
    errors
}

fn validate_limited(limited: &At) -> ErrorList {
    let borrowing = limited.child("borrowingLimitPercent");
    let mut errors = validate_share(limited);
    let negative = borrowing.int().is_some_and(|number| number < 0);
    errors.extend(negative.then(|| borrowing.invalid("if specified, must be a non-negative integer")));
    let response = limited.child("limitResponse");
    let (of_type, queuing) = (response.child("type"), response.child("queuing"));
    match (of_type.text(), queuing.is_set()) {
        ("Reject", true) => {
            errors.push(queuing.forbidden("must be nil if limited.limitResponse.type is not Limited"));
        }
        ("Queue", false) => {
            errors.push(queuing.required("must not be empty if limited.limitResponse.type is Limited"));
        }
        ("Queue", true) => errors.extend(validate_queuing(&queuing)),
        ("Reject", false) => {}
        _ => errors.push(of_type.not_supported(&["Queue", "Reject"])),
    }
    errors
}

fn validate_queuing(queuing: &At) -> ErrorList {
    let [length, queues, hand] = ["queueLengthLimit", "queues", "handSize"].map(|field| queuing.child(field));
    let positive = |at: &At| at.int().is_some_and(|number| number > 0);
    let not_positive = |at: &At| -> Option<Error> { (!positive(at)).then(|| at.invalid("must be positive")) };
    let (count, size) = (queues.int().unwrap_or(0), hand.int().unwrap_or(0));
    let mut errors: ErrorList = [&length, &queues].into_iter().filter_map(not_positive).collect();
    if count > QUEUES_MAX {
        errors.push(queues.invalid(format!("must not be greater than {QUEUES_MAX}")));
    }
    if size <= 0 {
        errors.extend(not_positive(&hand));
    } else if size > count {
        errors.push(hand.invalid(format!("should not be greater than queues ({count})")));
    } else if entropy(count, size) > HASH_BITS {
        let text =
            format!("required entropy bits of deckSize {count} and handSize {size} should not be greater than 60");
        errors.push(hand.invalid(text));
    }
    errors
}

/// Bits of a hash that dealing a hand from the queues takes.
#[expect(clippy::cast_precision_loss, reason = "both are small")]
fn entropy(queues: i64, hand: i64) -> f64 {
    ((queues as f64).log2() * hand as f64).ceil()
}

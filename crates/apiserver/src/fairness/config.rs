//! FlowSchemas and PriorityLevelConfigurations, compiled.

use std::sync::Arc;

use http::HeaderValue;
use machinery::Object;

use super::classify::Matcher;
use super::dispatch::{Limit, Overflow};
use super::metrics::Counters;
use super::shares::{Seats, Shares};
use super::{Fairness, shares, wake};

/// What a schema sets its requests apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinguisher {
    None,
    User,
    Namespace,
}

pub(crate) struct Schema {
    pub name: String,
    pub uid: HeaderValue,
    pub level_name: String,
    pub level_uid: HeaderValue,
    /// The level's number in the dispatcher.
    pub level: usize,
    pub matcher: Matcher,
    pub distinguisher: Distinguisher,
    pub counters: Counters,
}

pub(super) struct Level {
    pub name: String,
    uid: HeaderValue,
    number: usize,
}

/// Schemas in the order in which they are tried, and every level that ever was: its requests may still run.
#[derive(Default)]
pub(crate) struct Rules {
    pub schemas: Vec<Arc<Schema>>,
    levels: Vec<Level>,
}

fn uid(object: &Object) -> HeaderValue {
    HeaderValue::from_str(object.uid()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The name of the level that a schema's requests go to.
pub fn level_name(schema: &Object) -> &str {
    schema.str(&["spec", "priorityLevelConfiguration", "name"])
}

fn number(object: &Object, path: &[&str]) -> u32 {
    object.int(path).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

/// `exempt` or `limited`, whichever the level's type says.
fn shares_of(level: &Object) -> Shares {
    let part = if is_exempt(level) { "exempt" } else { "limited" };
    Shares {
        nominal: number(level, &["spec", part, "nominalConcurrencyShares"]),
        lendable_percent: number(level, &["spec", part, "lendablePercent"]),
        borrowing_limit_percent: level
            .int(&["spec", part, "borrowingLimitPercent"])
            .map(|_| number(level, &["spec", part, "borrowingLimitPercent"])),
    }
}

fn is_exempt(level: &Object) -> bool {
    level.str(&["spec", "type"]) == "Exempt"
}

fn limit(level: &Object, seats: Seats) -> Limit {
    let queuing = |field| number(level, &["spec", "limited", "limitResponse", "queuing", field]) as usize;
    let overflow = match level.str(&["spec", "limited", "limitResponse", "type"]) {
        "Queue" => Overflow::Queue {
            queues: queuing("queues").max(1),
            hand: queuing("handSize").max(1),
            length: queuing("queueLengthLimit"),
        },
        _ => Overflow::Reject,
    };
    if is_exempt(level) { Limit::Exempt } else { Limit::Limited { seats, overflow } }
}

fn distinguisher(schema: &Object) -> Distinguisher {
    match schema.str(&["spec", "distinguisherMethod", "type"]) {
        "ByUser" => Distinguisher::User,
        "ByNamespace" => Distinguisher::Namespace,
        _ => Distinguisher::None,
    }
}

impl Fairness {
    /// Takes these objects for the rules; schemas without their level are passed over.
    pub fn apply(&self, levels: &[Object], schemas: &[Object]) {
        let shares: Vec<Shares> = levels.iter().map(shares_of).collect();
        let seats = shares::seats(self.seats, &shares);
        let before = self.rules.load();
        let mut known: Vec<Level> = before.levels.iter().map(Level::again).collect();
        let mut served = Vec::new();
        let mut dispatcher = self.dispatcher.lock();
        for (level, seats) in levels.iter().zip(seats) {
            self.metrics.show_limits(level.name(), seats);
            let limit = limit(level, seats);
            match known.iter_mut().find(|of| of.name == level.name()) {
                Some(of) => {
                    of.uid = uid(level);
                    served.extend(dispatcher.set_limit(of.number, limit));
                }
                None => {
                    known.push(Level { name: level.name().to_owned(), uid: uid(level), number: dispatcher.add(limit) });
                }
            }
        }
        let gone = known.iter().filter(|of| levels.iter().all(|level| level.name() != of.name));
        gone.for_each(|level| dispatcher.retire(level.number));
        drop(dispatcher);
        wake(served);
        let exists = |schema: &&Object| levels.iter().any(|level| level.name() == level_name(schema));
        let mut compiled: Vec<(u32, Arc<Schema>)> = schemas
            .iter()
            .filter(exists)
            .filter_map(|schema| {
                let level = known.iter().find(|level| level.name == level_name(schema))?;
                Some((number(schema, &["spec", "matchingPrecedence"]), Arc::new(self.compile(schema, level))))
            })
            .collect();
        compiled.sort_by(|(one, left), (other, right)| one.cmp(other).then_with(|| left.name.cmp(&right.name)));
        let schemas = compiled.into_iter().map(|(_, schema)| schema).collect();
        self.rules.store(Arc::new(Rules { schemas, levels: known }));
    }

    fn compile(&self, schema: &Object, level: &Level) -> Schema {
        Schema {
            name: schema.name().to_owned(),
            uid: uid(schema),
            level_name: level.name.clone(),
            level_uid: level.uid.clone(),
            level: level.number,
            matcher: Matcher::compile(schema),
            distinguisher: distinguisher(schema),
            counters: self.metrics.counters(&level.name, schema.name()),
        }
    }
}

impl Level {
    fn again(&self) -> Self {
        Self { name: self.name.clone(), uid: self.uid.clone(), number: self.number }
    }
}

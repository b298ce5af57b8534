//! What the rules of a definition can cost by estimate.

use expression::{ESTIMATED_RULE_LIMIT, ESTIMATED_TOTAL_LIMIT};
use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Rules that are told when all together are too dear.
const MOST_EXPENSIVE: usize = 4;

/// The cost of all rules of a schema.
#[derive(Default)]
pub struct Total {
    cost: u64,
    expensive: Vec<(u64, Path)>,
    /// Whether one rule may cost what it likes.
    forgives: bool,
}

impl Total {
    pub fn new(forgives: bool) -> Self {
        Self { forgives, ..Self::default() }
    }

    /// Adds a rule; the error says that it is too dear alone.
    pub fn add(&mut self, path: &Path, name: &str, cost: u64) -> Option<Error> {
        self.cost = self.cost.saturating_add(cost);
        if cost >= ESTIMATED_TOTAL_LIMIT / 100 {
            self.expensive.push((cost, path.clone()));
            self.expensive.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            self.expensive.truncate(MOST_EXPENSIVE);
        }
        (cost > ESTIMATED_RULE_LIMIT && !self.forgives)
            .then(|| Error::forbidden(path, exceeds(&format!("estimated {name} cost"), cost, ESTIMATED_RULE_LIMIT)))
    }

    /// What is said of a schema whose rules are too dear together.
    pub fn judge(&self, schema: &Path) -> ErrorList {
        if self.cost <= ESTIMATED_TOTAL_LIMIT {
            return ErrorList::new();
        }
        let text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let mut errors: ErrorList = self.expensive.iter().map(|(_, path)| Error::forbidden(path, text)).collect();
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(Error::forbidden(schema, exceeds(name, self.cost, ESTIMATED_TOTAL_LIMIT)));
        errors
    }
}

fn exceeds(name: &str, cost: u64, limit: u64) -> String {
    let times = cost as f64 / limit as f64;
    let factor = match times {
        _ if times > 100.0 => "more than 100x".to_owned(),
        _ if times < 1.5 => format!("{times:.6}x"),
        _ => format!("{times:.1}x"),
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// How often a value can be in an object at most; nothing where no limit says.
pub fn often_below(schema: &Value, often: Option<u64>) -> Option<u64> {
    let limit = |name: &str| schema[name].as_i64().map(|limit| limit.max(0) as u64);
    let within = match schema["type"].as_str() {
        Some("object") if schema.get("additionalProperties").is_some_and(|of| !of.is_null()) => limit("maxProperties"),
        Some("array") => limit("maxItems"),
        _ => Some(1),
    };
    Some(often?.saturating_mul(within?))
}

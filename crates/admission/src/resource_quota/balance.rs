//! What a quota allows and what is used of it, with charges added.

use std::collections::BTreeSet;

use kinds::quota::{Amounts, amounts};
use machinery::Object;
use machinery::quantity::Quantity;
use serde_json::json;

use super::Charge;

pub struct Balance {
    pub hard: Amounts,
    used: Amounts,
    /// What the status covers.
    covered: BTreeSet<String>,
    charged: BTreeSet<String>,
}

impl Balance {
    pub fn of(quota: &Object) -> Self {
        let covered = quota.map(&["status", "hard"]).into_iter().flatten().map(|(name, _)| name.clone());
        Self {
            hard: amounts(quota.get(&["spec", "hard"])),
            used: amounts(quota.get(&["status", "used"])),
            covered: covered.collect(),
            charged: BTreeSet::new(),
        }
    }

    pub fn covers(&self, resource: &str) -> bool {
        self.covered.contains(resource)
    }

    /// What is used with the charge, of its resources. The error says what would be too much.
    pub(super) fn with(&self, charge: &Charge) -> Result<Amounts, String> {
        let with = |(name, amount): (&String, &Quantity)| (name.clone(), self.used(name, charge) + *amount);
        let with: Amounts = charge.delta.iter().map(with).collect();
        let exceeds = |name: &str| self.hard.get(name).is_some_and(|most| with[name] > *most);
        let exceeded: Vec<&str> = charge.delta.keys().map(String::as_str).filter(|name| exceeds(name)).collect();
        if charge.given || exceeded.is_empty() {
            return Ok(with);
        }
        Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            charge.quota,
            printed(&exceeded, |name| charge.delta[name]),
            printed(&exceeded, |name| self.used(name, charge)),
            printed(&exceeded, |name| self.hard[name]),
        ))
    }

    pub(super) fn add(&mut self, charge: &Charge) -> Result<(), String> {
        let with = self.with(charge)?;
        self.covered.extend(with.keys().cloned());
        self.charged.extend(with.keys().cloned());
        self.used.extend(with);
        Ok(())
    }

    fn used(&self, resource: &str, charge: &Charge) -> Quantity {
        let used = if self.covers(resource) { &self.used } else { &charge.counted };
        used.get(resource).copied().unwrap_or_default()
    }

    /// Tells what was charged in the quota's status.
    pub fn show(&self, quota: &mut Object) {
        if self.charged.is_empty() {
            return;
        }
        for (field, amounts) in [("hard", &self.hard), ("used", &self.used)] {
            let mut shown = quota.map(&["status", field]).cloned().unwrap_or_default();
            let charged = self.charged.iter().filter_map(|name| amounts.get_key_value(name));
            shown.extend(charged.map(|(name, amount)| (name.clone(), json!(amount.to_string()))));
            quota.set(&["status", field], shown);
        }
    }
}

/// `a=1,b=2`
fn printed(resources: &[&str], amount: impl Fn(&str) -> Quantity) -> String {
    let pairs = resources.iter().map(|name| format!("{name}={}", amount(name)));
    pairs.collect::<Vec<_>>().join(",")
}

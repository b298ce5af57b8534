//! NodeResourcesFit and NodeResourcesBalancedAllocation: requests, never limits, against what is allocatable.

use super::{Filtered, MAX_SCORE};
use crate::nodes::NodeInfo;
use crate::pods::PodInfo;

const FIT: &str = "NodeResourcesFit";

pub fn filter(pod: &PodInfo, node: &NodeInfo) -> Filtered {
    let (asked, has, taken) = (&pod.requests, &node.allocatable, &node.requested);
    let mut reasons = Vec::new();
    let mut unresolvable = false;
    if taken.pods + 1 > has.pods {
        reasons.push("Too many pods".to_owned());
    }
    let mut check = |name: &str, asked: i64, has: i64, taken: i64| {
        if asked > 0 && asked > has - taken {
            reasons.push(format!("Insufficient {name}"));
            unresolvable |= asked > has;
        }
    };
    check("cpu", asked.milli_cpu, has.milli_cpu, taken.milli_cpu);
    check("memory", asked.memory, has.memory, taken.memory);
    check("ephemeral-storage", asked.ephemeral_storage, has.ephemeral_storage, taken.ephemeral_storage);
    for (name, asked) in &asked.others {
        let of = |resources: &std::collections::BTreeMap<String, i64>| resources.get(name).copied().unwrap_or(0);
        check(name, *asked, of(&has.others), of(&taken.others));
    }
    if reasons.is_empty() { Filtered::Fits } else { Filtered::Fails { plugin: FIT, reasons, unresolvable } }
}

/// The more of CPU and memory stays free, the better.
pub fn least_allocated(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let free_share = |asked: i64, has: i64, taken: i64| match has - taken - asked {
        free if free >= 0 && has > 0 => Some(free * MAX_SCORE / has),
        _ if has > 0 => Some(0),
        _ => None,
    };
    let shares: Vec<i64> = [
        free_share(pod.scored.0, node.allocatable.milli_cpu, node.scored.0),
        free_share(pod.scored.1, node.allocatable.memory, node.scored.1),
    ]
    .into_iter()
    .flatten()
    .collect();
    mean(&shares)
}

fn mean(values: &[i64]) -> i64 {
    let count = i64::try_from(values.len()).unwrap_or(1).max(1);
    values.iter().sum::<i64>() / count
}

/// CPU and memory used alike are better than one used up and the other idle.
pub fn balanced_allocation(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let requests = &pod.requests;
    if requests.milli_cpu == 0 && requests.memory == 0 {
        // Best effort: it would change nothing.
        return 0;
    }
    let share = |asked: i64, has: i64, taken: i64| ((taken + asked) as f64 / has.max(1) as f64).min(1.0);
    let cpu = share(requests.milli_cpu, node.allocatable.milli_cpu, node.requested.milli_cpu);
    let memory = share(requests.memory, node.allocatable.memory, node.requested.memory);
    let deviation = (cpu - memory).abs() / 2.0;
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}

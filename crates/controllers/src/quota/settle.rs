//! When a quota may say that less is used.
//!
//! What was charged may not be stored yet, or not be known here: were the count of what is known written at once, two
//! objects could get one place.

use std::time::Duration;

use kinds::quota::Amounts;
use machinery::quantity::Quantity;
use tokio::time::Instant;

/// Longer than it takes from a charge to where its object is known here, or was refused.
pub const SETTLE: Duration = Duration::from_secs(1);

/// What a quota said when less was counted than it says.
pub struct Look {
    pub since: Instant,
    pub used: Amounts,
}

/// What of `counted` may be written to a quota that says `used`. More is at once. Less is once a look at what the quota
/// said has grown old, and then less by as much as was charged since: of that nothing may be known yet.
pub fn settle(used: &Amounts, counted: &Amounts, old: Option<&Amounts>) -> Amounts {
    let settled = counted.iter().map(|(name, counted)| {
        let Some(used) = used.get(name).filter(|used| *used > counted) else { return (name.clone(), *counted) };
        let charged = old.and_then(|old| old.get(name)).map(|old| (*used - *old).max(Quantity::ZERO));
        (name.clone(), charged.map_or(*used, |charged| (*counted + charged).min(*used)))
    });
    settled.collect()
}

#[cfg(test)]
mod tests {
    use kinds::quota::whole;

    use super::*;

    #[test]
    fn less_is_used_only_as_far_as_nothing_can_be_under_way() {
        // What it says, what is counted, what it said a while ago; what it may say.
        for (used, counted, old, expected) in [
            (None, 3, None, 3),
            (Some(2), 3, None, 3),
            (Some(3), 3, None, 3),
            (Some(5), 3, None, 5),
            (Some(5), 3, Some(5), 3),
            (Some(5), 3, Some(4), 4),
            (Some(5), 3, Some(2), 5),
            (Some(5), 3, Some(9), 3),
        ] {
            let amounts = |count: Option<i128>| -> Amounts {
                count.into_iter().map(|count| ("pods".to_owned(), whole(count))).collect()
            };
            let old = old.map(|old| amounts(Some(old)));
            let settled = settle(&amounts(used), &amounts(Some(counted)), old.as_ref());
            assert_eq!(settled, amounts(Some(expected)), "{used:?} {counted} {old:?}");
        }
    }
}

//! Sharing a change of `spec.replicas` among the sets of a rollout that is under way.

use super::decide::SetView;

/// New sizes of the active sets by their place in `sets`: each gets a share that fits its size, the largest
/// gets what rounding leaves. `status_replicas` stands in for sets that were never annotated.
pub fn share(sets: &[SetView], desired: i32, max_surge: i32, status_replicas: i32) -> Vec<(usize, i32)> {
    let mut active: Vec<usize> = (0..sets.len()).filter(|at| sets[*at].wanted > 0).collect();
    let total: i32 = active.iter().map(|at| sets[*at].wanted).sum();
    let allowed = if desired > 0 { desired + max_surge } else { 0 };
    let to_add = allowed - total;
    // Of equal sizes the newer grow first and the older shrink first.
    active.sort_by_key(|at| {
        let age = sets[*at].created.as_nanosecond();
        (-sets[*at].wanted, if to_add > 0 { -age } else { age })
    });
    let mut added = 0;
    let mut sizes = Vec::new();
    for at in active {
        let part = proportion(&sets[at], desired, max_surge, status_replicas, to_add, added);
        added += part;
        sizes.push((at, sets[at].wanted + part));
    }
    if let Some((_, largest)) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    sizes
}

fn proportion(set: &SetView, desired: i32, max_surge: i32, status_replicas: i32, to_add: i32, added: i32) -> i32 {
    let left = to_add - added;
    if left == 0 {
        return 0;
    }
    let part = fraction(set, desired, max_surge, status_replicas);
    if to_add > 0 { part.min(left) } else { part.max(left) }
}

fn fraction(set: &SetView, desired: i32, max_surge: i32, status_replicas: i32) -> i32 {
    if desired == 0 {
        return -set.wanted;
    }
    let before = set.noted_max.filter(|max| *max != 0).unwrap_or(status_replicas);
    if before == 0 {
        return 0;
    }
    let size = f64::from(set.wanted) * f64::from(desired + max_surge) / f64::from(before);
    round(size) - set.wanted
}

/// Half away from zero; sizes are far below the bounds of `i32`.
fn round(size: f64) -> i32 {
    size.round().clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
}

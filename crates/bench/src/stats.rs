//! What a set of samples says.

use std::time::Duration;

/// The sample below or at which `percent` of all are (nearest rank); nothing for no samples.
pub fn percentile(samples: &[Duration], percent: u32) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent.min(100) as usize).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples: &[u64], percent: u32, expected: Option<u64>) {
        let samples: Vec<Duration> = samples.iter().copied().map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, percent), expected.map(Duration::from_millis), "{percent} of {samples:?}");
    }

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        check(&[], 50, None);
        check(&[7], 50, Some(7));
        check(&[7], 99, Some(7));
        check(&[3, 1, 2], 50, Some(2));
        check(&[4, 3, 1, 2], 50, Some(2));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        check(&hundred, 0, Some(1));
        check(&hundred, 50, Some(50));
        check(&hundred, 99, Some(99));
        check(&hundred, 100, Some(100));
        check(&hundred, 200, Some(100));
    }
}

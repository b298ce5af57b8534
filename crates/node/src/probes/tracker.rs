//! Counts a probe's results against its thresholds. Pure.

/// Upstream's defaults.
const SUCCESS_THRESHOLD: u32 = 1;
const FAILURE_THRESHOLD: u32 = 3;

pub struct Tracker {
    success_threshold: u32,
    failure_threshold: u32,
    last: bool,
    /// How many results in a row were as the last one.
    run: u32,
}

impl Tracker {
    pub fn new(success_threshold: Option<i32>, failure_threshold: Option<i32>) -> Tracker {
        let or = |value: Option<i32>, default| value.filter(|value| *value > 0).map_or(default, |value| value as u32);
        Tracker {
            success_threshold: or(success_threshold, SUCCESS_THRESHOLD),
            failure_threshold: or(failure_threshold, FAILURE_THRESHOLD),
            last: false,
            run: 0,
        }
    }

    /// The verdict once as many results in a row agree as its threshold says.
    pub fn take(&mut self, success: bool) -> Option<bool> {
        self.run = if success == self.last { self.run + 1 } else { 1 };
        self.last = success;
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        (self.run >= threshold).then_some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_need_results_in_a_row() {
        let verdicts = |results: &str| -> String {
            let mut tracker = Tracker::new(Some(2), None);
            let show = |verdict| match verdict {
                None => '.',
                Some(true) => '+',
                Some(false) => '-',
            };
            results.chars().map(|c| show(tracker.take(c == '1'))).collect()
        };
        assert_eq!(verdicts("11"), ".+");
        assert_eq!(verdicts("000"), "..-");
        assert_eq!(verdicts("0010001"), ".....-.");
        assert_eq!(verdicts("1101100"), ".+..+..");
    }
}

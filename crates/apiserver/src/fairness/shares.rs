//! How many seats each priority level has, out of those of the server.
//! (upstream: apiserver/pkg/util/flowcontrol/apf_controller.go)

/// What a level's configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    pub nominal: u32,
    pub lendable_percent: u32,
    /// Nothing: no limit.
    pub borrowing_limit_percent: Option<u32>,
}

/// In seats. What lies between `guaranteed` and `nominal` is lent while others want it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    pub nominal: u32,
    pub guaranteed: u32,
    pub most: u32,
}

impl Seats {
    pub fn lendable(self) -> u32 {
        self.nominal - self.guaranteed
    }
}

pub fn seats(total: u32, levels: &[Shares]) -> Vec<Seats> {
    let sum: u64 = levels.iter().map(|level| u64::from(level.nominal)).sum();
    levels.iter().map(|level| of(total, sum.max(1), *level)).collect()
}

/// Shares are as large as who configures them likes: `sum` and the product need the wider type.
fn of(total: u32, sum: u64, shares: Shares) -> Seats {
    let nominal = (u64::from(total) * u64::from(shares.nominal)).div_ceil(sum) as u32;
    let percent = |part: u32| (f64::from(nominal) * f64::from(part) / 100.0).round() as u32;
    let lendable = percent(shares.lendable_percent.min(100));
    let most = shares.borrowing_limit_percent.map_or(total, |part| nominal.saturating_add(percent(part)));
    Seats { nominal, guaranteed: nominal - lendable, most: most.max(nominal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_follow_shares() {
        let level = |nominal, lendable_percent, borrowing_limit_percent| Shares {
            nominal,
            lendable_percent,
            borrowing_limit_percent,
        };
        let levels = [level(30, 33, None), level(100, 90, Some(50)), level(5, 0, Some(0)), level(0, 0, None)];
        let got = seats(600, &levels);
        let shown: Vec<(u32, u32, u32)> = got.iter().map(|of| (of.nominal, of.guaranteed, of.most)).collect();
        assert_eq!(shown, [(134, 90, 600), (445, 44, 668), (23, 23, 23), (0, 0, 600)]);
    }

    #[test]
    fn the_largest_numbers_are_shares_too() {
        let most = i32::MAX as u32;
        let level = Shares { nominal: most, lendable_percent: 100, borrowing_limit_percent: Some(most) };
        let got = seats(600, &[level; 3]);
        assert!(got.iter().all(|of| (of.nominal, of.guaranteed) == (200, 0)), "{got:?}");
    }

    #[test]
    fn without_shares_nobody_has_seats() {
        assert_eq!(seats(600, &[Shares::default()])[0].nominal, 0);
        assert!(seats(600, &[]).is_empty());
    }
}

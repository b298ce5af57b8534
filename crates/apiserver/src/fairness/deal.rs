//! Shuffle sharding: each flow is dealt a hand of queues, so that two flows rarely share all of theirs.
//! (upstream: apiserver/pkg/util/shufflesharding)

/// The hand of a flow with this hash, out of so many queues: as many different queues as the hand is large.
pub fn deal(hash: u64, queues: usize, hand: usize) -> Vec<usize> {
    let mut rest = hash;
    let mut dealt: Vec<usize> = Vec::with_capacity(hand);
    for at in 0..hand.min(queues) {
        let left = (queues - at) as u64;
        let mut card = (rest % left) as usize;
        rest /= left;
        // The card counts among those that are left: pass over each lower one that is dealt already.
        let mut lower: Vec<usize> = dealt.clone();
        lower.sort_unstable();
        for taken in lower {
            card += usize::from(card >= taken);
        }
        dealt.push(card);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_hand_holds_different_queues() {
        for hash in [0, 1, 12_345_678_901, u64::MAX] {
            for (queues, hand) in [(1, 1), (8, 8), (64, 6), (128, 6), (4, 9)] {
                let dealt = deal(hash, queues, hand);
                assert_eq!(dealt.len(), hand.min(queues));
                assert!(dealt.iter().all(|queue| *queue < queues));
                assert_eq!(dealt.iter().collect::<HashSet<_>>().len(), dealt.len(), "{dealt:?}");
            }
        }
    }

    #[test]
    fn every_queue_is_dealt_about_as_often() {
        let mut counts = [0_u32; 16];
        for flow in 0..1600_u64 {
            deal(flow.wrapping_mul(0x9E37_79B9_7F4A_7C15), 16, 4).into_iter().for_each(|queue| counts[queue] += 1);
        }
        assert!(counts.iter().all(|count| (300..500).contains(count)), "{counts:?}");
    }
}

//! `IntOrString` as a count or a share.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    Up,
    Down,
}

/// The count that `value` stands for: itself, or its percentage of `total`.
/// (upstream: apimachinery's GetScaledValueFromIntOrPercent)
pub fn scaled_value(value: &IntOrString, total: i32, round: Round) -> Result<i32, Error> {
    let text = match value {
        IntOrString::Int(count) => return Ok(*count),
        IntOrString::String(text) => text,
    };
    let percent: i64 = text
        .strip_suffix('%')
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Error::Final(format!("invalid value for IntOrString: {text:?} is not a percentage")))?;
    let hundredths = percent * i64::from(total);
    let count = match round {
        Round::Up => hundredths.div_euclid(100) + i64::from(hundredths.rem_euclid(100) > 0),
        Round::Down => hundredths.div_euclid(100),
    };
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_as_asked() {
        let of = |text: &str, total, round| scaled_value(&IntOrString::String(text.to_owned()), total, round).ok();
        assert_eq!(of("25%", 10, Round::Up), Some(3));
        assert_eq!(of("25%", 10, Round::Down), Some(2));
        assert_eq!(of("100%", 7, Round::Up), Some(7));
        assert_eq!(of("7", 10, Round::Up), None);
        assert_eq!(scaled_value(&IntOrString::Int(4), 1, Round::Up).ok(), Some(4));
    }
}

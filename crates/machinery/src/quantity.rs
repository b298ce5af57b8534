//! `resource.Quantity`: exact amounts with a suffix, such as `500m`, `1.5Gi` or `12e6`.
//!
//! Amounts are whole nano-units in 128 bits, never floating point. Smaller fractions are rounded away from
//! zero, as upstream does it.

use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::str::FromStr;

const NANO_DIGITS: i32 = 9;
const NANO: i128 = 1_000_000_000;
const MILLI_IN_NANO: i128 = 1_000_000;

/// Binary amounts are capped here, as upstream caps them.
const BINARY_MAX: i128 = i64::MAX as i128;

const DECIMAL_SUFFIXES: &[(&str, i32)] =
    &[("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// With the number of factors of 1024.
const BINARY_SUFFIXES: &[(&str, u32)] = &[("", 0), ("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];

/// Which suffixes a quantity is printed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySi,
    /// `12M`
    #[default]
    DecimalSi,
}

/// An exact amount. Two that differ in format alone are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    pub const ZERO: Self = Self { nano: 0, format: Format::DecimalSi };

    /// Reads upstream's syntax: sign, digits with or without a point, suffix.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let parts = Parts::split(text)?;
        let scale = Scale::of(parts.suffix).ok_or(ParseError::Suffix)?;
        let nano = parts.nano(scale)?;
        let format = match scale {
            Scale::Binary(_) if 0 < nano && nano < NANO => Format::DecimalSi,
            Scale::Binary(_) => Format::BinarySi,
            Scale::Exponent(_) => Format::DecimalExponent,
            Scale::Decimal(_) => Format::DecimalSi,
        };
        Ok(Self { nano: if parts.negative { -nano } else { nano }, format })
    }

    /// The text that upstream stores for `text`: unchanged where it holds for canonical, else canonical.
    pub fn normalize(text: &str) -> Result<String, ParseError> {
        let text = text.trim();
        let quantity = Self::parse(text)?;
        let parts = Parts::split(text)?;
        let kept = text == "0" || parts.is_kept(Scale::of(parts.suffix).ok_or(ParseError::Suffix)?);
        Ok(if kept { text.to_owned() } else { quantity.to_string() })
    }

    pub fn from_value(value: i128, format: Format) -> Self {
        Self { nano: value.saturating_mul(NANO), format }
    }

    pub fn from_milli(milli: i128, format: Format) -> Self {
        Self { nano: milli.saturating_mul(MILLI_IN_NANO), format }
    }

    /// Whole units, rounded away from zero.
    pub fn value(self) -> i128 {
        divide_up(self.nano, NANO)
    }

    /// Thousandths, rounded away from zero.
    pub fn milli_value(self) -> i128 {
        divide_up(self.nano, MILLI_IN_NANO)
    }

    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    pub fn format(self) -> Format {
        self.format
    }

    fn combined(self, other: Self, nano: i128) -> Self {
        let format = if self.nano == 0 { other.format } else { self.format };
        Self { nano, format }
    }

    fn decimal_text(self, exponent_form: bool) -> String {
        let mut mantissa = self.nano;
        let mut exponent = -NANO_DIGITS;
        while mantissa % 1000 == 0 && (exponent_form || exponent < 18) {
            mantissa /= 1000;
            exponent += 3;
        }
        let suffix = match exponent {
            0 => String::new(),
            _ if exponent_form => format!("e{exponent}"),
            _ => decimal_suffix(exponent).to_owned(),
        };
        format!("{mantissa}{suffix}")
    }

    fn binary_text(self) -> String {
        let mut mantissa = self.nano / NANO;
        let mut factors = 0;
        while mantissa % 1024 == 0 && factors < BINARY_SUFFIXES.len() - 1 {
            mantissa /= 1024;
            factors += 1;
        }
        format!("{mantissa}{}", BINARY_SUFFIXES[factors].0)
    }
}

fn decimal_suffix(exponent: i32) -> &'static str {
    let found = DECIMAL_SUFFIXES.iter().find(|(_, of)| *of == exponent);
    found.expect("exponents from -9 to 18 in steps of three have a suffix").0
}

/// Divides and rounds away from zero.
fn divide_up(value: i128, by: i128) -> i128 {
    let whole = value / by;
    if value % by == 0 { whole } else { whole + value.signum() }
}

/// The pieces of a quantity's text.
struct Parts<'a> {
    negative: bool,
    signed: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

#[derive(Clone, Copy)]
enum Scale {
    /// A power of ten by suffix.
    Decimal(i32),
    /// A power of ten by exponent.
    Exponent(i32),
    /// A power of 1024.
    Binary(u32),
}

impl Scale {
    fn of(suffix: &str) -> Option<Self> {
        if let Some((_, exponent)) = DECIMAL_SUFFIXES.iter().find(|(text, _)| *text == suffix) {
            return Some(Self::Decimal(*exponent));
        }
        if let Some((_, factors)) = BINARY_SUFFIXES.iter().find(|(text, _)| *text == suffix) {
            return Some(Self::Binary(*factors));
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?;
        exponent.parse().ok().map(Self::Exponent)
    }
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, ParseError> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let letters_end = suffix.find(|c| !"eEinumkKMGTP".contains(c)).unwrap_or(suffix.len());
        let exponent = suffix[letters_end..].strip_prefix(['+', '-']).unwrap_or(&suffix[letters_end..]);
        let has_digits = !whole.is_empty() || !fraction.is_empty();
        let well_formed = has_digits && !fraction.contains('.') && exponent.bytes().all(|byte| byte.is_ascii_digit());
        if !well_formed {
            return Err(ParseError::Format);
        }
        let negative = text.starts_with('-');
        Ok(Self { negative, signed: unsigned.len() != text.len(), whole, fraction, suffix })
    }

    /// The absolute amount in nano-units.
    fn nano(&self, scale: Scale) -> Result<i128, ParseError> {
        let fraction = self.fraction.trim_end_matches('0');
        let digits = format!("{}{fraction}", self.whole);
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Ok(0);
        }
        let mantissa: i128 = digits.parse().map_err(|_| ParseError::Numeric)?;
        let places = i32::try_from(fraction.len()).map_err(|_| ParseError::Numeric)?;
        match scale {
            Scale::Decimal(exponent) | Scale::Exponent(exponent) => {
                let shift = exponent.checked_sub(places).and_then(|shift| shift.checked_add(NANO_DIGITS));
                shift_decimal(mantissa, shift.ok_or(ParseError::Numeric)?).ok_or(ParseError::Numeric)
            }
            Scale::Binary(factors) => {
                let limit = BINARY_MAX * NANO;
                let scaled = mantissa.checked_mul(1_i128 << (10 * factors));
                let nano = scaled.and_then(|scaled| shift_decimal(scaled, NANO_DIGITS - places));
                Ok(nano.map_or(limit, |nano| nano.min(limit)))
            }
        }
    }

    /// Whether upstream keeps the text as it is instead of printing it anew.
    fn is_kept(&self, scale: Scale) -> bool {
        let whole = self.whole.trim_start_matches('0');
        let digits = format!("{}{}", if whole.is_empty() { "0" } else { whole }, self.fraction);
        let places = i32::try_from(self.fraction.len()).unwrap_or(i32::MAX);
        let Ok(mantissa) = digits.parse::<i64>() else { return false };
        match scale {
            Scale::Binary(factors) => {
                let precision = 15 - digits.len() as i64 - i64::from(factors) * 3 - 1;
                self.fraction.is_empty() && factors > 0 && precision >= 0 && mantissa & 7 != 0
            }
            Scale::Decimal(exponent) | Scale::Exponent(exponent) => {
                let scale = exponent.saturating_sub(places);
                let in_range = digits.len() <= 18 && scale >= -NANO_DIGITS;
                in_range
                    && scale % 3 == 0
                    && !digits.ends_with("000")
                    && !digits.starts_with('0')
                    && !self.signed_plus()
            }
        }
    }

    /// A plus sign is dropped: no client expects it back.
    fn signed_plus(&self) -> bool {
        self.signed && !self.negative
    }
}

/// `value * 10^shift`, rounded up where digits are lost; nothing on overflow.
fn shift_decimal(value: i128, shift: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(shift.unsigned_abs());
    match power {
        Some(power) if shift >= 0 => value.checked_mul(power),
        Some(power) => Some(divide_up(value, power)),
        None if shift >= 0 => None,
        None => Some(1),
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_small = self.nano.abs() < 1024 * NANO;
        let text = match self.format {
            _ if self.nano == 0 => "0".to_owned(),
            Format::BinarySi if is_small || self.nano % NANO != 0 => self.decimal_text(false),
            Format::BinarySi => self.binary_text(),
            Format::DecimalSi => self.decimal_text(false),
            Format::DecimalExponent => self.decimal_text(true),
        };
        f.pad(&text)
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl Add for Quantity {
    type Output = Self;

    /// Saturates; the format is that of the left side, unless that is zero.
    fn add(self, other: Self) -> Self {
        self.combined(other, self.nano.saturating_add(other.nano))
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.combined(other, self.nano.saturating_sub(other.nano))
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self { nano: self.nano.saturating_neg(), ..self }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        quantities.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).map_or_else(|error| error.to_string(), |quantity| quantity.to_string())
    }

    #[test]
    fn texts_become_canonical() {
        let table = [
            ("0", "0"),
            ("0Ki", "0"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("12E", "12E"),
            ("1000E", "1000E"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("2048Mi", "2Gi"),
            ("1.5Gi", "1536Mi"),
            ("1025Ki", "1025Ki"),
            ("0.5Ki", "512"),
            ("1.1Ki", "1126400m"),
            (".5i", "unable to parse quantity's suffix"),
            ("1000k", "1M"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1500e-3", "1500e-3"),
            ("12e1", "120"),
            ("-1.5", "-1500m"),
            ("+5", "5"),
            ("0.0000000001", "1n"),
            ("1.23456789012", "1234567891n"),
            ("9223372036854775807", "9223372036854775807"),
            ("8Ei", "9223372036854775807"),
        ];
        for (text, expected) in table {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "1.1.M", "1+1.0M", "0.1am", "aoeu", " 1", "1 ", "one"] {
            assert_eq!(Quantity::parse(text), Err(ParseError::Format), "{text}");
        }
        for text in ["1i", "0.1mi", "-3.01i", "-3.01e-", "1e", "1K"] {
            assert_eq!(Quantity::parse(text), Err(ParseError::Suffix), "{text}");
        }
    }

    #[test]
    fn canonical_texts_are_stored_unchanged() {
        let table =
            [("100m", "100m"), ("1.500", "1.500"), ("1000m", "1"), ("1024Mi", "1Gi"), ("0", "0"), ("0.1", "100m")];
        for (text, stored) in table {
            assert_eq!(Quantity::normalize(text).as_deref(), Ok(stored), "{text}");
        }
    }

    #[test]
    fn values_round_away_from_zero() {
        let quantity = |text| Quantity::parse(text).expect("a quantity");
        assert_eq!((quantity("1500m").value(), quantity("-1500m").value()), (2, -2));
        assert_eq!(quantity("1500u").milli_value(), 2);
        assert_eq!((quantity("1Gi") + quantity("512Mi")).to_string(), "1536Mi");
        assert_eq!((quantity("0") + quantity("1Gi")).to_string(), "1Gi");
        assert_eq!((quantity("1") - quantity("100m")).to_string(), "900m");
        assert!(quantity("1Ki") > quantity("1k"));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_keep_the_amount(milli in -1_000_000_000_000_000_i64..1_000_000_000_000_000, binary: bool) {
            let format = if binary { Format::BinarySi } else { Format::DecimalSi };
            let quantity = Quantity::from_milli(milli.into(), format);
            let again = Quantity::parse(&quantity.to_string()).expect("printed by us");
            prop_assert_eq!(again, quantity);
            prop_assert_eq!(again.to_string(), quantity.to_string());
        }
    }
}

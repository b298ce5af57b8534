//! Semantic versions, as semver.org has them.

use std::cmp::Ordering;

use crate::strconv::parse_uint;

/// Ordered as versions are; what it was built from does not matter. The default is 0.0.0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Major, minor, patch.
    pub numbers: [u64; 3],
    prerelease: Vec<Identifier>,
}

/// Numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Version {
    /// The version that a text is.
    ///
    /// # Errors
    /// In the words of upstream's library, github.com/blang/semver.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts.as_slice() else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (rest, build) = split_at(rest, '+');
        let (patch, prerelease) = split_at(rest, '-');
        let numbers = [
            parse_number(major, "major", "Major")?,
            parse_number(minor, "minor", "Minor")?,
            parse_number(patch, "patch", "Patch")?,
        ];
        let prerelease =
            prerelease.map(|text| text.split('.').map(identifier).collect()).transpose()?.unwrap_or_default();
        for part in build.into_iter().flat_map(|build| build.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !part.chars().all(is_identifier) {
                return Err(format!("Invalid character(s) found in build meta data {part:?}"));
            }
        }
        Ok(Self { numbers, prerelease })
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.prerelease.cmp(&other.prerelease),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn split_at(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

fn parse_number(text: &str, name: &str, title: &str) -> Result<u64, String> {
    if !text.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {name} number {text:?}"));
    }
    if has_leading_zeroes(text) {
        return Err(format!("{title} number must not contain leading zeroes {text:?}"));
    }
    parse_uint(text)
}

fn has_leading_zeroes(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

fn is_identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

fn identifier(text: &str) -> Result<Identifier, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if text.chars().all(|c| c.is_ascii_digit()) {
        if has_leading_zeroes(text) {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {text:?}"));
        }
        return parse_uint(text).map(Identifier::Number);
    }
    if !text.chars().all(is_identifier) {
        return Err(format!("Invalid character(s) found in prerelease {text:?}"));
    }
    Ok(Identifier::Word(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        let rising =
            ["0.9.10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.b", "1.0.0-rc.9", "1.0.0-rc.10", "1.0.0", "1.0.1"];
        let versions: Vec<Version> = rising.iter().map(|text| Version::parse(text).unwrap()).collect();
        assert!(versions.is_sorted_by(|before, after| before < after));
        assert_eq!(Version::parse("1.2.3+a"), Version::parse("1.2.3+b"));
        assert!(["1.2", "01.2.3", "1.2.x", "v1.2.3", "1.2.3-"].iter().all(|text| Version::parse(text).is_err()));
    }
}

//! Sets of completion indexes in their text form: `0,2-5`.

use std::collections::BTreeSet;
use std::fmt::Write;

/// Reads `text`; parts that are not numbers are left out.
pub fn parse(text: &str) -> BTreeSet<i32> {
    let ranges = text.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<i32>().ok()?..=last.trim().parse::<i32>().ok()?)
    });
    ranges.flatten().collect()
}

/// Three or more neighbours become a range.
pub fn print(indexes: &BTreeSet<i32>) -> String {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => ranges.push((*index, *index)),
        }
    }
    let mut text = String::new();
    for (first, last) in ranges {
        let comma = if text.is_empty() { "" } else { "," };
        let written = match last - first {
            0 => write!(text, "{comma}{first}"),
            1 => write!(text, "{comma}{first},{last}"),
            _ => write!(text, "{comma}{first}-{last}"),
        };
        written.expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_printed_as_ranges() {
        assert_eq!(print(&BTreeSet::from([0, 2, 3, 5, 6, 7])), "0,2,3,5-7");
        assert_eq!(parse("0,2,3,5-7"), BTreeSet::from([0, 2, 3, 5, 6, 7]));
        assert_eq!(print(&BTreeSet::new()), "");
        assert!(parse("").is_empty());
    }
}

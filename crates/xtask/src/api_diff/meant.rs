//! Differences that are meant: lines with `*` for any text, each group under its reason.

pub struct Meant {
    patterns: Vec<(&'static str, bool)>,
}

impl Meant {
    /// Lines that begin with `#` give reasons.
    pub fn parse(text: &'static str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { patterns: lines.map(|line| (line, false)).collect() }
    }

    /// Whether a pattern covers the difference; remembers that the pattern is of use.
    pub fn covers(&mut self, difference: &str) -> bool {
        let pattern = self.patterns.iter_mut().find(|(pattern, _)| matches(pattern, difference));
        pattern.map(|(_, used)| *used = true).is_some()
    }

    pub fn unused(&self) -> Vec<&'static str> {
        self.patterns.iter().filter(|(_, used)| !used).map(|(pattern, _)| *pattern).collect()
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let mut places = text.char_indices().map(|(place, _)| place).chain([text.len()]);
    places.any(|place| matches(rest, &text[place..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        assert!(matches("a*c*", "abcd") && matches("*", "") && matches("a", "a"));
        assert!(!matches("a*c", "abd") && !matches("a", "ab"));
    }

    #[test]
    fn patterns_of_no_use_are_told() {
        let mut meant = Meant::parse("# why\noperation *: missing\n\ndefinition A: extra\n");
        assert!(meant.covers("operation GET /a: missing") && !meant.covers("operation GET /a: extra"));
        assert_eq!(meant.unused(), ["definition A: extra"]);
    }
}

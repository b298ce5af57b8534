//! Field selectors: `metadata.name=web,status.phase!=Running`.

use std::fmt;

use super::Error;

/// All requirements must hold. Without any it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    pub field: String,
    pub value: String,
    /// Whether the field must be the value, or must not.
    pub equals: bool,
}

impl FieldSelector {
    /// Reads the syntax of `?fieldSelector=`; an empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut terms: Vec<&str> = split_terms(text).into_iter().filter(|term| !term.is_empty()).collect();
        terms.sort_unstable();
        let unknown = |term| Error(format!("invalid selector: '{text}'; can't understand '{term}'"));
        let requirements = terms.into_iter().map(|term| split_term(term).ok_or_else(|| unknown(term))?);
        Ok(Self { requirements: requirements.collect::<Result<_, _>>()? })
    }

    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether fields match; a field that `lookup` does not know is an empty text.
    pub fn matches(&self, lookup: &dyn Fn(&str) -> Option<String>) -> bool {
        let holds = |requirement: &FieldRequirement| {
            (lookup(&requirement.field).unwrap_or_default() == requirement.value) == requirement.equals
        };
        self.requirements.iter().all(holds)
    }

    /// The value that the field must have, if the selector says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        let found = self.requirements.iter().find(|requirement| requirement.equals && requirement.field == field);
        found.map(|requirement| requirement.value.as_str())
    }
}

impl From<Vec<FieldRequirement>> for FieldSelector {
    fn from(requirements: Vec<FieldRequirement>) -> Self {
        Self { requirements }
    }
}

/// Parts at commas that no backslash stands before.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if c == ',' && !escaped {
            terms.push(&text[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(&text[start..]);
    terms
}

/// Parts at the first operator; nothing if there is none.
fn split_term(term: &str) -> Option<Result<FieldRequirement, Error>> {
    let at = term.char_indices().map(|(at, _)| at).find(|at| operator(&term[*at..]).is_some())?;
    let (symbol, equals) = operator(&term[at..])?;
    let value = unescape(&term[at + symbol.len()..]);
    Some(value.map(|value| FieldRequirement { field: term[..at].to_owned(), value, equals }))
}

fn operator(text: &str) -> Option<(&'static str, bool)> {
    [("!=", false), ("==", true), ("=", true)].into_iter().find(|(symbol, _)| text.starts_with(symbol))
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                next => {
                    let sequence: String = std::iter::once('\\').chain(next).collect();
                    return Err(Error(format!("invalid field selector: invalid escape sequence: {sequence}")));
                }
            },
            ',' | '=' => return Err(Error(format!("invalid field selector: unescaped character in value: {c}"))),
            _ => plain.push(c),
        }
    }
    Ok(plain)
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |requirement: &FieldRequirement| {
            let symbol = if requirement.equals { "=" } else { "!=" };
            format!("{}{symbol}{}", requirement.field, escape(&requirement.value))
        };
        f.write_str(&self.requirements.iter().map(text).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, printed: &str) {
        let answer = FieldSelector::parse(text).map_or_else(|error| error.to_string(), |selector| selector.to_string());
        assert_eq!(answer, printed, "{text}");
    }

    #[test]
    fn selectors_are_read_and_printed() {
        check("", "");
        check("b=2,a==1", "a=1,b=2");
        check("a!=1", "a!=1");
        check("a=", "a=");
        check(r"a=1\,2\=3\\", r"a=1\,2\=3\\");
        check("a", "invalid selector: 'a'; can't understand 'a'");
        check("a=b=c", "invalid field selector: unescaped character in value: =");
        check(r"a=\x", r"invalid field selector: invalid escape sequence: \x");
    }

    #[test]
    fn fields_match() {
        let selector = FieldSelector::parse("metadata.name=web,status.phase!=Running").expect("a selector");
        let pod = |phase: &'static str| {
            move |field: &str| (if field == "metadata.name" { Some("web") } else { Some(phase) }).map(str::to_owned)
        };
        assert!(selector.matches(&pod("Pending")));
        assert!(!selector.matches(&pod("Running")));
        assert_eq!((selector.exact("metadata.name"), selector.exact("status.phase")), (Some("web"), None));
    }
}

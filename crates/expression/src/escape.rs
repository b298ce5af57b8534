//! Names of properties that are no identifiers: `a-b` is written `a__dash__b`.

use std::borrow::Cow;

const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

const SEQUENCES: &[(&str, &str)] =
    &[("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];

/// Whether a variable may be called `name`.
pub fn is_identifier(name: &str) -> bool {
    let first = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    first && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) && !RESERVED.contains(&name)
}

/// How an expression writes the property `name`; none if it cannot.
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let length = match SEQUENCES.iter().find(|(plain, _)| rest.starts_with(plain)) {
            Some((plain, sequence)) => {
                escaped.push_str(sequence);
                plain.len()
            }
            None if first.is_ascii_alphanumeric() || first == '_' => {
                escaped.push(first);
                1
            }
            None => return None,
        };
        rest = &rest[length..];
    }
    Some(escaped)
}

/// The property that an expression writes as `escaped`; none if there is no such.
pub fn unescape(escaped: &str) -> Option<Cow<'_, str>> {
    if !escaped.contains("__") {
        return Some(Cow::Borrowed(escaped));
    }
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find("__") {
        let inner = &rest[at + 2..];
        let length = inner.find('_').unwrap_or(inner.len());
        if length == 0 || !inner[length..].starts_with("__") {
            // No sequence begins here, perhaps one character on.
            name.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
            continue;
        }
        name.push_str(&rest[..at]);
        let word = &rest[at..at + length + 4];
        match SEQUENCES.iter().find(|(_, sequence)| *sequence == word) {
            Some((plain, _)) => name.push_str(plain),
            None if RESERVED.contains(&&inner[..length]) && word == escaped => name.push_str(&inner[..length]),
            None => return None,
        }
        rest = &inner[length + 2..];
    }
    name.push_str(rest);
    Some(Cow::Owned(name))
}

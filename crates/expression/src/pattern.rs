//! Regular expressions in Go's syntax, carried out by the `regex` crate.

use std::fmt::Write;

use regex::{Regex, RegexBuilder};

use crate::error::Error;
use crate::value::{Foreign, Value};

/// Bytes of a compiled pattern, and of the cache that matching it may fill.
const SIZE_MAX: usize = 1 << 20;

#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// Characters of its text.
    size: u64,
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, Error> {
        let fault = |reason: String| Error::failed(format!("error parsing regexp: {reason}"));
        let translated = translate(text).map_err(|reason| fault(format!("{reason}: `{text}`")))?;
        let built =
            RegexBuilder::new(&translated).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).nest_limit(250).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => fault(format!("expression too large: `{text}`")),
            other => fault(last_line(&other.to_string())),
        })?;
        Ok(Self { regex, size: text.chars().count() as u64 })
    }

    pub fn regex(&self) -> &Regex {
        &self.regex
    }
}

/// What the crate says of a fault, without the picture above it.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

impl Foreign for Pattern {
    fn type_name(&self) -> &'static str {
        "pattern"
    }

    fn equals(&self, _: &dyn Foreign) -> bool {
        false
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Calls `with` on the pattern that `value` is or has the text of.
pub fn with_pattern<T>(value: &Value<'_>, with: impl FnOnce(&Regex) -> T) -> Result<T, Error> {
    match value {
        Value::String(text) => Ok(with(Pattern::new(text)?.regex())),
        value => value.downcast::<Pattern>().map(|pattern| with(&pattern.regex)).ok_or(Error::NoOverload),
    }
}

/// In Go, `\d`, `\w`, `\s` and `\b` mean ASCII, and brackets and `&&` in a class mean themselves.
fn translate(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    let mut in_class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let escaped = rest.next().ok_or("trailing backslash at end of expression")?;
                if escaped == 'Q' {
                    quote(&mut rest, &mut out);
                } else {
                    escape(escaped, in_class, &mut out);
                }
            }
            '[' if in_class && rest.peek() == Some(&':') => posix_class(&mut rest, &mut out),
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

type Characters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

/// Takes all up to `\E` for itself.
fn quote(rest: &mut Characters<'_>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

fn posix_class(rest: &mut Characters<'_>, out: &mut String) {
    out.push('[');
    for c in rest.by_ref() {
        out.push(c);
        if c == ']' {
            return;
        }
    }
}

fn escape(escaped: char, in_class: bool, out: &mut String) {
    let class = match escaped {
        'd' | 'D' => "0-9",
        'w' | 'W' => "0-9A-Za-z_",
        's' | 'S' => "\\t\\n\\f\\r ",
        'b' | 'B' if !in_class => {
            let _ = write!(out, "(?-u:\\{escaped})");
            return;
        }
        other => {
            out.push('\\');
            out.push(other);
            return;
        }
    };
    match (escaped.is_ascii_uppercase(), in_class) {
        (false, true) => out.push_str(class),
        (false, false) => out.extend(["[", class, "]"]),
        (true, _) => out.extend(["[^", class, "]"]),
    }
}

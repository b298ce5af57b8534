//! Regular expressions in Go's syntax, carried out by the `regex` crate.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::slice;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, ErrorKind, RepetitionKind, RepetitionRange};

use crate::error::Error;
use crate::meter::Meter;
use crate::value::{Foreign, Value};

/// Bytes of a compiled pattern of an expression, and of the cache that matching it may fill.
const SIZE_MAX: usize = 1 << 20;
/// How deep groups may be within each other.
const NEST_MAX: u32 = 250;
/// Of one that is compiled in no time.
const SMALL_MAX: usize = SIZE_MAX / 16;
/// Steps that it takes to compile a small one, and one of the other.
const STEPS: usize = 8 << 10;
const STEPS_LARGE: usize = STEPS * 32;
/// Those that one evaluation made and may need again.
const KEPT_MAX: usize = 64;

#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// Characters of its text.
    size: u64,
}

/// Why a text is no pattern.
enum Fault {
    /// It takes more bytes than it may.
    TooLarge,
    Syntax(String),
}

impl Fault {
    /// In Go's words.
    fn told(self, text: &str) -> String {
        match self {
            Self::TooLarge => format!("error parsing regexp: expression too large: `{text}`"),
            Self::Syntax(why) => format!("error parsing regexp: {why}"),
        }
    }
}

/// Compiles a pattern in Go's syntax to so many bytes at most. The error is worded as Go's.
pub fn compile(text: &str, size_max: usize) -> Result<Regex, String> {
    build(text, size_max).map_err(|fault| fault.told(text))
}

fn build(text: &str, size_max: usize) -> Result<Regex, Fault> {
    let translated = translate(text).map_err(Fault::Syntax)?;
    repetitions(&translated).map_err(Fault::Syntax)?;
    let mut builder = RegexBuilder::new(&translated);
    builder.size_limit(size_max).dfa_size_limit(size_max).nest_limit(NEST_MAX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Fault::TooLarge,
        other => Fault::Syntax(syntax_fault(text, &translated).unwrap_or_else(|| last_line(&other.to_string()))),
    })
}

/// What Go says of a text that is no pattern.
fn syntax_fault(text: &str, translated: &str) -> Option<String> {
    let error = Parser::new().parse(translated).err()?;
    let (start, end) = (error.span().start.offset, error.span().end.offset);
    let (here, from_here) = (&translated[start..end], &translated[start..]);
    let (why, what) = match error.kind() {
        ErrorKind::ClassUnclosed => ("missing closing ]", from_here),
        ErrorKind::ClassRangeInvalid => ("invalid character class range", here),
        ErrorKind::GroupUnclosed => ("missing closing )", text),
        ErrorKind::GroupUnopened => ("unexpected )", text),
        ErrorKind::RepetitionMissing => ("missing argument to repetition operator", &from_here[..1]),
        ErrorKind::EscapeUnrecognized | ErrorKind::UnsupportedBackreference => ("invalid escape sequence", here),
        ErrorKind::UnsupportedLookAround => ("invalid or unsupported Perl syntax", here),
        ErrorKind::NestLimitExceeded(_) => ("expression nests too deeply", text),
        _ => return None,
    };
    Some(format!("{why}: `{what}`"))
}

/// How often something may be repeated, by repetitions within each other too. (upstream: Go's regexp/syntax)
const REPEATED_MAX: u32 = 1000;

/// What Go says of repetitions that the crate would take.
fn repetitions(translated: &str) -> Result<(), String> {
    // What is no pattern at all is told by who compiles it.
    Parser::new().parse(translated).map_or(Ok(()), |ast| check_repetitions(&ast, translated))
}

fn check_repetitions(ast: &Ast, text: &str) -> Result<(), String> {
    parts(ast).iter().try_for_each(|part| check_repetitions(part, text))?;
    let Ast::Repetition(repetition) = ast else { return Ok(()) };
    let operator = &repetition.op.span;
    if let Ast::Repetition(inner) = &*repetition.ast {
        let both = &text[inner.op.span.start.offset..operator.end.offset];
        return Err(format!("invalid nested repetition operator: `{both}`"));
    }
    if repeats_within(ast, REPEATED_MAX) {
        return Ok(());
    }
    Err(format!("invalid repeat count: `{}`", &text[operator.start.offset..operator.end.offset]))
}

fn repeats_within(ast: &Ast, most: u32) -> bool {
    let times = match ast {
        Ast::Repetition(of) => match &of.op.kind {
            RepetitionKind::Range(
                RepetitionRange::Exactly(times) | RepetitionRange::AtLeast(times) | RepetitionRange::Bounded(_, times),
            ) => *times,
            _ => 1,
        },
        _ => 1,
    };
    times <= most && parts(ast).iter().all(|part| repeats_within(part, most / times.max(1)))
}

fn parts(ast: &Ast) -> &[Ast] {
    match ast {
        Ast::Repetition(of) => slice::from_ref(&*of.ast),
        Ast::Group(of) => slice::from_ref(&*of.ast),
        Ast::Alternation(of) => &of.asts,
        Ast::Concat(of) => &of.asts,
        _ => &[],
    }
}

/// The patterns that an evaluation has compiled, by their texts.
#[derive(Debug, Default)]
pub struct Patterns(RefCell<HashMap<String, Arc<Pattern>>>);

impl Patterns {
    /// Compiles what is not known yet, for which the meter counts steps: upstream's measure leaves that work out.
    fn get(&self, text: &str, meter: &Meter) -> Result<Arc<Pattern>, Error> {
        if let Some(known) = self.0.borrow().get(text) {
            return Ok(known.clone());
        }
        meter.step(STEPS)?;
        let pattern = match build(text, SMALL_MAX) {
            Ok(regex) => Pattern::of(regex, text),
            Err(Fault::TooLarge) => {
                meter.step(STEPS_LARGE)?;
                Pattern::new(text)?
            }
            Err(fault) => return Err(Error::failed(fault.told(text))),
        };
        let mut kept = self.0.borrow_mut();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        Ok(kept.entry(text.to_owned()).or_insert(Arc::new(pattern)).clone())
    }
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, Error> {
        compile(text, SIZE_MAX).map(|regex| Self::of(regex, text)).map_err(Error::failed)
    }

    fn of(regex: Regex, text: &str) -> Self {
        Self { regex, size: text.chars().count() as u64 }
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
pub fn with_pattern<T>(meter: &Meter, value: &Value<'_>, with: impl FnOnce(&Regex) -> T) -> Result<T, Error> {
    match value {
        Value::String(text) => Ok(with(meter.patterns.get(text, meter)?.regex())),
        value => value.downcast::<Pattern>().map(|pattern| with(&pattern.regex)).ok_or(Error::NoOverload),
    }
}

/// In Go, `\d`, `\w`, `\s` and `\b` mean ASCII, brackets and `&&` in a class mean themselves, and so does a brace that
/// begins no count.
fn translate(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    let mut in_class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let escaped = rest.next().ok_or("trailing backslash at end of expression: ``")?;
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
            '{' if !in_class => {
                let digits = rest.clone().take_while(|c| c.is_ascii_digit() || [',', '}'].contains(c));
                let behind: String = digits.collect();
                let count = count(&behind);
                out.push_str(if count.is_some() { "{" } else { "\\{" });
                if let Some((count, false)) = count {
                    return Err(format!("invalid repeat count: `{{{count}`"));
                }
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

/// The count that a brace begins, up to the brace that ends it, and whether it is one by which something may be repeated;
/// nothing where the brace means itself.
fn count(behind: &str) -> Option<(&str, bool)> {
    let (inner, _) = behind.split_once('}')?;
    let (least, most) = inner.split_once(',').map_or((inner, inner), |(least, most)| (least, most));
    let is_number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() && (text == "0" || !text.starts_with('0'))
    };
    if !is_number(least) || !(is_number(most) || most.is_empty()) {
        return None;
    }
    let number = |text: &str| text.parse().unwrap_or(u32::MAX);
    let (least, most) = (number(least), if most.is_empty() { None } else { Some(number(most)) });
    let holds = least <= REPEATED_MAX && most.is_none_or(|most| least <= most && most <= REPEATED_MAX);
    Some((&behind[..=inner.len()], holds))
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

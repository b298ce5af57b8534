//! Splits the text of an expression into tokens.

use crate::source::{Issues, Offset};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Identifier,
    /// An identifier between backticks.
    Escaped,
    Int,
    Uint,
    Float,
    String,
    Bytes,
    /// Operators, brackets, and the words `in`, `true`, `false` and `null`.
    Symbol,
    End,
}

#[derive(Clone, Copy, Debug)]
pub struct Token<'t> {
    pub kind: TokenKind,
    pub text: &'t str,
    pub offset: Offset,
}

const SYMBOLS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%",
];
const WORDS: &[&str] = &["in", "true", "false", "null"];

/// All tokens, with one `End` behind them. What is no token is reported and passed over.
pub fn tokens<'t>(text: &'t str, issues: &mut Issues) -> Vec<Token<'t>> {
    let mut lexer = Lexer { rest: text, offset: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let offset = lexer.offset;
        if lexer.rest.is_empty() {
            tokens.push(Token { kind: TokenKind::End, text: "<EOF>", offset });
            return tokens;
        }
        match recognize(lexer.rest) {
            Some((kind, length)) => tokens.push(Token { kind, text: lexer.take(length), offset }),
            None => {
                let text = lexer.take(fault_length(lexer.rest));
                issues.report(offset, format!("Syntax error: token recognition error at: '{}'", escaped(text)));
            }
        }
    }
}

struct Lexer<'t> {
    rest: &'t str,
    offset: Offset,
}

impl<'t> Lexer<'t> {
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.offset += taken.chars().count() as Offset;
        taken
    }

    fn skip_space(&mut self) {
        loop {
            let space = prefix(self.rest, |c| matches!(c, '\t' | ' ' | '\r' | '\n' | '\u{c}'));
            let comment =
                if self.rest[space..].starts_with("//") { prefix(&self.rest[space..], |c| c != '\n') } else { 0 };
            if space + comment == 0 {
                return;
            }
            self.take(space + comment);
        }
    }
}

/// The kind and length in bytes of the token that `text` begins with.
fn recognize(text: &str) -> Option<(TokenKind, usize)> {
    if let Some(found) = number(text).or_else(|| quoted(text)) {
        return Some(found);
    }
    let word = prefix(text, |c| c.is_ascii_alphanumeric() || c == '_');
    if word > 0 {
        let kind = if WORDS.contains(&&text[..word]) { TokenKind::Symbol } else { TokenKind::Identifier };
        return Some((kind, word));
    }
    if let Some(rest) = text.strip_prefix('`') {
        let inner = prefix(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' '));
        return (inner > 0 && rest[inner..].starts_with('`')).then_some((TokenKind::Escaped, inner + 2));
    }
    SYMBOLS.iter().find(|symbol| text.starts_with(**symbol)).map(|symbol| (TokenKind::Symbol, symbol.len()))
}

fn number(text: &str) -> Option<(TokenKind, usize)> {
    if let Some(hex) = text.strip_prefix("0x") {
        let digits = prefix(hex, |c| c.is_ascii_hexdigit());
        if digits > 0 {
            return Some(with_unsigned(text, digits + 2));
        }
    }
    let digits = prefix(text, |c| c.is_ascii_digit());
    let mut length = digits;
    if let Some(fraction) = text[length..].strip_prefix('.') {
        let fraction = prefix(fraction, |c| c.is_ascii_digit());
        length += if fraction > 0 { fraction + 1 } else { 0 };
    }
    if length == 0 {
        return None;
    }
    length += exponent(&text[length..]);
    if length == digits { Some(with_unsigned(text, digits)) } else { Some((TokenKind::Float, length)) }
}

fn with_unsigned(text: &str, length: usize) -> (TokenKind, usize) {
    match text[length..].starts_with(['u', 'U']) {
        true => (TokenKind::Uint, length + 1),
        false => (TokenKind::Int, length),
    }
}

fn exponent(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else { return 0 };
    let sign = usize::from(rest.starts_with(['+', '-']));
    match prefix(&rest[sign..], |c| c.is_ascii_digit()) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

fn quoted(text: &str) -> Option<(TokenKind, usize)> {
    let bytes = usize::from(text.starts_with(['b', 'B']));
    let raw = usize::from(text[bytes..].starts_with(['r', 'R']));
    let body = &text[bytes + raw..];
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote))?;
    let inner = quoted_length(&body[quote.len()..], quote, raw == 1);
    let (quote, inner) = match inner {
        Some(inner) => (quote, inner),
        // `""` followed by a quote of something else is an empty string.
        None if quote.len() == 3 => (&quote[..1], 0),
        None => return None,
    };
    let kind = if bytes == 1 { TokenKind::Bytes } else { TokenKind::String };
    Some((kind, bytes + raw + 2 * quote.len() + inner))
}

/// How long the text before the closing quote is; none without one, or with an escape that is none.
fn quoted_length(body: &str, quote: &str, raw: bool) -> Option<usize> {
    let mut at = 0;
    while !body[at..].starts_with(quote) {
        let next = body[at..].chars().next()?;
        at += match next {
            '\\' if !raw => escape_length(&body[at + 1..])? + 1,
            '\n' | '\r' if quote.len() == 1 => return None,
            _ => next.len_utf8(),
        };
    }
    Some(at)
}

/// The length of what follows a backslash.
fn escape_length(text: &str) -> Option<usize> {
    let digits = |count: usize, radix: u32| {
        let found = text.chars().skip(1).take(count).filter(|c| c.is_digit(radix)).count();
        (found == count).then_some(count + 1)
    };
    match text.chars().next()? {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`' => Some(1),
        'x' | 'X' => digits(2, 16),
        'u' => digits(4, 16),
        'U' => digits(8, 16),
        '0'..='3' => digits(2, 8),
        _ => None,
    }
}

/// How much of `text`, which begins no token, one report covers: all up to the character that cannot follow.
fn fault_length(text: &str) -> usize {
    let mut rest = text.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
    let Some((first, c)) = rest.next() else { return 0 };
    match c {
        '"' | '\'' => quoted_fault_length(text, first),
        '|' | '&' | '=' => rest.next().map_or(first, |(second, _)| second),
        _ => first,
    }
}

/// Of a string that does not end, or has an escape that is none.
fn quoted_fault_length(text: &str, first: usize) -> usize {
    let mut at = first;
    while let Some(c) = text[at..].chars().next() {
        at += c.len_utf8();
        match c {
            '\n' | '\r' => return at,
            '\\' => match escape_length(&text[at..]) {
                Some(length) => at += length,
                None => return at + escape_fault_length(&text[at..]),
            },
            _ => {}
        }
    }
    at
}

fn escape_fault_length(text: &str) -> usize {
    let digits = match text.chars().next() {
        Some('x' | 'X' | 'u' | 'U') => 1 + prefix(&text[1..], |c| c.is_ascii_hexdigit()),
        Some('0'..='3') => prefix(text, |c| c.is_digit(8)),
        _ => 0,
    };
    digits + text[digits..].chars().next().map_or(0, char::len_utf8)
}

fn escaped(text: &str) -> String {
    text.replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r")
}

/// The length in bytes of the longest beginning whose characters all pass.
fn prefix(text: &str, passes: impl Fn(char) -> bool) -> usize {
    text.find(|c| !passes(c)).unwrap_or(text.len())
}

/// The value of a string literal, quotes and all; of the characters of a bytes literal if `bytes`.
pub fn unquote(text: &str, bytes: bool) -> Result<Vec<u8>, &'static str> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let raw = text.starts_with(['r', 'R']);
    let body = if raw { &text[1..] } else { &text };
    let quote = if body.len() >= 6 && (body.starts_with("'''") || body.starts_with("\"\"\"")) { 3 } else { 1 };
    let inner = &body[quote..body.len() - quote];
    if raw { Ok(inner.as_bytes().to_vec()) } else { unescape(inner, bytes) }
}

fn unescape(text: &str, bytes: bool) -> Result<Vec<u8>, &'static str> {
    const UNABLE: &str = "unable to unescape string";
    let mut value = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        value.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let length = escape_length(escape).ok_or(UNABLE)?;
        let (digits, radix) = match escape.as_bytes()[0] {
            b'u' | b'U' if bytes => return Err(UNABLE),
            b'x' | b'X' | b'u' | b'U' => (&escape[1..length], 16),
            b'0'..=b'3' => (&escape[..length], 8),
            simple => {
                value.push(simple_escape(simple));
                rest = &escape[length..];
                continue;
            }
        };
        let code = u32::from_str_radix(digits, radix).map_err(|_| UNABLE)?;
        match u8::try_from(code) {
            Ok(byte) if bytes => value.push(byte),
            _ => {
                let character = char::from_u32(code).ok_or("invalid unicode code point")?;
                value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = &escape[length..];
    }
    value.extend_from_slice(rest.as_bytes());
    Ok(value)
}

fn simple_escape(letter: u8) -> u8 {
    match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    }
}

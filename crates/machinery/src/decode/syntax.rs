//! What is wrong with bytes that are no JSON, in the words of Go's scanner.

use serde_json::Value;

/// Lists and objects within each other that Go's scanner takes.
const DEPTH_MAX: usize = 10_000;

/// What the scanner waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    /// All of a value is read.
    After,
    Text,
    Escape,
    Hex(u8),
    /// A word, and how much of it is read.
    Word(&'static str, usize),
    Minus,
    Zero,
    Digits,
    Dot,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

struct Scanner {
    state: State,
    /// Of each list and object that is open, whether it is an object.
    open: Vec<bool>,
    in_key: bool,
}

/// Why these bytes are no JSON; nothing if they are, as far as the scanner looks.
pub(super) fn syntax_error(bytes: &[u8]) -> Option<String> {
    let mut scanner = Scanner { state: State::Value, open: Vec::new(), in_key: false };
    // The end is to Go's scanner what a blank is.
    let read = bytes.iter().chain(b" ").try_for_each(|byte| scanner.step(*byte));
    match read {
        Err(why) => Some(why),
        Ok(()) if scanner.state == State::After && scanner.open.is_empty() => None,
        Ok(()) => Some("unexpected end of JSON input".to_owned()),
    }
}

impl Scanner {
    fn step(&mut self, byte: u8) -> Result<(), String> {
        use State::*;
        let is_blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        if is_blank && matches!(self.state, Value | ValueOrEnd | Key | KeyOrEnd | Colon | After) {
            return Ok(());
        }
        self.state = match (self.state, byte) {
            (Value | ValueOrEnd, b'{') => self.begin(true, byte)?,
            (Value | ValueOrEnd, b'[') => self.begin(false, byte)?,
            (ValueOrEnd, b']') | (KeyOrEnd, b'}') => self.end(),
            (Value | ValueOrEnd, b'"') => self.text(false),
            (Value | ValueOrEnd, b'-') => Minus,
            (Value | ValueOrEnd | Minus, b'0') => Zero,
            (Value | ValueOrEnd | Minus, b'1'..=b'9') => Digits,
            (Value | ValueOrEnd, b't') => Word("true", 1),
            (Value | ValueOrEnd, b'f') => Word("false", 1),
            (Value | ValueOrEnd, b'n') => Word("null", 1),
            (Value | ValueOrEnd, _) => return Err(unexpected(byte, "looking for beginning of value")),
            (Key | KeyOrEnd, b'"') => self.text(true),
            (Key | KeyOrEnd, _) => return Err(unexpected(byte, "looking for beginning of object key string")),
            (Colon, b':') => Value,
            (Colon, _) => return Err(unexpected(byte, "after object key")),
            (After, _) => self.after(byte)?,
            (Text, b'"') if self.in_key => Colon,
            (Text, b'"') => After,
            (Text, b'\\') => Escape,
            (Text, 0..0x20) => return Err(unexpected(byte, "in string literal")),
            (Text, _) => Text,
            (Escape, b'u') => Hex(4),
            (Escape, b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => Text,
            (Escape, _) => return Err(unexpected(byte, "in string escape code")),
            (Hex(1), _) if byte.is_ascii_hexdigit() => Text,
            (Hex(left), _) if byte.is_ascii_hexdigit() => Hex(left - 1),
            (Hex(_), _) => return Err(unexpected(byte, "in \\u hexadecimal character escape")),
            (Word(word, at), _) => match word.as_bytes()[at] {
                wanted if wanted != byte => {
                    let place = format!("in literal {word} (expecting {})", quoted(wanted));
                    return Err(unexpected(byte, &place));
                }
                _ if at + 1 == word.len() => After,
                _ => Word(word, at + 1),
            },
            (Minus, _) => return Err(unexpected(byte, "in numeric literal")),
            (Digits, b'0'..=b'9') => Digits,
            (Zero | Digits, b'.') => Dot,
            (Dot | Fraction, b'0'..=b'9') => Fraction,
            (Dot, _) => return Err(unexpected(byte, "after decimal point in numeric literal")),
            (Zero | Digits | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
            (Exponent | ExponentSign, _) => return Err(unexpected(byte, "in exponent of numeric literal")),
            (Zero | Digits | Fraction | ExponentDigits, _) => {
                self.state = After;
                return self.step(byte);
            }
        };
        Ok(())
    }

    fn begin(&mut self, object: bool, byte: u8) -> Result<State, String> {
        self.open.push(object);
        match self.open.len() > DEPTH_MAX {
            true => Err(unexpected(byte, "exceeded max depth")),
            false => Ok(if object { State::KeyOrEnd } else { State::ValueOrEnd }),
        }
    }

    fn end(&mut self) -> State {
        self.open.pop();
        State::After
    }

    fn text(&mut self, is_key: bool) -> State {
        self.in_key = is_key;
        State::Text
    }

    fn after(&mut self, byte: u8) -> Result<State, String> {
        match (self.open.last(), byte) {
            (Some(true), b'}') | (Some(false), b']') => Ok(self.end()),
            (Some(true), b',') => Ok(State::Key),
            (Some(false), b',') => Ok(State::Value),
            (Some(true), _) => Err(unexpected(byte, "after object key:value pair")),
            (Some(false), _) => Err(unexpected(byte, "after array element")),
            (None, _) => Err(unexpected(byte, "after top-level value")),
        }
    }
}

fn unexpected(byte: u8, place: &str) -> String {
    format!("invalid character {} {place}", quoted(byte))
}

/// A byte as Go quotes it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0..0x20 | 0x7f => format!(r"'\x{byte:02x}'"),
        0x80..0xa0 | 0xad => format!(r"'\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

/// What Go's decoder calls a value.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What Go's decoder says of a value that is not of the type it wants.
pub(crate) fn misread(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go {wanted}", kind_of(value))
}

/// The same of a value that should be an object of any kind.
pub(crate) fn no_map(value: &Value) -> String {
    misread(value, "value of type map[string]interface {}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_as_gos_scanner_tells_them() {
        let end = "unexpected end of JSON input";
        let rows = [
            ("", end),
            ("{", end),
            (r#"{"a"#, end),
            (r#"{"a":1,"#, end),
            ("[1", end),
            (r#"{"a":1 "b""#, r#"invalid character '"' after object key:value pair"#),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
            (r#"{"a":nul"#, "invalid character ' ' in literal null (expecting 'l')"),
            (r#"{"a":01}"#, "invalid character '1' after object key:value pair"),
            (r#"{"a":1.}"#, "invalid character '}' after decimal point in numeric literal"),
            (r#"{"a":1e}"#, "invalid character '}' in exponent of numeric literal"),
            (r#"{"a":-}"#, "invalid character '}' in numeric literal"),
            (r#"{"a":+1}"#, "invalid character '+' looking for beginning of value"),
            (r#"{"a":NaN}"#, "invalid character 'N' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            (r#""\x""#, "invalid character 'x' in string escape code"),
            (r#""\u12g4""#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("\"\u{1}\"", r"invalid character '\x01' in string literal"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
        ];
        for (text, expected) in rows {
            assert_eq!(syntax_error(text.as_bytes()).as_deref(), Some(expected), "{text}");
        }
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert_eq!(syntax_error(deep.as_bytes()).as_deref(), Some("invalid character '[' exceeded max depth"));
    }

    #[test]
    fn nothing_is_wrong_with_json() {
        for text in [r#" {"a":[1,-0.5e+7,{"b":null}],"c":"\u00e4\n","d":{},"e":[]} "#, "0", "true", "\"\"", "1e5"] {
            assert_eq!(syntax_error(text.as_bytes()), None, "{text}");
        }
    }
}

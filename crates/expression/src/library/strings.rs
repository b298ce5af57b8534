//! Functions on strings. Positions count characters.

use crate::declarations::Declaration;
use crate::error::Error;
use crate::library::printf;
use crate::meter::Meter;
use crate::pattern::with_pattern;
use crate::value::Value;

pub const LIBRARY: &[Declaration] = &[
    ("contains_string string:contains(string) -> bool", contains),
    ("ends_with_string string:endsWith(string) -> bool", ends_with),
    ("starts_with_string string:startsWith(string) -> bool", starts_with),
    ("matches matches(string, string) -> bool", matches),
    ("matches_string string:matches(string) -> bool", matches),
    ("string_char_at_int string:charAt(int) -> string", char_at),
    ("string_index_of_string string:indexOf(string) -> int", index_of),
    ("string_index_of_string_int string:indexOf(string, int) -> int", index_of),
    ("string_last_index_of_string string:lastIndexOf(string) -> int", last_index_of),
    ("string_last_index_of_string_int string:lastIndexOf(string, int) -> int", last_index_of),
    ("string_lower_ascii string:lowerAscii() -> string", lower_ascii),
    ("string_upper_ascii string:upperAscii() -> string", upper_ascii),
    ("string_replace_string_string string:replace(string, string) -> string", replace),
    ("string_replace_string_string_int string:replace(string, string, int) -> string", replace),
    ("string_split_string string:split(string) -> list(string)", split),
    ("string_split_string_int string:split(string, int) -> list(string)", split),
    ("string_substring_int string:substring(int) -> string", substring),
    ("string_substring_int_int string:substring(int, int) -> string", substring),
    ("string_trim string:trim() -> string", trim),
    ("list_join list(string):join() -> string", join),
    ("list_join_string list(string):join(string) -> string", join),
    ("string_format string:format(list(dyn)) -> string", printf::format),
    ("strings_quote strings.quote(string) -> string", quote),
];

type Outcome<'a> = Result<Value<'a>, Error>;

fn tested<'a>(values: &[Value<'a>], test: impl Fn(&str, &str) -> bool) -> Outcome<'a> {
    match values {
        [Value::String(text), Value::String(other)] => Ok(Value::Bool(test(text, other))),
        _ => Err(Error::NoOverload),
    }
}

fn contains<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    tested(values, |text, other| text.contains(other))
}

fn ends_with<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    tested(values, |text, other| text.ends_with(other))
}

fn starts_with<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    tested(values, |text, other| text.starts_with(other))
}

fn matches<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::String(text), pattern] => with_pattern(meter, pattern, |regex| Value::Bool(regex.is_match(text))),
        _ => Err(Error::NoOverload),
    }
}

fn out_of_range(index: i64) -> Error {
    Error::failed(format!("index out of range: {index}"))
}

/// Where the character of this number begins; the end counts as one.
fn offset(text: &str, index: i64) -> Result<usize, Error> {
    let at = usize::try_from(index).map_err(|_| out_of_range(index))?;
    let ends = text.char_indices().map(|(offset, _)| offset).chain([text.len()]);
    ends.into_iter().nth(at).ok_or_else(|| out_of_range(index))
}

fn characters(text: &str) -> i64 {
    text.chars().count() as i64
}

fn char_at<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), Value::Int(index)] = values else { return Err(Error::NoOverload) };
    let at = offset(text, *index)?;
    Ok(Value::from(text[at..].chars().take(1).collect::<String>()))
}

fn index_of<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, sought, from) = match values {
        [Value::String(text), Value::String(sought)] => (text, sought, 0),
        [Value::String(text), Value::String(sought), Value::Int(from)] => (text, sought, *from),
        _ => return Err(Error::NoOverload),
    };
    if sought.is_empty() {
        return Ok(Value::Int(from));
    }
    if from < 0 {
        return Err(out_of_range(from));
    }
    let Ok(start) = offset(text, from) else { return Ok(Value::Int(-1)) };
    let found = text[start..].find(&**sought);
    Ok(Value::Int(found.map_or(-1, |at| from + characters(&text[start..start + at]))))
}

fn last_index_of<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, sought, from) = match values {
        [Value::String(text), Value::String(sought)] => (text, sought, None),
        [Value::String(text), Value::String(sought), Value::Int(from)] => (text, sought, Some(*from)),
        _ => return Err(Error::NoOverload),
    };
    let length = characters(text);
    if sought.is_empty() {
        return Ok(Value::Int(from.unwrap_or(length)));
    }
    let from = from.unwrap_or(length - 1);
    if from < 0 && length > 0 {
        return Err(out_of_range(from));
    }
    if from >= length {
        return Ok(Value::Int(-1));
    }
    // What begins at `from` may reach beyond it.
    let end = (offset(text, from)? + sought.len()).min(text.len());
    let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let found = text[..end].rfind(&**sought).map(|at| characters(&text[..at]));
    Ok(Value::Int(found.filter(|at| *at <= from).unwrap_or(-1)))
}

fn changed<'a>(values: &[Value<'a>], change: impl Fn(&str) -> String) -> Outcome<'a> {
    match values {
        [Value::String(text)] => Ok(Value::from(change(text))),
        _ => Err(Error::NoOverload),
    }
}

fn lower_ascii<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, str::to_ascii_lowercase)
}

fn upper_ascii<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, str::to_ascii_uppercase)
}

fn trim<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, |text| text.trim().to_owned())
}

fn replace<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, from, to, limit) = match values {
        [Value::String(text), Value::String(from), Value::String(to)] => (text, from, to, -1),
        [Value::String(text), Value::String(from), Value::String(to), Value::Int(limit)] => (text, from, to, *limit),
        _ => return Err(Error::NoOverload),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let count = text.matches(&**from).count().min(limit);
    meter.step(text.len().saturating_add(count.saturating_mul(to.len())) / 16)?;
    Ok(Value::from(text.replacen(&**from, to, limit)))
}

fn split<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, separator, limit) = match values {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(limit)] => (text, separator, *limit),
        _ => return Err(Error::NoOverload),
    };
    meter.step(text.len())?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let parts: Vec<Value<'a>> = match (limit, separator.is_empty()) {
        (0, _) => Vec::new(),
        (limit, false) => text.splitn(limit, &**separator).map(|part| Value::from(part.to_owned())).collect(),
        (limit, true) => characters_of(text, limit),
    };
    Ok(Value::list(parts))
}

/// Each character, the last of at most `limit` with all that is left.
fn characters_of<'a>(text: &str, limit: usize) -> Vec<Value<'a>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if parts.len() + 1 == limit { rest.len() } else { first.len_utf8() };
        let (part, behind) = rest.split_at(length);
        parts.push(Value::from(part.to_owned()));
        rest = behind;
    }
    parts
}

fn substring<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::String(text), Value::Int(start)] => Ok(Value::from(text[offset(text, *start)?..].to_owned())),
        [Value::String(_), Value::Int(start), Value::Int(end)] if start > end => {
            Err(Error::failed(format!("invalid substring range. start: {start}, end: {end}")))
        }
        [Value::String(text), Value::Int(start), Value::Int(end)] => {
            Ok(Value::from(text[offset(text, *start)?..offset(text, *end)?].to_owned()))
        }
        _ => Err(Error::NoOverload),
    }
}

fn join<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (list, separator) = match values {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return Err(Error::NoOverload),
    };
    let mut joined = String::new();
    for (index, value) in list.iter().enumerate() {
        let value = value?;
        let Value::String(text) = &value else {
            return Err(Error::failed(format!("join: invalid input: {value}")));
        };
        meter.step(1 + (separator.len() + text.len()) / 16)?;
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text);
    }
    Ok(Value::from(joined))
}

fn quote<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, |text| {
        let mut quoted = String::with_capacity(text.len() + 2);
        quoted.push('"');
        for c in text.chars() {
            match c {
                '\u{7}' => quoted.push_str("\\a"),
                '\u{8}' => quoted.push_str("\\b"),
                '\u{c}' => quoted.push_str("\\f"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                '\u{b}' => quoted.push_str("\\v"),
                '\\' => quoted.push_str("\\\\"),
                '"' => quoted.push_str("\\\""),
                other => quoted.push(other),
            }
        }
        quoted.push('"');
        quoted
    })
}

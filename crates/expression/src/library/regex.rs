//! Finding what matches a pattern.

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::pattern::with_pattern;
use crate::value::Value;

pub const LIBRARY: &[Declaration] = &[
    ("string_find_string string:find(string) -> string", find),
    ("string_find_all_string string:findAll(string) -> list(string)", find_all),
    ("string_find_all_string_int string:findAll(string, int) -> list(string)", find_all),
];

type Outcome<'a> = Result<Value<'a>, Error>;

fn find<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text), pattern] = values else { return Err(Error::NoOverload) };
    let found = with_pattern(meter, pattern, |regex| regex.find(text).map_or("", |found| found.as_str()).to_owned());
    found.map(Value::from).map_err(illegal)
}

fn find_all<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (text, pattern, limit) = match values {
        [Value::String(text), pattern] => (text, pattern, -1),
        [Value::String(text), pattern, Value::Int(limit)] => (text, pattern, *limit),
        _ => return Err(Error::NoOverload),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    meter.step(text.len())?;
    let found = with_pattern(meter, pattern, |regex| {
        regex.find_iter(text).take(limit).map(|found| Value::from(found.as_str().to_owned())).collect()
    });
    found.map(Value::list).map_err(illegal)
}

fn illegal(error: Error) -> Error {
    match error {
        Error::Failed(reason) => Error::failed(format!("Illegal regex: {reason}")),
        other => other,
    }
}

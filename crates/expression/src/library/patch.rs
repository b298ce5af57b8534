//! Paths of JSON patches.

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::Value;

pub const LIBRARY: &[Declaration] =
    &[("string_jsonpatch_escapeKey_string jsonpatch.escapeKey(string) -> string", escape_key)];

fn escape_key<'a>(_: &Meter, values: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match values {
        [Value::String(key)] => Ok(Value::from(key.replace('~', "~0").replace('/', "~1"))),
        _ => Err(Error::NoOverload),
    }
}

//! `'%s is %d'.format([...])`.

use crate::error::Error;
use crate::library::conversions::text_of;
use crate::list::List;
use crate::meter::Meter;
use crate::value::Value;

const DEFAULT_PRECISION: usize = 6;
/// More digits than any number has.
const PRECISION_MAX: usize = 1000;

pub fn format<'a>(meter: &Meter, values: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::String(template), Value::List(arguments)] = values else { return Err(Error::NoOverload) };
    let mut printer = Printer { meter, out: String::new() };
    printer.template(template, arguments)?;
    Ok(Value::from(printer.out))
}

struct Printer<'m> {
    meter: &'m Meter,
    out: String,
}

impl Printer<'_> {
    fn template(&mut self, template: &str, arguments: &List<'_>) -> Result<(), Error> {
        let mut rest = template;
        let mut next = 0;
        while let Some(at) = rest.find('%') {
            self.text(&rest[..at])?;
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('%') {
                self.text("%")?;
                rest = behind;
                continue;
            }
            if next >= arguments.len() {
                return Err(Error::failed(format!("index {next} out of range")));
            }
            rest = self.clause(rest, &arguments.get(next)?)?;
            next += 1;
        }
        self.text(rest)
    }

    /// Prints one argument as the clause says, and gives what follows the clause.
    fn clause<'t>(&mut self, clause: &'t str, value: &Value<'_>) -> Result<&'t str, Error> {
        let (precision, clause) = precision(clause)?;
        let mut letters = clause.chars();
        let Some(letter) = letters.next() else {
            return Err(Error::failed("could not parse formatting clause: unexpected end of string"));
        };
        let fault = |what: &str| {
            Error::failed(format!("error during formatting: {what}, was given {}", value.to_type().name()))
        };
        match letter {
            's' => self.value(value)?,
            'd' => match value {
                Value::Int(_) | Value::Uint(_) => self.value(value)?,
                _ => return Err(fault("decimal clause can only be used on integers")),
            },
            'f' | 'e' => match double(value) {
                Some(number) if letter == 'f' => self.text(&fixed(number, precision))?,
                Some(number) => self.text(&scientific(number, precision))?,
                None if letter == 'f' => return Err(fault("fixed-point clause can only be used on doubles")),
                None => return Err(fault("scientific clause can only be used on doubles")),
            },
            'b' => match value {
                Value::Bool(value) => self.text(if *value { "1" } else { "0" })?,
                _ => self
                    .digits(value, 2)
                    .ok_or_else(|| fault("only integers and bools can be formatted as binary"))??,
            },
            'o' => {
                self.digits(value, 8).ok_or_else(|| fault("octal clause can only be used on integers"))??;
            }
            'x' | 'X' => self
                .hex(value, letter == 'X')
                .ok_or_else(|| fault("only integers, byte buffers, and strings can be formatted as hex"))??,
            other => {
                let message = format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"");
                return Err(Error::failed(message));
            }
        }
        Ok(letters.as_str())
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        self.meter.step(1 + text.len() / 16)?;
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, value: &Value<'_>) -> Result<(), Error> {
        match value {
            Value::List(list) => self.list(list),
            Value::Map(map) => {
                let mut entries = Vec::new();
                for key in map.keys(self.meter)? {
                    let mut printed = Printer { meter: self.meter, out: String::new() };
                    printed.nested(&key)?;
                    printed.text(":")?;
                    printed.nested(&map.find(&key)?.unwrap_or(Value::Null))?;
                    entries.push(printed.out);
                }
                entries.sort();
                self.text(&format!("{{{}}}", entries.join(", ")))
            }
            Value::Null => self.text("null"),
            value => match text_of(value)? {
                Some(Value::String(text)) => self.text(&text),
                _ => {
                    let clause = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, \
                                  lists, types, durations, and timestamps";
                    let of = value.to_type();
                    Err(Error::failed(format!("error during formatting: {clause}, was given {}", of.name())))
                }
            },
        }
    }

    fn list(&mut self, list: &List<'_>) -> Result<(), Error> {
        self.text("[")?;
        for (index, element) in list.iter().enumerate() {
            self.text(if index > 0 { ", " } else { "" })?;
            self.nested(&element?)?;
        }
        self.text("]")
    }

    /// In a list or map, where texts are quoted.
    fn nested(&mut self, value: &Value<'_>) -> Result<(), Error> {
        match value {
            Value::String(text) => self.text(&format!("{:?}", &**text)),
            Value::Bytes(bytes) => self.text(&format!("b{:?}", String::from_utf8_lossy(bytes))),
            Value::Double(number) => self.text(&fixed(*number, None)),
            Value::Timestamp(_) => self.call("timestamp", value),
            Value::Duration(_) => self.call("duration", value),
            value => self.value(value),
        }
    }

    fn call(&mut self, function: &str, value: &Value<'_>) -> Result<(), Error> {
        self.text(function)?;
        self.text("(\"")?;
        self.value(value)?;
        self.text("\")")
    }

    /// Digits of an integer; none of anything else.
    fn digits(&mut self, value: &Value<'_>, radix: u32) -> Option<Result<(), Error>> {
        let (negative, size) = match value {
            Value::Int(value) => (*value < 0, value.unsigned_abs()),
            Value::Uint(value) => (false, *value),
            _ => return None,
        };
        let digits = match radix {
            2 => format!("{size:b}"),
            8 => format!("{size:o}"),
            _ => format!("{size:x}"),
        };
        Some(self.text(&format!("{}{digits}", if negative { "-" } else { "" })))
    }

    fn hex(&mut self, value: &Value<'_>, upper: bool) -> Option<Result<(), Error>> {
        let start = self.out.len();
        let printed = match value {
            Value::String(text) => self.bytes(text.as_bytes()),
            Value::Bytes(bytes) => self.bytes(bytes),
            value => self.digits(value, 16)?,
        };
        if upper {
            self.out[start..].make_ascii_uppercase();
        }
        Some(printed)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        bytes.iter().try_for_each(|byte| self.text(&format!("{byte:02x}")))
    }
}

/// The precision that a clause begins with, if it does, and the rest of it.
fn precision(clause: &str) -> Result<(Option<usize>, &str), Error> {
    let Some(rest) = clause.strip_prefix('.') else { return Ok((None, clause)) };
    let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(length);
    let fault =
        |what: &str| Error::failed(format!("could not parse formatting clause: error while parsing precision: {what}"));
    if rest.is_empty() {
        return Err(fault("could not find end of precision specifier"));
    }
    let precision: usize = digits.parse().map_err(|_| {
        fault(&format!(
            "error while converting precision to integer: strconv.Atoi: parsing \"{digits}\": invalid syntax"
        ))
    })?;
    Ok((Some(precision.min(PRECISION_MAX)), rest))
}

/// A double, or a text that stands for one that is no number.
fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::String(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn special(number: f64) -> Option<&'static str> {
    match number {
        number if number.is_nan() => Some("NaN"),
        f64::INFINITY => Some("\u{221e}"),
        f64::NEG_INFINITY => Some("-\u{221e}"),
        _ => None,
    }
}

fn fixed(number: f64, precision: Option<usize>) -> String {
    match special(number) {
        Some(text) => text.to_owned(),
        None => format!("{number:.*}", precision.unwrap_or(DEFAULT_PRECISION)),
    }
}

/// As English writes it: `1.5 × 10⁰³`.
fn scientific(number: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(number) {
        return text.to_owned();
    }
    let text = format!("{number:.*e}", precision.unwrap_or(DEFAULT_PRECISION));
    let (mantissa, exponent) = text.split_once('e').expect("the form has an exponent");
    let (sign, digits) = exponent.strip_prefix('-').map_or(("", exponent), |digits| ("\u{207b}", digits));
    let raised: String = format!("{digits:0>2}").chars().map(superscript).collect();
    format!("{mantissa} \u{d7} 10{sign}{raised}")
}

fn superscript(digit: char) -> char {
    match digit {
        '1' => '\u{b9}',
        '2' => '\u{b2}',
        '3' => '\u{b3}',
        '0' => '\u{2070}',
        other => char::from_u32(0x2070 + other.to_digit(10).unwrap_or(0)).unwrap_or(other),
    }
}

//! Named formats: `format.dns1123Label().validate(name)`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::validation;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::library::url;
use crate::meter::Meter;
use crate::time;
use crate::value::{Foreign, Value};

pub const LIBRARY: &[Declaration] = &[
    ("format-named format.named(string) -> optional(kubernetes.NamedFormat)", named),
    ("format-validate kubernetes.NamedFormat:validate(string) -> optional(list(string))", validate),
    ("format.dns1123Label format.dns1123Label() -> kubernetes.NamedFormat", dns1123_label),
    ("format.dns1123Subdomain format.dns1123Subdomain() -> kubernetes.NamedFormat", dns1123_subdomain),
    ("format.dns1035Label format.dns1035Label() -> kubernetes.NamedFormat", dns1035_label),
    ("format.qualifiedName format.qualifiedName() -> kubernetes.NamedFormat", qualified_name),
    ("format.dns1123LabelPrefix format.dns1123LabelPrefix() -> kubernetes.NamedFormat", dns1123_label_prefix),
    (
        "format.dns1123SubdomainPrefix format.dns1123SubdomainPrefix() -> kubernetes.NamedFormat",
        dns1123_subdomain_prefix,
    ),
    ("format.dns1035LabelPrefix format.dns1035LabelPrefix() -> kubernetes.NamedFormat", dns1035_label_prefix),
    ("format.labelValue format.labelValue() -> kubernetes.NamedFormat", label_value),
    ("format.uri format.uri() -> kubernetes.NamedFormat", uri),
    ("format.uuid format.uuid() -> kubernetes.NamedFormat", uuid),
    ("format.byte format.byte() -> kubernetes.NamedFormat", byte),
    ("format.date format.date() -> kubernetes.NamedFormat", date),
    ("format.datetime format.datetime() -> kubernetes.NamedFormat", datetime),
];

#[derive(Clone, Copy, Debug)]
pub struct NamedFormat {
    name: &'static str,
    validate: fn(&str) -> Vec<String>,
    /// Of the pattern that upstream matches with.
    pattern_size: u64,
}

impl NamedFormat {
    pub fn pattern_size(&self) -> u64 {
        self.pattern_size
    }
}

impl Foreign for NamedFormat {
    fn type_name(&self) -> &'static str {
        "kubernetes.NamedFormat"
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<Self>().is_some_and(|other| self.name == other.name)
    }
}

const fn format(name: &'static str, pattern_size: u64, validate: fn(&str) -> Vec<String>) -> NamedFormat {
    NamedFormat { name, validate, pattern_size }
}

const FORMATS: &[NamedFormat] = &[
    format("dns1123Label", 30, validation::dns1123_label),
    format("dns1123Subdomain", 60, validation::dns1123_subdomain),
    format("dns1035Label", 30, validation::dns1035_label),
    format("qualifiedName", 60, validation::qualified_name),
    format("dns1123LabelPrefix", 30, |text| validation::dns1123_label(&as_prefix(text))),
    format("dns1123SubdomainPrefix", 60, |text| validation::dns1123_subdomain(&as_prefix(text))),
    format("dns1035LabelPrefix", 30, |text| validation::dns1035_label(&as_prefix(text))),
    format("labelValue", 40, validation::label_value),
    format("uri", 1103, |text| url::Url::parse_request(text).err().into_iter().collect()),
    format("uuid", 70, |text| unless(is_uuid(text), "does not match the UUID format")),
    format("byte", 84, |text| unless(!text.is_empty() && STANDARD.decode(text).is_ok(), "invalid base64")),
    format("date", 71, |text| unless(time::parse_date(text).is_some(), "invalid date")),
    format("datetime", 71, |text| unless(time::parse_timestamp(text).is_some(), "invalid datetime")),
];

fn unless(valid: bool, message: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![message.to_owned()] }
}

/// A dash at the end is no fault where more will follow.
fn as_prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let kept = rest.char_indices().next_back().map_or(0, |(at, _)| at);
            format!("{}a", &rest[..kept])
        }
        _ => text.to_owned(),
    }
}

/// Thirty-two hexadecimal digits, with or without dashes at their places.
fn is_uuid(text: &str) -> bool {
    let mut rest = text;
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        match rest.get(..length) {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest = &rest[length..],
            _ => return false,
        }
    }
    rest.is_empty()
}

type Outcome<'a> = Result<Value<'a>, Error>;

fn find(name: &str) -> Option<NamedFormat> {
    FORMATS.iter().find(|format| format.name == name).copied()
}

fn named<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(name)] = values else { return Err(Error::NoOverload) };
    Ok(Value::optional(find(name).map(Value::foreign)))
}

fn validate<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [format, Value::String(text)] = values else { return Err(Error::NoOverload) };
    let messages = (format.downcast::<NamedFormat>().ok_or(Error::NoOverload)?.validate)(text);
    let messages = (!messages.is_empty()).then(|| Value::list(messages.into_iter().map(Value::from).collect()));
    Ok(Value::optional(messages))
}

/// A function without arguments for each format.
macro_rules! constants {
    ($($function:ident $name:literal),* $(,)?) => {
        $(
            fn $function<'a>(_: &Meter, _: &[Value<'a>]) -> Outcome<'a> {
                find($name).map(Value::foreign).ok_or(Error::NoOverload)
            }
        )*
    };
}

constants! {
    dns1123_label "dns1123Label",
    dns1123_subdomain "dns1123Subdomain",
    dns1035_label "dns1035Label",
    qualified_name "qualifiedName",
    dns1123_label_prefix "dns1123LabelPrefix",
    dns1123_subdomain_prefix "dns1123SubdomainPrefix",
    dns1035_label_prefix "dns1035LabelPrefix",
    label_value "labelValue",
    uri "uri",
    uuid "uuid",
    byte "byte",
    date "date",
    datetime "datetime",
}

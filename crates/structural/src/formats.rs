//! The formats of texts and numbers (upstream: kube-openapi pkg/validation/strfmt, govalidator).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use machinery::strconv::parse_duration;
use machinery::validation::{dns1123_label, dns1123_subdomain};
use regex::Regex;
use serde_json::Value;

use crate::schema::Type;

type Check = fn(&str) -> bool;

/// A format that is known for the type of its schema; others say nothing.
#[derive(Clone, Debug)]
pub struct Format {
    /// As the schema writes it.
    pub name: Box<str>,
    check: Option<Check>,
}

/// Names without dashes, and what they ask of a text.
const TEXTS: &[(&str, Check)] = &[
    ("bsonobjectid", |text| text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())),
    ("byte", is_base64),
    ("cidr", is_cidr),
    ("creditcard", is_credit_card),
    ("date", is_date),
    ("datetime", is_date_time),
    ("duration", is_duration),
    ("email", is_email),
    ("hexcolor", |text| HEX_COLOR.is_match(text)),
    ("hostname", is_hostname),
    ("ipv4", |text| text.contains('.') && text.parse::<IpAddr>().is_ok()),
    ("ipv6", |text| text.contains(':') && text.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |text| is_isbn10(text) || is_isbn13(text)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("k8slongname", |text| dns1123_subdomain(text).is_empty()),
    ("k8sshortname", |text| dns1123_label(text).is_empty()),
    ("mac", |text| MAC.is_match(text)),
    ("password", |_| true),
    ("rgbcolor", |text| RGB_COLOR.is_match(text)),
    ("ssn", |text| SSN.is_match(text)),
    ("uri", is_request_uri),
    ("uuid", |text| UUID.is_match(text)),
    ("uuid3", |text| UUID3.is_match(text)),
    ("uuid4", |text| UUID4.is_match(text)),
    ("uuid5", |text| UUID5.is_match(text)),
];

impl Format {
    /// The format of a schema, if it means something for its type.
    pub fn of_schema(schema: &Value) -> Option<Self> {
        let name = schema["format"].as_str().filter(|name| !name.is_empty())?;
        is_known(name, schema["type"].as_str().unwrap_or_default())
            .then(|| Self { name: name.into(), check: find(name) })
    }

    /// Whether a text is of the format; nothing where the format is none of texts.
    pub fn accepts(&self, text: &str) -> Option<bool> {
        self.check.map(|check| check(text))
    }

    pub fn is_of_texts(&self) -> bool {
        self.check.is_some()
    }
}

/// Whether a format means something for values of a type, which may be empty.
pub fn is_known(name: &str, of: &str) -> bool {
    match (of, Type::parse(of)) {
        ("", _) | (_, Some(Type::String)) => find(name).is_some(),
        (_, Some(Type::Integer)) => ["int32", "int64"].contains(&name),
        (_, Some(Type::Number)) => ["float", "double"].contains(&name),
        _ => false,
    }
}

fn find(name: &str) -> Option<fn(&str) -> bool> {
    let plain = name.replace('-', "");
    TEXTS.iter().find(|(known, _)| *known == plain).map(|(_, check)| *check)
}

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("the pattern is constant"));
    };
}

pattern!(HEX_COLOR, r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$");
pattern!(
    RGB_COLOR,
    r"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$"
);
pattern!(SSN, r"^\d{3}[- ]?\d{2}[- ]?\d{4}$");
pattern!(
    MAC,
    r"^(?i)([0-9a-f]{2}([:-][0-9a-f]{2}){5}|[0-9a-f]{2}([:-][0-9a-f]{2}){7}|[0-9a-f]{4}(\.[0-9a-f]{4}){2}|[0-9a-f]{4}(\.[0-9a-f]{4}){3})$"
);
pattern!(UUID, r"^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$");
pattern!(UUID3, r"^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$");
pattern!(UUID4, r"^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$");
pattern!(UUID5, r"^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$");
pattern!(
    HOSTNAME,
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
);
pattern!(BASE64, r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$");
pattern!(DATE, r"^\d{4}-\d{2}-\d{2}$");
pattern!(TIME, r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$");
pattern!(
    SCALA_DURATION,
    r"(?i)(\d+)\s*(ns|nanos?|nanosecs?|nanoseconds?|us|µs|micros?|microsecs?|microseconds?|ms|millis?|millisecs?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)"
);
pattern!(EMAIL, r#"^(?:[^<>@\s",;:()\[\]\\]+|"[^"]*")@[^<>@\s",;:()\\]+$"#);
pattern!(NAMED_EMAIL, r#"^\s*(?:"[^"]*"|[^<>@",;:()\[\]\\]*)\s*<([^<>]+)>\s*$"#);
pattern!(
    CREDIT_CARD,
    r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$"
);

fn is_base64(text: &str) -> bool {
    BASE64.is_match(text)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>()) else { return false };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}

fn is_hostname(text: &str) -> bool {
    HOSTNAME.is_match(text) && text.len() <= 255 && text.split('.').all(|label| label.len() <= 63)
}

fn is_email(text: &str) -> bool {
    let address = NAMED_EMAIL.captures(text).and_then(|found| found.get(1)).map_or(text, |inner| inner.as_str());
    EMAIL.is_match(address)
}

/// An absolute URI or an absolute path, as `net/url.ParseRequestURI` takes them.
fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return false;
    }
    if text.starts_with('/') {
        return escapes_are_whole(text);
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|of| of.is_ascii_alphanumeric() || "+-.".contains(of));
    let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    is_scheme && escapes_are_whole(rest) && authority.is_none_or(|authority| !authority.contains(' '))
}

fn escapes_are_whole(text: &str) -> bool {
    let is_hex = |part: Option<&str>| {
        part.and_then(|part| part.get(..2)).is_some_and(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let path = text.split('?').next().unwrap_or_default();
    path.split('%').skip(1).all(|part| is_hex(Some(part)))
}

fn is_date(text: &str) -> bool {
    DATE.is_match(text) && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let Some((date, time)) = lower.split_once('t') else { return false };
    let Some(parts) = TIME.captures(time) else { return false };
    let at_most = |index: usize, limit: &str| parts.get(index).is_some_and(|part| part.as_str() <= limit);
    is_date(date) && at_most(1, "23") && at_most(2, "59") && at_most(3, "59")
}

fn is_duration(text: &str) -> bool {
    parse_duration(text).is_ok() || SCALA_DURATION.is_match(text)
}

fn digits(text: &str) -> String {
    text.chars().filter(|of| !"- ".contains(*of)).collect()
}

fn is_isbn10(text: &str) -> bool {
    let text = digits(text);
    let value = |(at, of): (usize, char)| match of {
        'X' if at == 9 => Some(10),
        of => of.to_digit(10),
    };
    let values: Option<Vec<u32>> = text.chars().enumerate().map(value).collect();
    let sum = |values: &Vec<u32>| -> u32 { (1..).zip(values).map(|(weight, value)| weight * value).sum() };
    values.is_some_and(|values| values.len() == 10 && sum(&values) % 11 == 0)
}

fn is_isbn13(text: &str) -> bool {
    let values: Option<Vec<u32>> = digits(text).chars().map(|of| of.to_digit(10)).collect();
    let sum =
        |values: &Vec<u32>| -> u32 { values.iter().zip([1, 3].iter().cycle()).map(|(of, weight)| of * weight).sum() };
    values.is_some_and(|values| values.len() == 13 && sum(&values) % 10 == 0)
}

/// By its form and by Luhn's sum.
fn is_credit_card(text: &str) -> bool {
    let number: String = text.chars().filter(char::is_ascii_digit).collect();
    let doubled = |(at, digit): (usize, u32)| match (at % 2, digit * 2) {
        (0, _) => digit,
        (_, double) => double / 10 + double % 10,
    };
    let sum: u32 = number.chars().rev().filter_map(|of| of.to_digit(10)).enumerate().map(doubled).sum();
    CREDIT_CARD.is_match(&number) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_upstream_takes() {
        let check = |format: &str, takes: &[&str], refuses: &[&str]| {
            let check = find(format).expect("the format is known");
            takes.iter().for_each(|text| assert!(check(text), "{format}: {text}"));
            refuses.iter().for_each(|text| assert!(!check(text), "{format}: {text}"));
        };
        check("date", &["2024-02-29"], &["2023-02-29", "2024-2-9", ""]);
        check(
            "date-time",
            &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+02:00"],
            &["2014-12-15", "2014-12-15T25:00:00Z"],
        );
        check("duration", &["22ns", "1h5m", "3 days"], &["soon", ""]);
        check("ipv4", &["10.0.0.1"], &["10.0.0", "::1"]);
        check("ipv6", &["::1", "fe80::1"], &["10.0.0.1", "::g"]);
        check("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33"]);
        check("mac", &["01:02:03:04:05:ab", "0102.0304.05ab"], &["01:02:03:04:05", "x"]);
        check("uuid", &["a7bc0f4e-0c8d-4f5e-8a5b-1f9f4a2b3c4d"], &["a7bc0f4e"]);
        check("uuid4", &["a7bc0f4e-0c8d-4f5e-8a5b-1f9f4a2b3c4d"], &["a7bc0f4e-0c8d-1f5e-8a5b-1f9f4a2b3c4d"]);
        check("byte", &["aGVsbG8=", "YQ=="], &["a", "aGVsbG8"]);
        check("email", &["joe@example.com", "Joe <joe@example.com>"], &["joe", "@", "a b@c"]);
        check("uri", &["http://foo.bar#com", "/path", "mailto:x@y"], &["foo", "", "http://a b/"]);
        check("hostname", &["example.com", "localhost"], &["-a", "a..b"]);
        check("isbn10", &["0321751043"], &["0321751044"]);
        check("isbn13", &["978-0321751041"], &["978-0321751042"]);
        check("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112"]);
        check("ssn", &["111-11-1111"], &["111-1-1111"]);
        check("hexcolor", &["#FFFFFF", "fff"], &["#ffff"]);
        check("rgbcolor", &["rgb(100,100,100)"], &["rgb(300,0,0)"]);
        check("k8s-short-name", &["a-b"], &["A", "a.b"]);
    }
}

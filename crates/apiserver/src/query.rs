//! Query strings, as clients of the API write them.

use std::time::Duration;

use machinery::ApiError;

/// The decoded pairs of a query string, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(decode_pair).collect())
    }

    /// The first value of `name`; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default()
    }

    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether `name` is given and is neither `false` nor `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// The number given for `name`; an error names the value that is none.
    pub fn int(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.first(name).map(machinery::strconv::parse_int).transpose().map_err(ApiError::bad_request)
    }
}

/// A duration in Go's notation, as `1m30s` or `1.5h`; nothing for what is none, or negative.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len() - digits);
        let (number, after) = rest.split_at(digits);
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

fn decode_pair((name, value): (&str, &str)) -> (String, String) {
    (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
}

/// Undoes percent encoding; what is not valid UTF-8 becomes replacement characters.
pub fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match hex_pair(&bytes[at..]) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', high, low, ..] => {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        }
        _ => None,
    }
}

/// Percent-encodes everything but unreserved characters.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let query = Query::parse("watch&command=ls+-l&command=%2Ftmp&labelSelector=a%3Db%2Cc&x=%zz");
        assert!(query.flag("watch") && !query.flag("follow"));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["ls -l", "/tmp"]);
        assert_eq!((query.get("labelSelector"), query.get("x")), ("a=b,c", "%zz"));
    }

    #[test]
    fn flags_and_numbers_follow_upstream() {
        let query = Query::parse("a=false&b=0&c=1&d=true&limit=x&grace=30");
        assert_eq!(["a", "b", "c", "d"].map(|name| query.flag(name)), [false, false, true, true]);
        assert_eq!(query.int("grace").unwrap(), Some(30));
        assert_eq!(query.int("limit").unwrap_err().message, r#"strconv.ParseInt: parsing "x": invalid syntax"#);
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let text = "a b/ü&=%";
        assert_eq!(decode(&encode(text)), text);
    }

    #[test]
    fn durations_are_in_gos_notation() {
        let table = [("10s", Some(10_000)), ("1m30s", Some(90_000)), ("1.5h", Some(5_400_000)), ("250ms", Some(250))];
        for (text, millis) in table.into_iter().chain(["", "10", "s", "1d", "-1s"].map(|text| (text, None))) {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}

//! Query strings, as clients of the API write them.

use machinery::ApiError;
use machinery::percent::decode_value;

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

impl FromIterator<(String, String)> for Query {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

fn decode_pair((name, value): (&str, &str)) -> (String, String) {
    (decode_value(name), decode_value(value))
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
}

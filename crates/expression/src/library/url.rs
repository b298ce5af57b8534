//! URLs, read as Go reads them.

use std::collections::BTreeMap;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{Foreign, Value};

pub const LIBRARY: &[Declaration] = &[
    ("string_to_url url(string) -> kubernetes.URL", parse),
    ("is_url_string isURL(string) -> bool", is_url),
    ("url_get_scheme kubernetes.URL:getScheme() -> string", scheme),
    ("url_get_host kubernetes.URL:getHost() -> string", host),
    ("url_get_hostname kubernetes.URL:getHostname() -> string", hostname),
    ("url_get_port kubernetes.URL:getPort() -> string", port),
    ("url_get_escaped_path kubernetes.URL:getEscapedPath() -> string", escaped_path),
    ("url_get_query kubernetes.URL:getQuery() -> map(string, list(string))", query),
];

#[derive(Debug, Default, PartialEq)]
pub struct Url {
    text: String,
    scheme: String,
    /// With its port.
    host: String,
    path: String,
    query: String,
}

impl Foreign for Url {
    fn type_name(&self) -> &'static str {
        "kubernetes.URL"
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<Self>().is_some_and(|other| self.text == other.text)
    }
}

impl Url {
    /// An absolute URL or path, as it may stand in a request.
    pub fn parse_request(text: &str) -> Result<Self, String> {
        Self::of(text).map_err(|reason| format!("parse {text:?}: {reason}"))
    }

    fn of(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        if text.is_empty() {
            return Err("empty url".to_owned());
        }
        let (scheme, rest) = split_scheme(text)?;
        let mut url = Self { text: text.to_owned(), scheme: scheme.to_ascii_lowercase(), ..Self::default() };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        url.query = query.split('#').next().unwrap_or_default().to_owned();
        if text == "*" {
            url.path = "*".to_owned();
            return Ok(url);
        }
        if !rest.starts_with('/') {
            // What follows a scheme at once is opaque.
            return if url.scheme.is_empty() { Err("invalid URI for request".to_owned()) } else { Ok(url) };
        }
        let mut path = rest;
        if let Some(authority) = rest.strip_prefix("//").filter(|_| !url.scheme.is_empty()) {
            let end = authority.find('/').unwrap_or(authority.len());
            let (authority, behind) = authority.split_at(end);
            url.host = parse_authority(authority)?;
            path = behind;
        }
        check_escapes(path)?;
        url.path = path.split('#').next().unwrap_or_default().to_owned();
        Ok(url)
    }

    fn hostname(&self) -> &str {
        let (host, _) = split_port(&self.host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The path as it was written, where it was written well.
    fn escaped_path(&self) -> String {
        let mut escaped = String::with_capacity(self.path.len());
        for byte in self.path.bytes() {
            match byte {
                b'%' | b'/' | b'!' | b'\'' | b'(' | b')' | b'*' | b'[' | b']' => escaped.push(char::from(byte)),
                byte if byte.is_ascii_alphanumeric() || b"-_.~$&+,:;=@".contains(&byte) => {
                    escaped.push(char::from(byte));
                }
                byte => escaped.push_str(&format!("%{byte:02X}")),
            }
        }
        escaped
    }
}

/// The scheme, empty if there is none, and what follows its colon.
fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// The host with its port.
fn parse_authority(authority: &str) -> Result<String, String> {
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if user.is_some_and(|user| !user.chars().all(|c| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c))) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    let port = match host.strip_prefix('[') {
        Some(rest) => rest.rsplit_once(']').ok_or("missing ']' in host")?.1,
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let well_formed = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if !well_formed {
        return Err(format!("invalid port {port:?} after host"));
    }
    if let Some(fault) = host.chars().find(|c| c.is_ascii() && !is_host_character(*c)) {
        return Err(format!("invalid character {:?} in host name", fault.to_string()));
    }
    check_escapes(host)?;
    Ok(host.to_owned())
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c)
}

fn check_escapes(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            let shown: String = text[at..].chars().take(3).collect();
            return Err(format!("invalid URL escape {shown:?}"));
        }
    }
    Ok(())
}

fn split_port(host: &str) -> (&str, &str) {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => (&host[..at], &host[at + 1..]),
        _ => (host, ""),
    }
}

/// Of a query: plus signs are spaces. None if an escape is none.
fn unescape(text: &str) -> Option<String> {
    check_escapes(text).ok()?;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte.unwrap_or(b'0')).to_digit(16).unwrap_or(0) as u8;
                let high = digit(rest.next());
                high * 16 + digit(rest.next())
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

type Outcome<'a> = Result<Value<'a>, Error>;

fn parse<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = values else { return Err(Error::NoOverload) };
    let url = Url::parse_request(text)
        .map_err(|error| Error::failed(format!("URL parse error during conversion from string: {error}")))?;
    Ok(Value::foreign(url))
}

fn is_url<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = values else { return Err(Error::NoOverload) };
    Ok(Value::Bool(Url::parse_request(text).is_ok()))
}

fn part<'a>(values: &[Value<'a>], of: impl Fn(&Url) -> String) -> Outcome<'a> {
    values[0].downcast().map(|url| Value::from(of(url))).ok_or(Error::NoOverload)
}

fn scheme<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |url| url.scheme.clone())
}

fn host<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |url| url.host.clone())
}

fn hostname<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |url| url.hostname().to_owned())
}

fn port<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, |url| split_port(&url.host).1.to_owned())
}

fn escaped_path<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    part(values, Url::escaped_path)
}

fn query<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let url: &Url = values[0].downcast().ok_or(Error::NoOverload)?;
    let mut found: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescape(key), unescape(value)) {
            found.entry(key).or_default().push(Value::from(value));
        }
    }
    Ok(Value::map(found.into_iter().map(|(key, values)| (key, Value::list(values)))))
}

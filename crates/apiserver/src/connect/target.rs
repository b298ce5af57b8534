//! What the name and the path of a proxied request mean.

use crate::call::Call;

/// `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`; the port may be empty, a number or a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub tls: bool,
    pub name: String,
    pub port: String,
}

impl Target {
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, name, port) = match text.split(':').collect::<Vec<_>>().as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let tls = match scheme {
            "" | "http" => false,
            "https" => true,
            _ => return None,
        };
        (!name.is_empty()).then(|| Self { tls, name: name.to_owned(), port: port.to_owned() })
    }
}

/// What the backend is asked: the rest of the path, and the query as it came.
pub fn path_and_query(call: &Call) -> String {
    let rest = if call.info.rest.is_empty() { "/" } else { &call.info.rest };
    match call.parts.uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_carry_a_scheme_and_a_port() {
        let target = |tls, name: &str, port: &str| Some(Target { tls, name: name.to_owned(), port: port.to_owned() });
        assert_eq!(Target::parse("web"), target(false, "web", ""));
        assert_eq!(Target::parse("web:80"), target(false, "web", "80"));
        assert_eq!(Target::parse("https:web:metrics"), target(true, "web", "metrics"));
        assert_eq!(Target::parse("https:web:"), target(true, "web", ""));
        assert_eq!(Target::parse("ftp:web:1"), None);
        assert_eq!(Target::parse(""), None);
    }
}

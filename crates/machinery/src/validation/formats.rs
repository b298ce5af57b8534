//! What names and other short texts must look like. Each check answers with upstream's messages; none: valid.

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
    and must start and end with an alphanumeric character";
const SUBDOMAIN_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
    '-' or '.', and must start and end with an alphanumeric character";
const DNS1035_FORMAT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const DNS1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
    with an alphabetic character, and end with an alphanumeric character";
const WILDCARD_MESSAGE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS \
    subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric \
    character";
const QUALIFIED_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character";
const LABEL_VALUE_FORMAT: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const LABEL_VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
    '-', '_' or '.', and must start and end with an alphanumeric character";
const CONFIG_KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
const HEADER_MESSAGE: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
const PERCENT_MESSAGE: &str = "a valid percent string must be a numeric string followed by an ending '%'";
const ENV_MESSAGE: &str = "a valid environment variable name must consist only of printable ASCII characters other \
    than '='";

/// Bytes that a DNS label may have.
pub const LABEL_MAX: usize = 63;
/// Bytes that a DNS subdomain may have.
pub const SUBDOMAIN_MAX: usize = 253;

/// A name such as a Pod's container has.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut messages = length(value, LABEL_MAX);
    if !is_label(value) {
        messages.push(match is_subdomain(value) {
            true => "must not contain dots".to_owned(),
            false => pattern(LABEL_MESSAGE, LABEL_FORMAT, &["my-name", "123-abc"]),
        });
    }
    messages
}

/// A name such as most objects have.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut messages = length(value, SUBDOMAIN_MAX);
    if !is_subdomain(value) {
        messages.push(pattern(SUBDOMAIN_MESSAGE, SUBDOMAIN_FORMAT, &["example.com"]));
    }
    messages
}

/// A name such as Services have.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut messages = length(value, LABEL_MAX);
    if !is_label(value) || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        messages.push(pattern(DNS1035_MESSAGE, DNS1035_FORMAT, &["my-name", "abc-123"]));
    }
    messages
}

/// `*.` and a subdomain.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut messages = length(value, SUBDOMAIN_MAX);
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        let format = format!("\\*\\.{SUBDOMAIN_FORMAT}");
        messages.push(pattern(WILDCARD_MESSAGE, &format, &["*.example.com"]));
    }
    messages
}

/// A part of a path: role names and the like, which may hold nearly everything.
pub fn path_segment_name(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    let forbidden = ["/", "%"].into_iter().filter(|part| value.contains(part));
    forbidden.map(|part| format!("may not contain '{part}'")).collect()
}

/// A label's key, a resource's name, a finalizer: a name with or without a domain and a slash before it.
pub fn qualified_name(value: &str) -> Vec<String> {
    let examples = &["MyName", "my.name", "123-abc"];
    let (mut messages, name) = match value.split('/').collect::<Vec<_>>().as_slice() {
        [name] => (Vec::new(), *name),
        ["", name] => (vec!["prefix part must be non-empty".to_owned()], *name),
        [prefix, name] => (prefixed("prefix part ", prefix_of_name(prefix)), *name),
        _ => {
            let message = pattern(QUALIFIED_MESSAGE, QUALIFIED_FORMAT, examples);
            let rest = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {message} {rest}")];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else {
        messages.extend(prefixed("name part ", length_in_bytes(name, LABEL_MAX)));
    }
    if !is_qualified_part(name) {
        messages.push(format!("name part {}", pattern(QUALIFIED_MESSAGE, QUALIFIED_FORMAT, examples)));
    }
    messages
}

fn prefix_of_name(prefix: &str) -> Vec<String> {
    let mut messages = length_in_bytes(prefix, SUBDOMAIN_MAX);
    if !is_subdomain(prefix) {
        messages.push(pattern(SUBDOMAIN_MESSAGE, SUBDOMAIN_FORMAT, &["example.com"]));
    }
    messages
}

pub fn label_value(value: &str) -> Vec<String> {
    let mut messages = length_in_bytes(value, LABEL_MAX);
    if !value.is_empty() && !is_qualified_part(value) {
        messages.push(pattern(LABEL_VALUE_MESSAGE, LABEL_VALUE_FORMAT, &["MyValue", "my_value", "12345"]));
    }
    messages
}

/// The name of a port: an IANA service name.
pub fn port_name(value: &str) -> Vec<String> {
    let mut messages = length(value, 15);
    let mut require = |holds: bool, message: &str| {
        if !holds {
            messages.push(message.to_owned());
        }
    };
    let charset = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    require(
        !value.is_empty() && value.chars().all(charset),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    require(value.contains(|c: char| c.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    require(!value.contains("--"), "must not contain consecutive hyphens");
    require(!value.starts_with('-') && !value.ends_with('-'), "must not begin or end with a hyphen");
    messages
}

pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65535)
}

/// A user or group of a process.
pub fn user_id(id: i64) -> Vec<String> {
    in_range(id, 0, u32::MAX.into())
}

pub fn in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) {
        Vec::new()
    } else {
        vec![format!("must be between {low} and {high}, inclusive")]
    }
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut messages = length(value, SUBDOMAIN_MAX);
    let charset = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if value.is_empty() || !value.chars().all(charset) {
        messages.push(pattern(CONFIG_KEY_MESSAGE, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    messages.extend(parent_folder(value));
    messages
}

pub fn env_var_name(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.is_empty() {
        messages.push("environment variable name must be non-empty".to_owned());
    }
    if !value.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        messages.push(ENV_MESSAGE.to_owned());
    }
    messages
}

pub fn http_header_name(value: &str) -> Vec<String> {
    let valid = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if valid { Vec::new() } else { vec![pattern(HEADER_MESSAGE, "[-A-Za-z0-9]+", &["X-Header-Name"])] }
}

pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or_default();
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if valid { Vec::new() } else { vec![pattern(PERCENT_MESSAGE, "[0-9]+%", &["1%", "93%"])] }
}

fn is_label(value: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = value.as_bytes();
    let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
    ends && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

fn is_qualified_part(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn length(value: &str, max: usize) -> Vec<String> {
    if value.len() > max { vec![format!("must be no more than {max} characters")] } else { Vec::new() }
}

/// Upstream counts the same for all, but words it so for labels alone.
fn length_in_bytes(value: &str, max: usize) -> Vec<String> {
    if value.len() > max { vec![format!("must be no more than {max} bytes")] } else { Vec::new() }
}

fn prefixed(prefix: &str, messages: Vec<String>) -> Vec<String> {
    messages.into_iter().map(|message| format!("{prefix}{message}")).collect()
}

fn parent_folder(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// Upstream's text for a value that does not match a regular expression.
pub fn pattern(message: &str, format: &str, examples: &[&str]) -> String {
    let regex = format!("regex used for validation is '{format}')");
    if examples.is_empty() {
        return format!("{message} ({regex}");
    }
    let quoted: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}{regex}", quoted.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(valid: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
        for value in good {
            assert_eq!(valid(value), Vec::<String>::new(), "{value}");
        }
        for value in bad {
            assert!(!valid(value).is_empty(), "{value:?} passed");
        }
    }

    #[test]
    fn names_follow_dns() {
        let long = "a".repeat(64);
        check(dns1123_label, &["a", "0", "a-1", "1-a", "a--b"], &["", "-", "a-", "-a", "A", "a.b", "a_b", " a", &long]);
        check(dns1123_subdomain, &["a", "a.b", "0.0", &long], &["", ".", "a..b", "a.", "A", "a_b", "a.-b"]);
        check(dns1035_label, &["a", "a1", "a-b"], &["", "1a", "-a", "a-", "A", "a.b"]);
        check(wildcard_dns1123_subdomain, &["*.a.b"], &["*", "*.", "a.b", "*.*.a", "*a.b"]);
        check(path_segment_name, &["system:node", "a b"], &[".", "..", "a/b", "50%"]);
    }

    #[test]
    fn keys_and_values_of_labels() {
        let good = ["simple", "now-with-dashes", "1.2.3.4/5678", "a.b/Simple", "UpperCase_1"];
        check(qualified_name, &good, &["", "nospace ", "/a", "a/", "a/b/c", "-a", "a_", "A.b/c", &"a".repeat(64)]);
        check(label_value, &["", "simple", "1-2_3.4"], &["-", "a-", "a/b", "a b", &"a".repeat(64)]);
    }

    #[test]
    fn messages_are_upstreams() {
        assert_eq!(
            dns1035_label("1a"),
            ["a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
              character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
              validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
    }

    #[test]
    fn ports_keys_and_variables() {
        check(port_name, &["http", "a-1", "1a"], &["", "-a", "a-", "a--b", "80", "HTTP", "abcdefghijklmnop"]);
        check(config_map_key, &["a", ".a", "A_b-c.d"], &["", ".", "..", "..a", "a/b"]);
        check(env_var_name, &["A", "a.b", "1", "a b"], &["", "a=b", "ä"]);
        check(percent, &["0%", "100%"], &["%", "1", "-1%"]);
        check(http_header_name, &["X-A"], &["", "X A"]);
    }
}

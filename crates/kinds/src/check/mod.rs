//! What validation of any kind is made of.

mod at;
mod conditions;
mod same;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use machinery::field::{Error, ErrorList};
use machinery::quantity::Quantity;
use machinery::validation::{
    dns1123_subdomain, path_segment_name, pattern, percent, port_name, port_number, validate_label_selector,
};
use serde_json::Value;

pub use at::At;
pub use conditions::validate_conditions;
pub use same::same;

/// What upstream lets a path below a domain be.
const PATH_FORMAT: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
pub const NON_NEGATIVE: &str = "must be greater than or equal to 0";
pub const NOT_POSITIVE: &str = "must be greater than zero";
pub const IMMUTABLE: &str = "field is immutable";

/// An error unless the value is absent or not negative.
pub fn non_negative(at: &At) -> Option<Error> {
    at.int().filter(|number| *number < 0).map(|_| at.invalid(NON_NEGATIVE))
}

/// An error when the text is absent, empty or none of `supported`.
pub fn required_one_of(at: &At, supported: &[&str]) -> Option<Error> {
    if at.text().is_empty() { Some(at.required("")) } else { one_of(at, supported) }
}

/// An error when there is a text that is none of `supported`.
pub fn one_of(at: &At, supported: &[&str]) -> Option<Error> {
    let known = at.text().is_empty() || supported.contains(&at.text());
    (!known).then(|| at.not_supported(supported))
}

/// An error when the value is absent or empty.
pub fn required(at: &At) -> Option<Error> {
    at.is_empty().then(|| at.required(""))
}

/// A text that must be there and pass `check`.
pub fn required_name(at: &At, check: fn(&str) -> Vec<String>) -> ErrorList {
    if at.text().is_empty() { vec![at.required("")] } else { at.check(check) }
}

/// A text that passes `check` when it is there.
pub fn optional_name(at: &At, check: fn(&str) -> Vec<String>) -> ErrorList {
    if at.text().is_empty() { ErrorList::new() } else { at.check(check) }
}

/// What a reference needs to be followed: fields that must be there and may stand in a path.
pub fn reference_parts(reference: &At, fields: &[&str]) -> ErrorList {
    fields.iter().flat_map(|field| required_name(&reference.child(field), path_segment_name)).collect()
}

/// A reference to an object by group, kind and name.
pub fn typed_reference(reference: &At) -> ErrorList {
    let group = reference.child("apiGroup");
    let mut errors = if group.is_set() { group.check(dns1123_subdomain) } else { ErrorList::new() };
    errors.extend(reference_parts(reference, &["kind", "name"]));
    errors
}

/// An error when the field is not what it was.
pub fn immutable(new: &At, old: &At) -> Option<Error> {
    (!same(new.value, old.value)).then(|| new.invalid(IMMUTABLE))
}

/// Texts that occur more than once among the fields `name` of `items`, from the second on.
pub fn duplicates(items: &[At], name: &str) -> ErrorList {
    let mut seen = std::collections::HashSet::new();
    let names = items.iter().map(|item| item.child(name)).filter(|at| !at.is_empty());
    names.filter_map(|at| (!seen.insert(at.value.to_string())).then(|| at.duplicate())).collect()
}

/// `example.com/path`: a domain and something in it.
pub fn domain_prefixed_path(at: &At) -> ErrorList {
    match at.text().split_once('/') {
        _ if at.is_empty() => vec![at.required("")],
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            let mut errors: ErrorList =
                dns1123_subdomain(domain).into_iter().map(|text| Error::invalid(&at.path, domain, text)).collect();
            let valid = path.chars().all(|c| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c));
            let format = pattern("Invalid path", PATH_FORMAT, &[]);
            errors.extend((!valid).then(|| Error::invalid(&at.path, path, format)));
            errors
        }
        _ => vec![at.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")")],
    }
}

/// A port by number or by name.
pub fn port_or_name(at: &At) -> ErrorList {
    match at.value {
        Value::String(name) => at.messages(port_name(name)),
        _ => at.messages(port_number(at.int().unwrap_or(0))),
    }
}

/// A number that is not negative, or a percentage.
pub fn int_or_percent(at: &At) -> ErrorList {
    match at.value {
        Value::Null => ErrorList::new(),
        Value::String(text) => at.messages(percent(text)),
        _ => non_negative(at).into_iter().collect(),
    }
}

/// The number before the percent sign, when the value is a percentage.
pub fn percentage(at: &At) -> Option<i64> {
    at.text().strip_suffix('%')?.parse().ok()
}

/// Whether an int-or-percent is zero, as `0` or `0%`.
pub fn is_zero(at: &At) -> bool {
    at.int() == Some(0) || percentage(at) == Some(0)
}

/// The quantity there is, when there is one that can be read.
pub fn quantity(at: &At) -> Option<Quantity> {
    Quantity::parse(&crate::columns::scalar(at.value)).ok()
}

/// The quantity as upstream prints it.
pub fn shown_quantity(at: &At) -> String {
    let text = crate::columns::scalar(at.value);
    Quantity::normalize(&text).unwrap_or(text)
}

/// A quantity that must be readable and not negative.
pub fn non_negative_quantity(at: &At) -> Option<Error> {
    match quantity(at) {
        None => Some(at.invalid("must be a valid resource quantity")),
        Some(amount) if amount.is_negative() => Some(Error::invalid(&at.path, shown_quantity(at), NON_NEGATIVE)),
        Some(_) => None,
    }
}

/// A quantity that must be readable and more than nothing.
pub fn positive_quantity(at: &At) -> Option<Error> {
    match quantity(at) {
        None => Some(at.invalid("must be a valid resource quantity")),
        Some(amount) if amount.is_negative() || amount.is_zero() => {
            Some(Error::invalid(&at.path, shown_quantity(at), NOT_POSITIVE))
        }
        Some(_) => None,
    }
}

/// A `metav1.LabelSelector` that must select the pods of the template. `workload` is named in the text.
pub fn workload_selector(selector: &At, template: &At, workload: &str) -> ErrorList {
    if !selector.is_set() {
        // What does not say which it selects, selects none.
        return vec![selector.required(""), unmatched(&template.child("metadata").child("labels"))];
    }
    let mut errors = validate_label_selector(selector.value, &selector.path);
    if selector.child("matchLabels").is_empty() && selector.child("matchExpressions").is_empty() {
        errors.push(selector.invalid(format!("empty selector is invalid for {workload}")));
    }
    errors.extend(selector_matches(selector, template));
    errors
}

/// The selector must match the labels of the pods that the template makes.
pub fn selector_matches(selector: &At, template: &At) -> Option<Error> {
    let labels_at = template.child("metadata").child("labels");
    let labels = labels_at.entries().iter().map(|(key, label)| ((*key).to_owned(), label.text().to_owned())).collect();
    let parsed = machinery::selector::LabelSelector::from_object(selector.value).ok()?;
    (!parsed.matches_map(&labels)).then(|| unmatched(&labels_at))
}

pub fn unmatched(labels: &At) -> Error {
    labels.invalid("`selector` does not match template `labels`")
}

/// An address of either family.
pub fn validate_ip(at: &At) -> Option<Error> {
    let text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    at.text().parse::<std::net::IpAddr>().is_err().then(|| at.invalid(text))
}

/// An address and the length of its prefix.
pub fn is_cidr(text: &str) -> bool {
    cidr(text).is_some()
}

fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
    let max = if address.is_ipv4() { 32 } else { 128 };
    (length <= max).then_some((address, length))
}

/// What is unusual about how a range is written: bits below its prefix, or an IPv6 address in another form.
///
/// upstream: pkg/api/validation/warnings
pub fn cidr_warning(at: &At) -> Option<String> {
    let (text, path) = (at.text(), &at.path);
    let (address, length) = cidr(text)?;
    let (network, bits): (IpAddr, u8) = match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            (Ipv4Addr::from_bits(ip.to_bits() & mask).into(), 32)
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            (Ipv6Addr::from_bits(ip.to_bits() & mask).into(), 128)
        }
    };
    let canonical = format!("{address}/{length}");
    if network != address {
        let (range, one) = (format!("{network}/{length}"), format!("{address}/{bits}"));
        let text = format!("CIDR value {text:?} is ambiguous in this context (should be {range:?} or {one:?}?)");
        return Some(format!("{path}: {text}"));
    }
    let text = format!("IPv6 CIDR value {text:?} should be in RFC 5952 canonical format ({canonical:?})");
    (address.is_ipv6() && canonical != at.text()).then(|| format!("{path}: {text}"))
}

/// Whether all of `inner` lies in `outer`, and `outer` is larger.
pub fn is_strict_subset(inner: &str, outer: &str) -> bool {
    let (Some((inner, inner_length)), Some((outer, outer_length))) = (cidr(inner), cidr(outer)) else { return false };
    let mask = u128::MAX.checked_shl(128 - u32::from(outer_length)).unwrap_or(0);
    let same_family = inner.is_ipv4() == outer.is_ipv4();
    same_family && inner_length > outer_length && leading_bits(inner) & mask == leading_bits(outer) & mask
}

/// The bits of an address, the first one uppermost.
fn leading_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_ranges_are_told() {
        let warning = |text: &str| {
            let value = text.into();
            cidr_warning(&At { value: &value, path: machinery::field::Path::new("cidr") })
        };
        assert_eq!(warning("10.0.0.0/8"), None);
        assert_eq!(warning("fd00::/64"), None);
        assert_eq!(
            warning("10.1.2.3/8").unwrap(),
            r#"cidr: CIDR value "10.1.2.3/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.1.2.3/32"?)"#
        );
        assert_eq!(
            warning("FD00::/64").unwrap(),
            r#"cidr: IPv6 CIDR value "FD00::/64" should be in RFC 5952 canonical format ("fd00::/64")"#
        );
    }

    #[test]
    fn ranges_lie_in_larger_ranges() {
        assert!(is_strict_subset("10.1.0.0/16", "10.0.0.0/8"));
        assert!(is_strict_subset("10.1.0.0/16", "0.0.0.0/0"));
        assert!(is_strict_subset("fd00:1::/64", "fd00::/16"));
        assert!(!is_strict_subset("10.0.0.0/8", "10.0.0.0/8"));
        assert!(!is_strict_subset("11.0.0.0/16", "10.0.0.0/8"));
        assert!(!is_strict_subset("10.0.0.0", "10.0.0.0/8"));
    }
}

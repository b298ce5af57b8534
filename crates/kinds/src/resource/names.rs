//! Names of devices, pools and requests, and the sizes of lists.
//!
//! upstream: pkg/apis/resource/validation

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_subdomain, pattern};

use crate::check::At;
use crate::core::pod::validate::drivers::validate_driver_name;

const ID_MAX: usize = 32;
const POOL_MAX: usize = 253;
const IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
    alphanumeric characters or '_'";

/// Checks every item, unless there are more than `max`.
pub fn validate_list(list: &At, max: usize, validate: impl FnMut(&At) -> ErrorList) -> ErrorList {
    let items = list.items();
    match items.len() > max {
        true => vec![Error::too_many(&list.path, items.len(), max)],
        false => items.iter().flat_map(validate).collect(),
    }
}

/// The same for a list whose items have a `key` of their own.
pub fn validate_set<'a>(
    list: &At<'a>,
    max: usize,
    key: impl Fn(&At<'a>) -> String,
    validate: impl FnMut(&At) -> ErrorList,
) -> ErrorList {
    let mut errors = validate_list(list, max, validate);
    let items = list.items();
    if items.len() <= max {
        let mut seen = HashSet::new();
        let repeated = items.iter().map(|item| (item, key(item))).filter(|(_, key)| !seen.insert(key.clone()));
        errors.extend(repeated.map(|(item, key)| Error::duplicate(&item.path, key)));
    }
    errors
}

/// The name of an item, as the key of a set.
pub fn by_name(item: &At) -> String {
    item.child("name").text().to_owned()
}

/// Domains, parted by slashes.
pub fn validate_pool_name(name: &At) -> ErrorList {
    if name.is_empty() {
        return vec![name.required("")];
    }
    let long = name.text().len() > POOL_MAX;
    let mut errors: ErrorList = long.then(|| Error::too_long(&name.path, POOL_MAX)).into_iter().collect();
    for part in name.text().split('/') {
        errors.extend(dns1123_subdomain(part).into_iter().map(|fault| Error::invalid(&name.path, part, fault)));
    }
    errors
}

/// An identifier, which may stand below a domain.
pub fn validate_qualified(name: &str, at: &At) -> ErrorList {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        [id] => validate_identifier(id, at),
        [domain, id] => {
            let value = domain.into();
            let mut errors = match domain.is_empty() {
                true => vec![at.invalid_empty("the domain must not be empty")],
                false => validate_driver_name(&At { value: &value, path: at.path.clone() }),
            };
            match id.is_empty() {
                true => errors.push(at.invalid_empty("the name must not be empty")),
                false => errors.extend(validate_identifier(id, at)),
            }
            errors
        }
        // Upstream lets these through.
        _ => ErrorList::new(),
    }
}

fn validate_identifier(id: &str, at: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend((id.len() > ID_MAX).then(|| Error::too_long(&at.path, ID_MAX)));
    let first = id.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if !first || !id.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
        let text = pattern(IDENTIFIER, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"]);
        errors.push(Error::invalid(&at.path, id, text));
    }
    errors
}

pub fn validate_fully_qualified(name: &At) -> ErrorList {
    let mut errors = validate_qualified(name.text(), name);
    let text = "a fully qualified name must be a domain and a name separated by a slash";
    errors.extend((!name.text().contains('/')).then(|| name.invalid(text)));
    errors
}

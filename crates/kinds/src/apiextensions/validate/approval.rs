//! Groups of the community need an approval.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};

const APPROVED: &str = "api-approved.kubernetes.io";

#[derive(PartialEq, Eq)]
enum Approval {
    Missing,
    Bypassed,
    Approved,
    Invalid,
}

fn approval(definition: &Object) -> Approval {
    match definition.annotation(APPROVED).unwrap_or_default() {
        "" => Approval::Missing,
        text if text.starts_with("unapproved") => Approval::Bypassed,
        text if text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) => {
            Approval::Approved
        }
        _ => Approval::Invalid,
    }
}

fn is_protected(group: &str) -> bool {
    let under = |domain: &str| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    under("k8s.io") || under("kubernetes.io")
}

/// Asked for when a definition is made, or what it says of its approval changes.
pub fn validate_approval(new: &Object, old: Option<&Object>) -> ErrorList {
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let state = approval(new);
    if !is_protected(new.str(&["spec", "group"])) || old.is_some_and(|old| approval(old) == state) {
        return ErrorList::new();
    }
    let path = Path::new("metadata").child("annotations").key(APPROVED);
    match state {
        Approval::Missing => {
            vec![Error::required(&path, format!("protected groups must have approval annotation {APPROVED:?}, {SEE}"))]
        }
        Approval::Invalid => {
            let text = format!(
                "protected groups must have approval annotation {APPROVED:?} with either a URL or a reason starting with \
                 \"unapproved\", {SEE}"
            );
            vec![Error::invalid(&path, new.annotation(APPROVED).unwrap_or_default(), text)]
        }
        Approval::Bypassed | Approval::Approved => ErrorList::new(),
    }
}

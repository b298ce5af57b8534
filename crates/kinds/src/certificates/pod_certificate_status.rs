//! What a signer may say of a PodCertificateRequest: once, that it is issued, denied or failed, and never anything else.
//!
//! upstream: pkg/apis/certificates/validation (ValidatePodCertificateRequestStatusUpdate)

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::Encode;
use jiff::{SignedDuration, Timestamp};
use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use x509_cert::Certificate;

use super::contents::{CERTIFICATE, chain};
use crate::check::{At, same, validate_conditions};
use crate::tree::condition_is_true;

pub const TYPES: [&str; 3] = ["Issued", "Denied", "Failed"];

const CHAIN_MAX: usize = 100 << 10;
const LIFETIME_MIN: SignedDuration = SignedDuration::from_hours(1);
/// Between the ends of the lifetime and when to ask anew.
const REFRESH_MARGIN: SignedDuration = SignedDuration::from_mins(10);
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);
const OVER: &str = "immutable after PodCertificateRequest is issued, denied, or failed";
const CONDITIONS_ALONE: &str =
    "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
const NOTHING_ELSE: &str = r#"status is immutable unless transitioning to "Issued", "Denied", or "Failed""#;

pub fn validate_status_update(new: &Object, old: &Object) -> ErrorList {
    let (status, was) = (At::field(new, "status"), At::field(old, "status"));
    let conditions = status.child("conditions");
    let mut errors = validate_types(&conditions);
    errors.extend(validate_conditions(&conditions));
    if !errors.is_empty() {
        return errors;
    }
    let unchanged = |text: &str| (!same(status.value, was.value)).then(|| Error::withheld(&status.path, text));
    if TYPES.iter().any(|of_type| condition_is_true(old, of_type)) {
        return unchanged(OVER).into_iter().collect();
    }
    if ["Denied", "Failed"].iter().any(|of_type| condition_is_true(new, of_type)) {
        let others = ["certificateChain", "notBefore", "notAfter", "beginRefreshAt"].map(|field| status.child(field));
        let said = others.iter().any(|field| !field.is_empty());
        return said.then(|| Error::withheld(&status.path, CONDITIONS_ALONE)).into_iter().collect();
    }
    match condition_is_true(new, "Issued") {
        true => validate_issued(&status, &At::field(old, "spec")).err().unwrap_or_default(),
        false => unchanged(NOTHING_ELSE).into_iter().collect(),
    }
}

/// Only these, one of them, and it is true. Upstream writes the index as a field of its own.
fn validate_types(conditions: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut known = 0;
    for (index, condition) in conditions.items().iter().enumerate() {
        let at = |field: &str| -> Path { conditions.path.child(&format!("[{index}].{field}")) };
        let (of_type, status) = (condition.child("type").text(), condition.child("status").text());
        if !TYPES.contains(&of_type) {
            errors.push(Error::not_supported(&at("type"), of_type, &TYPES));
            continue;
        }
        known += 1;
        if known > 1 {
            let text = r#"There may be at most one condition with type "Issued", "Denied", or "Failed""#;
            errors.push(Error::invalid(&at("type"), of_type, text));
        }
        if status != "True" {
            errors.push(Error::not_supported(&at("status"), status, &["True"]));
        }
    }
    errors
}

/// The first thing that is wrong with what was issued, or all times that are missing.
fn validate_issued(status: &At, spec: &At) -> Result<(), ErrorList> {
    let at = status.child("certificateChain");
    if at.text().len() > CHAIN_MAX {
        return Err(vec![Error::too_long(&at.path, CHAIN_MAX)]);
    }
    let mut certificates = chain(at.text()).into_iter();
    let leaf = validate_leaf(&at, certificates.next(), spec).map_err(|error| vec![error])?;
    validate_times(status, spec, &leaf)?;
    let fault = certificates.find_map(|(label, certificate)| match certificate {
        _ if label != CERTIFICATE => Some("issued certificate chain must consist entirely of CERTFICATE PEM blocks"),
        None => Some("intermediate certificate does not parse as valid X.509"),
        Some(_) => None,
    });
    fault.map_or(Ok(()), |fault| Err(vec![at.invalid(fault)]))
}

fn validate_leaf(at: &At, block: Option<(&str, Option<Certificate>)>, spec: &At) -> Result<Certificate, Error> {
    let (label, certificate) =
        block.ok_or_else(|| at.invalid("issued certificate chain must contain at least one certificate"))?;
    if label != CERTIFICATE {
        return Err(at.invalid("issued certificate chain must consist entirely of CERTIFICATE PEM blocks"));
    }
    let leaf = certificate.ok_or_else(|| at.invalid("leaf certificate does not parse as valid X.509"))?;
    let issued_to = leaf.tbs_certificate().subject_public_key_info().to_der().ok();
    let wanted = STANDARD.decode(spec.child("pkixPublicKey").text()).ok();
    match issued_to == wanted {
        true => Ok(leaf),
        false => Err(at.invalid("leaf certificate was not issued to the requested public key")),
    }
}

fn validate_times(status: &At, spec: &At, leaf: &Certificate) -> Result<(), ErrorList> {
    let [chain, before, after, refresh] =
        ["certificateChain", "notBefore", "notAfter", "beginRefreshAt"].map(|field| status.child(field));
    let consistent = "must be present and consistent with the issued certificate";
    let in_between = "must be present and in the range [notbefore+10min, notafter-10min]";
    let required = [(&before, consistent), (&after, consistent), (&refresh, in_between)];
    let missing: ErrorList =
        required.into_iter().filter(|(at, _)| time(at).is_none()).map(|(at, text)| at.required(text)).collect();
    let (Some(not_before), Some(not_after), Some(begin)) = (time(&before), time(&after), time(&refresh)) else {
        return Err(missing);
    };
    let validity = leaf.tbs_certificate().validity();
    let (starts, ends) = (instant(&validity.not_before), instant(&validity.not_after));
    let lifetime = ends.duration_since(starts);
    let max = spec.child("maxExpirationSeconds").int().unwrap_or_default();
    let of_lifetime = |text: String| Error::invalid(&chain.path, lifetime.as_nanos() as i64, text);
    let error = if not_before != starts {
        before.invalid("must be set to the NotBefore time encoded in the leaf certificate")
    } else if not_before.duration_since(clock::now()).abs() >= SKEW_MAX {
        before.invalid("must be set to within 5 minutes of kube-apiserver's current time")
    } else if not_after != ends {
        after.invalid("must be set to the NotAfter time encoded in the leaf certificate")
    } else if lifetime < LIFETIME_MIN {
        of_lifetime("leaf certificate lifetime must be >= 1 hour".to_owned())
    } else if lifetime > SignedDuration::from_secs(max) {
        of_lifetime(format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({max})"))
    } else if begin.duration_since(not_before) < REFRESH_MARGIN {
        refresh.invalid("must be at least 10 minutes after status.notBefore")
    } else if not_after.duration_since(begin) < REFRESH_MARGIN {
        refresh.invalid("must be at least 10 minutes before status.notAfter")
    } else {
        return Ok(());
    };
    Err(vec![error])
}

fn time(at: &At) -> Option<Timestamp> {
    at.text().parse().ok()
}

fn instant(time: &x509_cert::time::Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

//! Volumes that bring files of several sources together.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::validate_label_selector;

use super::volumes::{validate_downward_items, validate_key_files, validate_local, validate_mode};
use crate::certificates::validate_signer_name;
use crate::check::{At, required};

const SOURCES: [&str; 6] =
    ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

pub fn validate_projected(volume: &At) -> ErrorList {
    let mut errors: ErrorList = validate_mode(&volume.child("defaultMode")).into_iter().collect();
    let mut paths = HashSet::new();
    for projection in volume.child("sources").items() {
        let set = projection.set_children(&SOURCES);
        for source in &set {
            errors.extend(validate_source(source, volume));
            errors.extend(repeated_paths(source, volume, &mut paths));
        }
        if set.len() > 1 {
            errors.push(projection.forbidden("may not specify more than 1 volume type per source"));
        }
    }
    errors
}

fn validate_source(source: &At, volume: &At) -> ErrorList {
    match source.name().as_str() {
        "secret" | "configMap" => {
            let mut errors: ErrorList = required(&source.child("name")).into_iter().collect();
            errors.extend(validate_key_files(source));
            errors
        }
        "downwardAPI" => validate_downward_items(source),
        "serviceAccountToken" => validate_token(source, volume),
        "clusterTrustBundle" => validate_bundle(source),
        _ => ["signerName", "keyType"].iter().filter_map(|field| required(&source.child(field))).collect(),
    }
}

/// Two sources of one volume may not write the same file. Upstream says it of the volume, and shows the source.
fn repeated_paths<'a>(source: &At<'a>, volume: &At, seen: &mut HashSet<&'a str>) -> ErrorList {
    let files = match source.name().as_str() {
        "secret" | "configMap" | "downwardAPI" => source.child("items").items(),
        "clusterTrustBundle" => vec![source.clone()],
        _ => return ErrorList::new(),
    };
    let paths = files.iter().map(|file| file.child("path").text()).filter(|path| !path.is_empty());
    let repeated = paths.filter(|path| !seen.insert(path));
    let shown = |path: &str| {
        if source.child("name").is_empty() { path.to_owned() } else { source.child("name").text().to_owned() }
    };
    repeated.map(|path| Error::invalid(&volume.path, shown(path), "conflicting duplicate paths")).collect()
}

fn validate_token(token: &At, volume: &At) -> ErrorList {
    let seconds = token.child("expirationSeconds");
    let path = token.child("path").at(volume.path.child("path"));
    let problem = match seconds.int().unwrap_or(0) {
        number if number < TOKEN_SECONDS_MIN => Some("may not specify a duration less than 10 minutes"),
        number if number > TOKEN_SECONDS_MAX => Some("may not specify a duration larger than 2^32 seconds"),
        _ => None,
    };
    let mut errors: ErrorList = problem.into_iter().map(|text| seconds.invalid(text)).collect();
    errors.extend(if path.is_empty() { vec![path.required("")] } else { validate_local(&path) });
    errors
}

fn validate_bundle(bundle: &At) -> ErrorList {
    let (name, signer, selector) = (bundle.child("name"), bundle.child("signerName"), bundle.child("labelSelector"));
    let mut errors = ErrorList::new();
    match (name.is_set(), signer.is_set()) {
        (true, true) => errors.push(bundle.invalid("only one of name and signerName may be used")),
        (true, false) => {
            errors.extend(name.is_empty().then(|| name.required("must be a valid object name")));
            let text = "labelSelector must be unset if name is specified";
            errors.extend(selector.is_set().then(|| selector.invalid(text)));
        }
        (false, true) => {
            errors.extend(signer.is_empty().then(|| signer.required("must be a valid signer name")));
            errors.extend(validate_signer_name(&signer));
            errors.extend(validate_label_selector(selector.value, &selector.path));
        }
        (false, false) => errors.push(bundle.required("either name or signerName must be specified")),
    }
    errors.extend(required(&bundle.child("path")));
    errors.extend(validate_local(&bundle.child("path")));
    errors
}

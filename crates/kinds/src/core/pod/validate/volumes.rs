//! Volumes and the paths in them.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::{config_map_key, dns1123_label, dns1123_subdomain};

use super::env::{validate_field_ref, validate_resource_ref};
use crate::check::{At, non_negative_quantity, one_of, required, required_name};

const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "rbd",
    "cephfs",
    "cinder",
    "fc",
    "downwardAPI",
    "persistentVolumeClaim",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
    "projected",
    "csi",
    "ephemeral",
    "image",
    "azureDisk",
    "flexVolume",
];
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
/// Fields of the pod that a file may show.
const FILE_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

/// The names of the volumes, for mounts to refer to, and what is wrong with them.
pub fn validate_volumes<'a>(volumes: &At<'a>) -> (HashSet<&'a str>, ErrorList) {
    let mut names = HashSet::new();
    let mut errors = ErrorList::new();
    for volume in volumes.items() {
        errors.extend(validate_source(&volume));
        let name = volume.child("name");
        let name_errors = required_name(&name, dns1123_label);
        if name_errors.is_empty() && !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
        errors.extend(name_errors);
    }
    (names, errors)
}

fn validate_source(volume: &At) -> ErrorList {
    let set = volume.set_children(&SOURCES);
    let Some((first, others)) = set.split_first() else {
        return vec![volume.required("must specify a volume type")];
    };
    let mut errors: ErrorList =
        others.iter().map(|at| at.forbidden("may not specify more than 1 volume type")).collect();
    errors.extend(match first.path.to_string().rsplit('.').next().unwrap_or_default() {
        "emptyDir" => validate_empty_dir(first),
        "hostPath" => validate_host_path(first),
        "secret" => validate_files(first, "secretName"),
        "configMap" => validate_files(first, "name"),
        "downwardAPI" => validate_downward(first),
        "projected" => validate_projected(first),
        "persistentVolumeClaim" => required(&first.child("claimName")).into_iter().collect(),
        "nfs" => validate_nfs(first),
        "csi" => required_name(&first.child("driver"), dns1123_subdomain),
        "ephemeral" => required(&first.child("volumeClaimTemplate")).into_iter().collect(),
        "image" => one_of(&first.child("pullPolicy"), PULL_POLICIES).into_iter().collect(),
        _ => ErrorList::new(),
    });
    errors
}

fn validate_empty_dir(source: &At) -> ErrorList {
    let limit = source.child("sizeLimit");
    let negative = limit.is_set() && non_negative_quantity(&limit).is_some();
    let text = "SizeLimit field must be a valid resource quantity";
    negative.then(|| limit.forbidden(text)).into_iter().collect()
}

pub fn validate_host_path(source: &At) -> ErrorList {
    let path = source.child("path");
    if path.is_empty() {
        return vec![path.required("")];
    }
    let mut errors: ErrorList = without_backsteps(&path).into_iter().collect();
    errors.extend(one_of(&source.child("type"), HOST_PATH_TYPES));
    errors
}

pub fn validate_nfs(source: &At) -> ErrorList {
    let mut errors: ErrorList = required(&source.child("server")).into_iter().collect();
    let path = source.child("path");
    errors.extend(required(&path));
    if !path.text().starts_with('/') {
        errors.push(path.invalid("must be an absolute path"));
    }
    errors
}

/// Files from a ConfigMap or a Secret that the field `name` names.
fn validate_files(source: &At, name: &str) -> ErrorList {
    let mut errors: ErrorList = required(&source.child(name)).into_iter().collect();
    errors.extend(validate_mode(&source.child("defaultMode")));
    errors.extend(validate_key_files(source));
    errors
}

fn validate_key_files(source: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for item in source.child("items").items() {
        let (key, path) = (item.child("key"), item.child("path"));
        errors.extend(required_name(&key, config_map_key));
        errors.extend(required(&path));
        if !path.is_empty() {
            errors.extend(validate_local(&path));
        }
        errors.extend(validate_mode(&item.child("mode")));
    }
    errors
}

fn validate_mode(mode: &At) -> Option<Error> {
    mode.int().filter(|mode| !(0..=0o777).contains(mode)).map(|_| mode.invalid(MODE))
}

fn validate_downward(source: &At) -> ErrorList {
    let mut errors: ErrorList = validate_mode(&source.child("defaultMode")).into_iter().collect();
    errors.extend(validate_downward_items(source));
    errors
}

fn validate_downward_items(source: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for item in source.child("items").items() {
        let path = item.child("path");
        errors.extend(required(&path));
        if !path.is_empty() {
            errors.extend(validate_local(&path));
        }
        let (field, resource) = (item.child("fieldRef"), item.child("resourceFieldRef"));
        match (field.is_set(), resource.is_set()) {
            (true, both) => {
                errors.extend(validate_field_ref(&field, FILE_FIELDS));
                if both {
                    let text = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.push(resource.invalid_empty(text));
                }
            }
            (false, true) => errors.extend(validate_resource_ref(&resource, true)),
            (false, false) => errors.push(item.required("one of fieldRef and resourceFieldRef is required")),
        }
        errors.extend(validate_mode(&item.child("mode")));
    }
    errors
}

fn validate_projected(source: &At) -> ErrorList {
    const KINDS: [&str; 6] =
        ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
    let mut errors: ErrorList = validate_mode(&source.child("defaultMode")).into_iter().collect();
    let mut paths = HashSet::new();
    for projection in source.child("sources").items() {
        let set = projection.set_children(&KINDS);
        for (index, kind) in set.iter().enumerate() {
            if index > 0 {
                errors.push(kind.forbidden("may not specify more than 1 volume type per source"));
            }
        }
        for kind in projection.set_children(&["secret", "configMap"]) {
            errors.extend(required_name(&kind.child("name"), dns1123_subdomain));
            errors.extend(validate_key_files(&kind));
        }
        errors.extend(validate_downward_items(&projection.child("downwardAPI")));
        errors.extend(validate_token(&projection.child("serviceAccountToken")));
        errors.extend(conflicting_paths(&set, &mut paths));
    }
    errors
}

/// Two sources of one volume may not write the same file.
fn conflicting_paths<'a>(kinds: &[At<'a>], seen: &mut HashSet<&'a str>) -> ErrorList {
    let items = kinds.iter().flat_map(|kind| kind.child("items").items());
    let paths = items.map(|item| item.child("path")).chain(kinds.iter().map(|kind| kind.child("path")));
    let paths = paths.filter(|path| !path.text().is_empty());
    paths
        .filter_map(|path| {
            (!seen.insert(path.text())).then(|| Error::invalid(&path.path, path.text(), "conflicting duplicate paths"))
        })
        .collect()
}

fn validate_token(token: &At) -> ErrorList {
    if !token.is_set() {
        return ErrorList::new();
    }
    let (seconds, path) = (token.child("expirationSeconds"), token.child("path"));
    let mut errors = ErrorList::new();
    match seconds.int() {
        Some(number) if number < TOKEN_SECONDS_MIN => {
            errors.push(seconds.invalid("may not specify a duration less than 10 minutes"));
        }
        Some(number) if number > TOKEN_SECONDS_MAX => {
            errors.push(seconds.invalid("may not specify a duration larger than 2^32 seconds"));
        }
        _ => {}
    }
    errors.extend(required(&path));
    if !path.is_empty() {
        errors.extend(validate_local(&path));
    }
    errors
}

/// A path that stays below where it starts.
pub fn validate_relative(path: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if path.text().starts_with('/') {
        errors.push(path.invalid("must be a relative path"));
    }
    errors.extend(without_backsteps(path));
    errors
}

pub fn without_backsteps(path: &At) -> Option<Error> {
    path.text().split('/').any(|part| part == "..").then(|| path.invalid("must not contain '..'"))
}

/// A file's path in a volume whose entries with two leading dots are taken.
fn validate_local(path: &At) -> ErrorList {
    let mut errors = validate_relative(path);
    if path.text().starts_with("..") && !path.text().starts_with("../") {
        errors.push(path.invalid("must not start with '..'"));
    }
    errors
}

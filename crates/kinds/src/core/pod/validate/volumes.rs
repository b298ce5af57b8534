//! Volumes and the paths in them.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain};

use super::drivers::{Owner, validate_driver, validate_driver_name};
use super::env::{validate_field_ref, validate_resource_ref};
use super::projected::validate_projected;
use crate::check::{At, non_negative_quantity, one_of, required, required_name, required_one_of};
use crate::core::persistent_volume_claim::validate_claim_template;

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

/// The names of the volumes, for mounts to refer to, and what is wrong with them. `pod` is the name of the pod;
/// nothing for a template.
pub fn validate_volumes<'a>(volumes: &At<'a>, pod: Option<&str>) -> (HashSet<&'a str>, ErrorList) {
    let items = volumes.items();
    let made = made_claims(&items, pod.unwrap_or_default());
    let (mut names, mut errors) = (HashSet::new(), ErrorList::new());
    for volume in &items {
        let name = volume.child("name");
        let mut of_volume = validate_source(volume, pod);
        of_volume.extend(required_name(&name, dns1123_label));
        of_volume.extend(names.contains(name.text()).then(|| name.duplicate()));
        if of_volume.is_empty() {
            names.insert(name.text());
        }
        errors.extend(of_volume);
        errors.extend(validate_claim_of_another(volume, &made));
    }
    (names, errors)
}

/// Names of the claims that are made for ephemeral volumes of the pod.
fn made_claims(volumes: &[At], pod: &str) -> HashSet<String> {
    let ephemeral = volumes.iter().filter(|volume| !pod.is_empty() && volume.child("ephemeral").is_set());
    ephemeral.map(|volume| format!("{pod}-{}", volume.child("name").text())).collect()
}

/// A pod does not use a claim that is made for another of its volumes.
fn validate_claim_of_another(volume: &At, made: &HashSet<String>) -> Option<Error> {
    let claim = volume.child("persistentVolumeClaim").child("claimName");
    let text = "must not reference a PVC that gets created for an ephemeral volume";
    made.contains(claim.text()).then(|| claim.invalid(text))
}

fn validate_source(volume: &At, pod: Option<&str>) -> ErrorList {
    let set = volume.set_children(&SOURCES);
    let Some((first, others)) = set.split_first() else {
        return vec![volume.required("must specify a volume type")];
    };
    let mut errors = match first.name().as_str() {
        "emptyDir" => validate_empty_dir(first),
        "hostPath" => validate_host_path(first),
        "secret" => validate_files(first, "secretName"),
        "configMap" => validate_files(first, "name"),
        "downwardAPI" => validate_downward(first),
        "projected" => validate_projected(first),
        "persistentVolumeClaim" => required(&first.child("claimName")).into_iter().collect(),
        "csi" => validate_csi(first),
        "ephemeral" => validate_ephemeral(first, volume, pod.unwrap_or_default()),
        "image" => validate_image(first, pod.is_some()),
        _ => validate_driver(first, Owner::Pod(volume.child("name").text())),
    };
    errors.extend(others.iter().map(|at| at.forbidden("may not specify more than 1 volume type")));
    errors
}

fn validate_csi(source: &At) -> ErrorList {
    let mut errors = validate_driver_name(&source.child("driver"));
    let secret = source.child("nodePublishSecretRef");
    if secret.is_set() {
        errors.extend(required_name(&secret.child("name"), dns1123_subdomain));
    }
    errors
}

/// A claim made with the pod, named after both.
fn validate_ephemeral(source: &At, volume: &At, pod: &str) -> ErrorList {
    let (template, name) = (source.child("volumeClaimTemplate"), volume.child("name"));
    if !template.is_set() {
        return vec![template.required("")];
    }
    let mut errors = validate_claim_template(&template);
    if !pod.is_empty() && !name.is_empty() {
        let claim = format!("{pod}-{}", name.text());
        let messages = dns1123_subdomain(&claim).into_iter();
        errors.extend(messages.map(|text| name.invalid(format!("PVC name {claim:?}: {text}"))));
    }
    errors
}

fn validate_image(source: &At, of_pod: bool) -> ErrorList {
    let reference = source.child("reference");
    let missing = of_pod && reference.is_empty();
    let mut errors: ErrorList = missing.then(|| reference.required("")).into_iter().collect();
    errors.extend(required_one_of(&source.child("pullPolicy"), PULL_POLICIES));
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

/// Files from a ConfigMap or a Secret that the field `name` names.
fn validate_files(source: &At, name: &str) -> ErrorList {
    let mut errors: ErrorList = required(&source.child(name)).into_iter().collect();
    errors.extend(validate_mode(&source.child("defaultMode")));
    errors.extend(validate_key_files(source));
    errors
}

/// Which keys become which files.
pub fn validate_key_files(source: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for item in source.child("items").items() {
        let path = item.child("path");
        errors.extend(required(&item.child("key")));
        errors.extend(required(&path));
        errors.extend(validate_local(&path));
        errors.extend(validate_mode(&item.child("mode")));
    }
    errors
}

pub fn validate_mode(mode: &At) -> Option<Error> {
    mode.int().filter(|mode| !(0..=0o777).contains(mode)).map(|_| mode.invalid(MODE))
}

fn validate_downward(source: &At) -> ErrorList {
    let mut errors: ErrorList = validate_mode(&source.child("defaultMode")).into_iter().collect();
    errors.extend(validate_downward_items(source));
    errors
}

/// Files that show fields of the pod. Upstream leaves out which of them an error is about.
pub fn validate_downward_items(source: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for item in source.child("items").items() {
        let item = item.at(source.path.clone());
        let (path, field, resource) = (item.child("path"), item.child("fieldRef"), item.child("resourceFieldRef"));
        errors.extend(required(&path));
        errors.extend(validate_local(&path));
        match (field.is_set(), resource.is_set()) {
            (true, both) => {
                errors.extend(validate_field_ref(&field, FILE_FIELDS));
                let text = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.extend(both.then(|| Error::invalid(&item.path, "resource", text)));
            }
            (false, true) => errors.extend(validate_resource_ref(&resource, true)),
            (false, false) => errors.push(item.required("one of fieldRef and resourceFieldRef is required")),
        }
        errors.extend(validate_mode(&item.child("mode")));
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
pub fn validate_local(path: &At) -> ErrorList {
    let mut errors = validate_relative(path);
    if path.text().starts_with("..") && !path.text().starts_with("../") {
        errors.push(path.invalid("must not start with '..'"));
    }
    errors
}

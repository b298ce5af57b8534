//! Where the data of a volume lies, when a pod or a PersistentVolume says it itself.
//!
//! Most of these drivers are gone upstream too; what they say is checked all the same.

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain, in_range};

use super::volumes::{validate_relative, without_backsteps};
use crate::check::{At, one_of, optional_name, required, required_name};

/// Longest name of a volume together with its portal, where the initiator has a name of its own.
const PORTAL_MAX: usize = 64;
const DRIVER_NAME_MAX: usize = 63;
const TENANT_MAX: usize = 64;

/// Whose volume it is: a pod's, with the volume's name, or a PersistentVolume, with its own.
#[derive(Clone, Copy)]
pub enum Owner<'a> {
    Pod(&'a str),
    PersistentVolume(&'a str),
}

impl Owner<'_> {
    fn is_persistent(self) -> bool {
        matches!(self, Self::PersistentVolume(_))
    }
}

/// What each driver cannot do without.
fn required_fields(driver: &str) -> &'static [&'static str] {
    match driver {
        "gitRepo" => &["repository"],
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" | "cinder" | "portworxVolume" => &["volumeID"],
        "nfs" => &["server", "path"],
        "iscsi" => &["targetPortal", "iqn"],
        "glusterfs" => &["endpoints", "path"],
        "rbd" => &["monitors", "image"],
        "cephfs" => &["monitors"],
        "azureFile" => &["secretName", "shareName"],
        "azureDisk" => &["diskName", "diskURI"],
        "vsphereVolume" => &["volumePath"],
        "photonPersistentDisk" => &["pdID"],
        "scaleIO" => &["gateway", "system", "volumeName"],
        "flexVolume" => &["driver"],
        _ => &[],
    }
}

pub fn validate_driver(source: &At, owner: Owner) -> ErrorList {
    let driver = source.name();
    // Upstream's name for it.
    let renamed = driver == "gcePersistentDisk";
    let path = source.path.to_string().replace("gcePersistentDisk", "persistentDisk");
    let source = &if renamed { source.clone().at(machinery::field::Path::new(&path)) } else { source.clone() };
    let fields = required_fields(&driver).iter();
    let mut errors: ErrorList = fields.filter_map(|field| required(&source.child(field))).collect();
    errors.extend(match driver.as_str() {
        "gitRepo" => validate_relative(&source.child("directory")),
        "gcePersistentDisk" | "awsElasticBlockStore" => validate_partition(&source.child("partition")),
        "nfs" => validate_nfs_path(&source.child("path")).into_iter().collect(),
        "iscsi" => validate_iscsi(source, owner),
        "glusterfs" if owner.is_persistent() => validate_endpoints_namespace(&source.child("endpointsNamespace")),
        "flocker" => validate_flocker(source),
        "cinder" => validate_secret(&source.child("secretRef"), owner),
        "quobyte" => validate_quobyte(source),
        "fc" => validate_fibre_channel(source),
        "azureFile" if owner.is_persistent() => {
            let namespace = source.child("secretNamespace");
            (namespace.is_set() && namespace.is_empty()).then(|| namespace.required("")).into_iter().collect()
        }
        "azureDisk" => validate_azure_disk(source),
        "storageos" => validate_storage_os(source, owner),
        "flexVolume" => validate_options(&source.child("options")),
        _ => ErrorList::new(),
    });
    errors
}

fn validate_partition(partition: &At) -> ErrorList {
    let valid = (0..=255).contains(&partition.int().unwrap_or(0));
    if valid { ErrorList::new() } else { vec![partition.invalid("must be between 1 and 255, inclusive")] }
}

fn validate_nfs_path(path: &At) -> Option<Error> {
    let text = "must be an absolute path";
    (!path.text().starts_with('/')).then(|| Error::invalid(&path.path, path.text(), text))
}

fn validate_lun(lun: &At) -> ErrorList {
    lun.messages(in_range(lun.int().unwrap_or(0), 0, 255))
}

fn validate_iscsi(source: &At, owner: Owner) -> ErrorList {
    let (iqn, initiator, portal) = (source.child("iqn"), source.child("initiatorName"), source.child("targetPortal"));
    let mut errors = ErrorList::new();
    let (Owner::Pod(name) | Owner::PersistentVolume(name)) = owner;
    if initiator.is_set() && name.len() + 1 + portal.text().len() > PORTAL_MAX {
        let text = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                    iscsi.initiatorName is specified.";
        errors.push(Error::invalid(&source.path.child("targetportal"), portal.text(), text));
    }
    if !iqn.is_empty() {
        errors.extend(validate_iqn(&iqn));
    }
    errors.extend(validate_lun(&source.child("lun")));
    let secret = source.child("secretRef");
    let asks = ["chapAuthDiscovery", "chapAuthSession"].iter().any(|field| source.child(field).is_true());
    if asks && !secret.is_set() {
        errors.push(secret.required(""));
    }
    if initiator.is_set() {
        errors.extend(validate_iqn(&initiator.at(source.path.child("initiatorname"))));
    }
    errors
}

/// `iqn.2001-04.com.example:storage.disk`, or an EUI or NAA number.
fn validate_iqn(name: &At) -> Option<Error> {
    let text = name.text();
    let number =
        |digits: &str, length: usize| digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let valid = match text.get(..4) {
        Some("iqn.") => is_iqn(&text[4..]),
        Some("eui.") => number(&text[4..], 16),
        Some("naa.") => number(&text[4..], 32),
        _ if ["iqn", "eui", "naa"].iter().any(|prefix| text.starts_with(prefix)) => false,
        _ => return Some(name.invalid("must be valid format starting with iqn, eui, or naa")),
    };
    (!valid).then(|| name.invalid("must be valid format"))
}

fn is_iqn(rest: &str) -> bool {
    let Some((date, name)) = rest.split_once('.') else { return false };
    let Some((authority, part)) = name.split_once(':') else { return false };
    let is_date = date.len() == 7
        && date.split_once('-').is_some_and(|(year, month)| {
            year.len() == 4 && year.bytes().chain(month.bytes()).all(|byte| byte.is_ascii_digit())
        });
    let is_authority =
        !authority.is_empty() && authority.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    is_date && is_authority && !part.is_empty() && !part.contains([',', ';', '*', '&', '$', '|', ' '])
}

fn validate_endpoints_namespace(namespace: &At) -> ErrorList {
    if namespace.is_set() && namespace.is_empty() {
        return vec![namespace.invalid("if the endpointnamespace is set, it must be a valid namespace name")];
    }
    optional_name(namespace, dns1123_label)
}

fn validate_flocker(source: &At) -> ErrorList {
    let (name, uuid) = (source.child("datasetName"), source.child("datasetUUID"));
    let mut errors = ErrorList::new();
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => errors.push(source.required("one of datasetName and datasetUUID is required")),
        (false, false) => {
            let text = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(Error::invalid(&source.path, "resource", text));
        }
        _ => {}
    }
    errors.extend(name.text().contains('/').then(|| name.invalid("must not contain '/'")));
    errors
}

/// A secret that is named; a PersistentVolume says in which namespace, too.
fn validate_secret(secret: &At, owner: Owner) -> ErrorList {
    let fields: &[&str] = if owner.is_persistent() { &["name", "namespace"] } else { &["name"] };
    let set = fields.iter().filter(|_| secret.is_set());
    set.filter_map(|field| required(&secret.child(field))).collect()
}

fn validate_quobyte(source: &At) -> ErrorList {
    let (registry, tenant) = (source.child("registry"), source.child("tenant"));
    let text = "must be a host:port pair or multiple pairs separated by commas";
    let mut errors = ErrorList::new();
    if registry.is_empty() {
        errors.push(registry.required(text));
    } else if tenant.text().len() > TENANT_MAX {
        errors.push(tenant.required("must be a UUID and may not exceed a length of 64 characters"));
    } else {
        let odd = registry.text().split(',').filter(|pair| !pair.contains(':'));
        errors.extend(odd.map(|_| registry.invalid(text)));
    }
    errors.extend(required(&source.child("volume")));
    errors
}

fn validate_fibre_channel(source: &At) -> ErrorList {
    let (names, ids, lun) = (source.child("targetWWNs"), source.child("wwids"), source.child("lun"));
    let mut errors = ErrorList::new();
    match (names.is_empty(), ids.is_empty()) {
        (true, true) => errors.push(names.required("must specify either targetWWNs or wwids, but not both")),
        (false, false) => {
            errors.push(names.invalid("targetWWNs and wwids can not be specified simultaneously"));
        }
        _ => {}
    }
    if !names.is_empty() {
        let missing = vec![lun.required("lun is required if targetWWNs is specified")];
        errors.extend(if lun.is_set() { validate_lun(&lun) } else { missing });
    }
    errors
}

fn validate_azure_disk(source: &At) -> ErrorList {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    let (kind, uri) = (source.child("kind"), source.child("diskURI"));
    let mut errors: ErrorList =
        one_of(&source.child("cachingMode"), &["None", "ReadOnly", "ReadWrite"]).into_iter().collect();
    errors.extend(one_of(&kind, &["Dedicated", "Managed", "Shared"]));
    let (prefix, format) = if kind.text() == "Managed" { ("/subscriptions/", MANAGED) } else { ("https://", BLOB) };
    if kind.is_set() && !uri.text().starts_with(prefix) {
        errors.push(uri.not_supported(&[format]));
    }
    errors
}

fn validate_storage_os(source: &At, owner: Owner) -> ErrorList {
    let mut errors = required_name(&source.child("volumeName"), dns1123_label);
    errors.extend(optional_name(&source.child("volumeNamespace"), dns1123_label));
    errors.extend(validate_secret(&source.child("secretRef"), owner));
    errors
}

/// Options of users keep out of Kubernetes' own names.
fn validate_options(options: &At) -> ErrorList {
    let reserved = |key: &str| {
        let domain = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io")
    };
    let entries = options.entries().into_iter().filter(|(key, _)| reserved(key));
    let text = "kubernetes.io and k8s.io namespaces are reserved";
    entries.map(|(key, at)| Error::invalid(&at.path, key, text)).collect()
}

/// The name a CSI driver goes by.
pub fn validate_driver_name(name: &At) -> ErrorList {
    let mut errors: ErrorList = required(name).into_iter().collect();
    if name.text().len() > DRIVER_NAME_MAX {
        errors.push(Error::too_long(&name.path, DRIVER_NAME_MAX));
    }
    errors.extend(
        dns1123_subdomain(&name.text().to_lowercase())
            .into_iter()
            .map(|text| Error::invalid(&name.path, name.text(), text)),
    );
    errors
}

/// A folder of the node.
pub fn validate_local_folder(source: &At) -> ErrorList {
    let path = source.child("path");
    if path.is_empty() { vec![path.required("")] } else { without_backsteps(&path).into_iter().collect() }
}

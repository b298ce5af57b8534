//! Definitions become kinds.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError, RwLock};

use machinery::Object;
use machinery::jsonpath::JsonPath;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::columns::PrinterColumn;
use super::content::Content;
use super::{Custom, Family, Kept, SelectableField, Webhook};
use crate::def::{KindDef, ScalePaths, Scope, Strategy, Subresource, keep_all_but_status};
use crate::tree::{list_of, str_of};

/// Families by the hash of what they are made of.
static FAMILIES: LazyLock<Mutex<HashMap<[u8; 32], &'static Family>>> = LazyLock::new(Mutex::default);

/// The kinds of a definition. The same definition gives the same kinds, and what is made stays for the life of the
/// process.
pub fn family(definition: &Object) -> &'static Family {
    let source = json!([definition.name(), definition.0.get("spec"), definition.get(&["status", "acceptedNames"])]);
    let hash: [u8; 32] = Sha256::digest(source.to_string()).into();
    let mut families = FAMILIES.lock().unwrap_or_else(PoisonError::into_inner);
    let family = families.entry(hash).or_insert_with(|| compile(definition));
    family.wake();
    family
}

/// Names that definitions use stay for the life of the process, once each.
pub(super) fn intern(name: &str) -> &'static str {
    static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}

/// The same for lists of names.
pub(super) fn intern_all<'a>(names: impl Iterator<Item = &'a str>) -> &'static [&'static str] {
    static LISTS: LazyLock<Mutex<HashSet<&'static [&'static str]>>> = LazyLock::new(Mutex::default);
    let names: Vec<&'static str> = names.map(intern).collect();
    let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lists.get(&*names) {
        return known;
    }
    let names: &'static [&'static str] = Box::leak(names.into_boxed_slice());
    lists.insert(names);
    names
}

/// What all versions share.
struct Shared {
    group: &'static str,
    kind: &'static str,
    list_kind: &'static str,
    resource: &'static str,
    singular: &'static str,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    scope: Scope,
    preserves: bool,
}

impl Shared {
    fn new(definition: &Object) -> Self {
        let spec = &definition.0["spec"];
        let accepted = definition.get(&["status", "acceptedNames"]).unwrap_or(&Value::Null);
        let names = if str_of(accepted, "plural").is_empty() { &spec["names"] } else { accepted };
        let text = |name: &str| intern(str_of(names, name));
        let texts = |name: &str| intern_all(list_of(names, name).iter().filter_map(Value::as_str));
        Self {
            group: intern(str_of(spec, "group")),
            kind: text("kind"),
            list_kind: text("listKind"),
            resource: intern(str_of(&spec["names"], "plural")),
            singular: text("singular"),
            short_names: texts("shortNames"),
            categories: texts("categories"),
            scope: if str_of(spec, "scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
            preserves: spec["preserveUnknownFields"] == true,
        }
    }
}

fn compile(definition: &Object) -> &'static Family {
    let shared = Shared::new(definition);
    let versions = definition.list(&["spec", "versions"]);
    let kinds: Vec<&'static KindDef> = versions.iter().map(|version| kind(&shared, version, versions)).collect();
    let marked = |name: &str| {
        let pairs = versions.iter().zip(&kinds).filter(move |(version, _)| version[name] == true);
        pairs.map(|(_, kind)| *kind).collect::<Vec<_>>()
    };
    let storage = marked("storage").first().copied().or(kinds.first().copied());
    let family: &'static Family = Box::leak(Box::new(Family {
        definition: intern(definition.name()),
        served: marked("served"),
        storage: storage.expect("a definition has versions"),
        versions: kinds,
        webhook: webhook(definition),
    }));
    for custom in family.versions.iter().filter_map(|kind| kind.custom) {
        custom.family.set(family).expect("the family of a new kind is not known yet");
    }
    family
}

fn webhook(definition: &Object) -> Option<Webhook> {
    let conversion = definition.get(&["spec", "conversion"])?;
    let webhook = conversion.get("webhook").filter(|_| str_of(conversion, "strategy") == "Webhook")?;
    let reviews = list_of(webhook, "conversionReviewVersions").iter().filter_map(Value::as_str);
    Some(Webhook { client: webhook["clientConfig"].clone(), reviews: reviews.map(str::to_owned).collect() })
}

fn kind(shared: &Shared, version: &Value, versions: &[Value]) -> &'static KindDef {
    let subresources = &version["subresources"];
    let has_status = subresources["status"].is_object();
    let scale = subresources.get("scale").filter(|scale| scale.is_object());
    let mut served = Vec::new();
    served.extend(has_status.then_some(Subresource::Status));
    served.extend(scale.map(|scale| Subresource::Scale(scale_paths(scale))));
    let custom: &'static Custom = Box::leak(Box::new(Custom {
        list_kind: shared.list_kind,
        columns: columns(version),
        selectable: selectable(version),
        deprecation: deprecation(shared, version, versions),
        scale: scale.map(|scale| {
            ["specReplicasPath", "statusReplicasPath", "labelSelectorPath"].map(|name| str_of(scale, name).to_owned())
        }),
        preserves: shared.preserves,
        schema: RwLock::new(Kept::Whole(Content::new(version["schema"]["openAPIV3Schema"].to_string()).into())),
        family: OnceLock::new(),
    }));
    Box::leak(Box::new(KindDef {
        group: shared.group,
        version: intern(str_of(version, "name")),
        kind: shared.kind,
        resource: shared.resource,
        singular: shared.singular,
        short_names: shared.short_names,
        categories: shared.categories,
        scope: shared.scope,
        subresources: Box::leak(served.into_boxed_slice()),
        strategy: if has_status { WITH_STATUS } else { PLAIN },
        custom: Some(custom),
        ..KindDef::PLAIN
    }))
}

const PLAIN: Strategy =
    Strategy { any_finalizers: true, generation: true, unconditional_update: false, ..Strategy::PLAIN };

/// A status is dropped where a definition gives it a path of its own; there is no empty one.
const WITH_STATUS: Strategy = Strategy {
    prepare_create: |object| drop(object.0.remove("status")),
    prepare_update: crate::def::keep_status,
    prepare_status_update: keep_all_but_status,
    kept_by_status: &[&["metadata"]],
    ..PLAIN
};

/// `.spec.replicas` as names.
fn names(path: &str) -> &'static [&'static str] {
    let path = path.strip_prefix('.').unwrap_or(path);
    intern_all(path.split('.').filter(|name| !name.is_empty()))
}

fn scale_paths(scale: &Value) -> ScalePaths {
    ScalePaths {
        spec_replicas: names(str_of(scale, "specReplicasPath")),
        status_replicas: names(str_of(scale, "statusReplicasPath")),
        selector: names(str_of(scale, "labelSelectorPath")),
    }
}

fn columns(version: &Value) -> Vec<PrinterColumn> {
    match list_of(version, "additionalPrinterColumns") {
        [] => vec![PrinterColumn::age()],
        columns => columns.iter().map(PrinterColumn::new).collect(),
    }
}

fn selectable(version: &Value) -> Vec<SelectableField> {
    let fields = list_of(version, "selectableFields").iter().map(|field| str_of(field, "jsonPath"));
    let field = |path: &str| {
        let name = intern(path.strip_prefix('.').unwrap_or(path));
        JsonPath::parse(path).map(|path| SelectableField { name, path })
    };
    fields.filter_map(field).collect()
}

/// upstream: the definition's own text, or one that names the newest version that stays.
fn deprecation(shared: &Shared, version: &Value, versions: &[Value]) -> Option<String> {
    if version["deprecated"] != true {
        return None;
    }
    if let Some(own) = version["deprecationWarning"].as_str() {
        return Some(own.to_owned());
    }
    let (group, kind, name) = (shared.group, shared.kind, str_of(version, "name"));
    let rank = crate::def::stability;
    let stays = |other: &&Value| {
        other["served"] == true && other["deprecated"] != true && rank(str_of(other, "name")) > rank(name)
    };
    let newest = versions.iter().filter(stays).map(|other| str_of(other, "name")).max_by_key(|other| rank(other));
    let instead = newest.map_or_else(String::new, |newest| format!("; use {group}/{newest} {kind}"));
    Some(format!("{group}/{name} {kind} is deprecated{instead}"))
}

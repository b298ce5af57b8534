//! One table from the two sources.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::normalized;
use super::openapi::{Definition, JsonType, Property};
use super::protobuf::{PbField, PbMessage, Wire};

#[derive(Debug)]
pub struct Message {
    pub name: String,
    pub atomic: bool,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub struct Field {
    pub json: String,
    pub shape: &'static str,
    pub of: JsonType,
    pub required: bool,
    /// Go holds a pointer.
    pub pointer: bool,
    /// Go prints it even when it is zero, though it is not required.
    pub always: bool,
    pub pb: Option<Pb>,
}

/// What only the protobuf source knows.
#[derive(Debug)]
pub struct Pb {
    pub tag: u32,
    /// Tags of the messages that this field lies in on the wire but not in JSON, outermost first.
    pub outer: Vec<u32>,
    pub wire: Wire,
    pub list: Option<String>,
    pub map_keys: Vec<String>,
    pub atomic: bool,
    pub granular: bool,
    pub merge_key: Option<String>,
    pub strategy: Option<String>,
}

/// No protobuf: `version.Info` is only ever JSON.
const JSON_ONLY: &[&str] = &["io.k8s.apimachinery.pkg.version.Info"];

/// Fields of the type's own header, which protobuf keeps outside of the message.
const HEADER: &[&str] = &["apiVersion", "kind"];

/// Fields that upstream requires though k8s-openapi lets them be absent.
const REQUIRED: &[(&str, &str)] =
    &[("io.k8s.api.core.v1.Event", "metadata"), ("io.k8s.api.events.v1.Event", "eventTime")];

/// What neither crate says: which fields are pointers in Go's types, by message; after `=` those that are
/// neither pointers nor required and have no `omitempty`. Read from Kubernetes 1.35.0.
const POINTERS: &str = include_str!("pointers.txt");

pub fn join(definitions: Vec<Definition>, messages: &BTreeMap<String, PbMessage>) -> Result<Vec<Message>> {
    let mut table = Vec::new();
    let mut lost = Vec::new();
    for definition in definitions {
        let known = messages.get(&normalized(definition.name.trim_start_matches("io.k8s.")));
        if known.is_none() && !JSON_ONLY.contains(&definition.name.as_str()) {
            lost.push(definition.name.clone());
        }
        let message = message(definition, known, messages);
        lost.extend(unjoined(&message, known.is_some()));
        table.push(message);
    }
    if !lost.is_empty() {
        bail!("not found in k8s-pb: {}", lost.join(", "));
    }
    table.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(table)
}

fn unjoined(message: &Message, known: bool) -> Vec<String> {
    let lost = message.fields.iter().filter(|field| field.pb.is_none() && !HEADER.contains(&field.json.as_str()));
    lost.filter(|_| known).map(|field| format!("{}.{}", message.name, field.json)).collect()
}

fn message(definition: Definition, known: Option<&PbMessage>, messages: &BTreeMap<String, PbMessage>) -> Message {
    let names: Vec<String> = definition.properties.iter().map(|property| normalized(&property.json)).collect();
    let mut found = BTreeMap::new();
    if let Some(known) = known {
        collect(known, &[], &names, messages, &mut found);
    }
    let required = |property: &Property| definition.required.contains(&property.json);
    let always = |field: &Field| REQUIRED.contains(&(definition.name.as_str(), field.json.as_str()));
    let mut fields: Vec<Field> =
        definition.properties.iter().map(|property| field(property, required(property), &found)).collect();
    mark_pointers(&definition.name, &mut fields);
    fields.sort_by(|a, b| a.json.cmp(&b.json));
    fields.iter_mut().filter(|field| always(field)).for_each(|field| field.required = true);
    let atomic = known.is_some_and(|known| known.markers.get("structType") == Some("atomic"));
    Message { name: definition.name, atomic, fields }
}

fn mark_pointers(message: &str, fields: &mut [Field]) {
    let listed = POINTERS.lines().filter_map(|line| line.split_once(' '));
    let mut listed = listed.filter(|(name, _)| message.strip_prefix("io.k8s.") == Some(name));
    let names: Vec<&str> = listed.next().map_or_else(Vec::new, |(_, names)| names.split(' ').collect());
    for field in fields {
        field.pointer = names.contains(&field.json.as_str());
        field.always = names.iter().any(|name| name.strip_prefix('=') == Some(&field.json));
    }
}

type Found<'a> = BTreeMap<String, (Vec<u32>, &'a PbField)>;

/// Collects the fields of a message and, where a field has no JSON name, of the message in it: that one is
/// inlined in JSON.
fn collect<'a>(
    message: &'a PbMessage,
    outer: &[u32],
    names: &[String],
    messages: &'a BTreeMap<String, PbMessage>,
    found: &mut Found<'a>,
) {
    for field in &message.fields {
        let name = normalized(&field.name);
        if names.contains(&name) {
            found.entry(name).or_insert_with(|| (outer.to_vec(), field));
        } else if let Some(inlined) = field.message.as_ref().and_then(|of| messages.get(of)) {
            let outer: Vec<u32> = outer.iter().copied().chain([field.tag]).collect();
            collect(inlined, &outer, names, messages, found);
        }
    }
}

fn field(property: &Property, marked_required: bool, found: &Found<'_>) -> Field {
    let known = found.get(&normalized(&property.json));
    let optional = property.json == "metadata" || known.is_some_and(|(_, pb)| pb.markers.has("optional"));
    Field {
        json: property.json.clone(),
        shape: property.shape,
        of: property.of.clone(),
        required: marked_required && !optional,
        pointer: false,
        always: false,
        pb: known.map(|(outer, pb)| protobuf(outer, pb)),
    }
}

fn protobuf(outer: &[u32], field: &PbField) -> Pb {
    let marker = |key: &str| field.markers.get(key).map(str::to_owned);
    let is_marked = |how: &str| ["mapType", "structType"].iter().any(|key| field.markers.get(key) == Some(how));
    Pb {
        tag: field.tag,
        outer: outer.to_vec(),
        wire: field.wire,
        list: marker("listType"),
        map_keys: field.markers.all("listMapKey").map(str::to_owned).collect(),
        atomic: is_marked("atomic"),
        granular: is_marked("granular"),
        merge_key: marker("patchMergeKey"),
        strategy: marker("patchStrategy"),
    }
}

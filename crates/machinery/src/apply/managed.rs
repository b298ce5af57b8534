//! `metadata.managedFields`: who wrote which fields, by which operation, in which version.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::set::Set;

/// Entries of updates that are kept apart; the oldest beyond these become one for each version.
const UPDATES_MAX: usize = 10;
/// The manager of updates that are no longer kept apart.
const ANCIENT: &str = "ancient-changes";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub manager: String,
    pub operation: Operation,
    /// Empty for the object itself.
    pub subresource: String,
    pub api_version: String,
}

impl Identity {
    /// What tells entries apart: whoever applies has one, whatever the version.
    fn key(&self) -> (&str, Operation, &str, &str) {
        let version = if self.operation == Operation::Apply { "" } else { &self.api_version };
        (&self.manager, self.operation, &self.subresource, version)
    }

    /// Whether both have one entry.
    pub fn is(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub identity: Identity,
    /// RFC 3339, with whole seconds.
    pub time: Option<String>,
    pub fields: Set,
}

/// The managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed(pub Vec<Entry>);

impl Managed {
    /// Reads `metadata.managedFields`; the error says what is wrong with it.
    pub fn decode(value: Option<&Value>) -> Result<Self, String> {
        let entries = value.and_then(Value::as_array).into_iter().flatten().enumerate();
        let mut entries = entries.map(|(index, entry)| decode_entry(index, entry)).collect::<Result<Vec<_>, _>>()?;
        // Of two entries for one manager the last counts.
        let mut seen = HashSet::new();
        let last: Vec<bool> = entries.iter().rev().map(|entry| seen.insert(entry.identity.key())).collect();
        let mut last = last.into_iter().rev();
        entries.retain(|_| last.next().unwrap_or_default());
        Ok(Self(entries))
    }

    /// Nothing when there are no managers.
    pub fn encode(mut self) -> Option<Value> {
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_by(order);
        Some(Value::Array(self.0.iter().map(encode_entry).collect()))
    }

    pub fn find(&self, identity: &Identity) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.identity.is(identity))
    }

    /// Puts the entry in the place of the one that the manager had.
    pub fn replace(&mut self, entry: Entry) {
        self.0.retain(|held| !held.identity.is(&entry.identity));
        self.0.push(entry);
    }

    /// Adds fields to what the manager has.
    pub fn extend(&mut self, identity: Identity, fields: Set, time: Option<String>) {
        let fields = match self.find(&identity) {
            Some(held) => held.fields.union(&fields),
            None => fields,
        };
        self.replace(Entry { identity, time, fields });
    }

    pub fn drop_empty(&mut self) {
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Makes one entry for each version of the oldest updates, until there are no more than are kept apart.
    pub fn cap(&mut self) {
        let (mut updates, applied): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.0).into_iter().partition(|entry| entry.identity.operation == Operation::Update);
        updates.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.identity.cmp(&b.identity)));
        let mut excess = updates.len().saturating_sub(UPDATES_MAX);
        let mut kept: Vec<Vec<Entry>> = Vec::new();
        let mut buckets: HashMap<String, usize> = HashMap::new();
        for update in updates {
            let bucket = *buckets.entry(update.identity.api_version.clone()).or_insert(kept.len());
            if excess > 0 && bucket < kept.len() {
                excess -= 1;
                kept[bucket].push(update);
            } else {
                kept.push(vec![update]);
            }
        }
        self.0 = applied.into_iter().chain(kept.into_iter().filter_map(ancient)).collect();
    }
}

/// One entry of several that are sorted by time; one alone stays as it is.
fn ancient(mut entries: Vec<Entry>) -> Option<Entry> {
    let Entry { identity, time, fields } = entries.pop()?;
    if entries.is_empty() {
        return Some(Entry { identity, time, fields });
    }
    let fields = Set::union_all(entries.into_iter().map(|entry| entry.fields).chain([fields]).collect());
    let identity = Identity { manager: ANCIENT.to_owned(), subresource: String::new(), ..identity };
    Some(Entry { identity, time, fields })
}

fn order(a: &Entry, b: &Entry) -> Ordering {
    fn key(entry: &Entry) -> impl Ord {
        let Identity { manager, operation, subresource, api_version } = &entry.identity;
        (*operation, &entry.time, manager, api_version, subresource)
    }
    key(a).cmp(&key(b))
}

fn decode_entry(index: usize, entry: &Value) -> Result<Entry, String> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    let operation = match text("operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    if text("apiVersion").is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType") {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
        other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
    }
    let identity = Identity {
        manager: text("manager").to_owned(),
        operation,
        subresource: text("subresource").to_owned(),
        api_version: text("apiVersion").to_owned(),
    };
    let empty = Value::Object(Map::new());
    let fields = Set::from_fields(entry.get("fieldsV1").unwrap_or(&empty));
    let fields = fields.map_err(|error| format!("error decoding versioned set: error decoding set: {error}"))?;
    let time = Some(text("time")).filter(|time| !time.is_empty()).map(str::to_owned);
    Ok(Entry { identity, time, fields })
}

fn encode_entry(entry: &Entry) -> Value {
    let Entry { identity, time, fields } = entry;
    let mut map = Map::new();
    map.insert("apiVersion".to_owned(), json!(identity.api_version));
    map.insert("fieldsType".to_owned(), json!("FieldsV1"));
    map.insert("fieldsV1".to_owned(), fields.to_fields());
    map.insert("operation".to_owned(), json!(identity.operation.name()));
    for (field, text) in [("manager", &identity.manager), ("subresource", &identity.subresource)] {
        if !text.is_empty() {
            map.insert(field.to_owned(), json!(text));
        }
    }
    if let Some(time) = time {
        map.insert("time".to_owned(), json!(time));
    }
    Value::Object(map)
}

/// Whether a client asks for an object without managers: by no entries, or by one that says nothing.
pub fn is_reset(sent: Option<&Value>) -> bool {
    match sent.and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => entry.is_empty(),
        _ => false,
    }
}

/// Whether two lists of entries say the same but for their times.
pub fn same_but_times(a: &Value, b: &Value) -> bool {
    fn without_time(entry: &Value) -> impl Iterator<Item = (&String, &Value)> {
        entry.as_object().into_iter().flatten().filter(|(field, _)| *field != "time")
    }
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| without_time(a).eq(without_time(b)))
        }
        _ => a == b,
    }
}

//! `metadata.managedFields`: who wrote which fields, by which operation, in which version.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::set::Set;

/// Entries of updates that are kept apart; the oldest beyond these become one for each version.
const UPDATES_MAX: usize = 10;
/// The manager of updates that are no longer kept apart.
const ANCIENT: &str = "ancient-changes";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Whether both have one entry: whoever applies has one, whatever the version.
    pub fn is(&self, other: &Self) -> bool {
        let same =
            (&self.manager, self.operation, &self.subresource) == (&other.manager, other.operation, &other.subresource);
        same && (self.operation == Operation::Apply || self.api_version == other.api_version)
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
        let entries = value.and_then(Value::as_array).into_iter().flatten();
        let mut managed = Self::default();
        for (index, entry) in entries.enumerate() {
            let entry = decode_entry(index, entry)?;
            // Of two entries for one manager the last counts.
            managed.0.retain(|held| !held.identity.is(&entry.identity));
            managed.0.push(entry);
        }
        Ok(managed)
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
        let mut at = 0;
        while updates.len() > UPDATES_MAX && at < updates.len() {
            match updates[..at].iter().position(|held| same_version(held, &updates[at])) {
                Some(first) => {
                    let merged = updates.remove(at);
                    merge_ancient(&mut updates[first], merged);
                }
                None => at += 1,
            }
        }
        self.0 = applied.into_iter().chain(updates).collect();
    }
}

fn same_version(a: &Entry, b: &Entry) -> bool {
    a.identity.api_version == b.identity.api_version
}

fn merge_ancient(bucket: &mut Entry, newer: Entry) {
    bucket.identity.manager = ANCIENT.to_owned();
    bucket.identity.subresource = String::new();
    bucket.fields = bucket.fields.union(&newer.fields);
    bucket.time = newer.time;
}

fn order(a: &Entry, b: &Entry) -> Ordering {
    let key = |entry: &Entry| {
        let Identity { manager, operation, subresource, api_version } = entry.identity.clone();
        (operation, entry.time.clone(), manager, api_version, subresource)
    };
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

//! FieldsV1: a set as the JSON that `metadata.managedFields` holds.

use serde_json::{Map, Value};

use super::path::{DecodeError, Element};
use super::set::{Node, Set};

/// Says that the field around it is a member itself.
const SELF: &str = ".";

impl Set {
    pub fn to_fields(&self) -> Value {
        Value::Object(self.nodes().iter().map(|node| (node.element.encode(), node_fields(node))).collect())
    }

    /// Reads what [`Set::to_fields`] writes. Elements that a later version may know are left out.
    pub fn from_fields(fields: &Value) -> Result<Self, DecodeError> {
        read(fields).map(|(_, set)| set)
    }
}

fn node_fields(node: &Node) -> Value {
    let mut fields = node.children.to_fields();
    if let (true, Value::Object(map)) = (node.member && !node.children.is_empty(), &mut fields) {
        map.insert(SELF.to_owned(), Value::Object(Map::new()));
    }
    fields
}

/// Whether the object says that the field around it is a member, and what is below that field.
fn read(fields: &Value) -> Result<(bool, Set), DecodeError> {
    let (mut member, mut nodes) = (false, Vec::new());
    for (key, value) in fields.as_object().into_iter().flatten() {
        if key == SELF {
            member = true;
            continue;
        }
        let Some(element) = Element::decode(key)? else { continue };
        let (is_member, children) = read(value)?;
        nodes.push(Node { element, member: is_member, children });
    }
    let set = Set::of_nodes(nodes);
    Ok((member || set.is_empty(), set))
}

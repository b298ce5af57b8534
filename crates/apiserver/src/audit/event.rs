//! One audit event as JSON.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use machinery::decode::parse_yaml;
use machinery::{ApiError, UserInfo};
use serde_json::{Map, Value, json};

use super::policy::{Level, Stage};
use crate::access::ClientAddress;
use crate::call::Call;
use crate::info::RequestInfo;

/// What is known of a request so far.
pub(super) struct Record {
    pub id: String,
    pub level: Level,
    pub impersonated: Option<UserInfo>,
    pub annotations: BTreeMap<String, String>,
    /// What was sent, and answered: as JSON or YAML.
    pub request: Option<Bytes>,
    pub response: Option<Bytes>,
    pub status: Option<Value>,
    omit_managed_fields: bool,
    user: UserInfo,
    info: RequestInfo,
    uri: String,
    agent: String,
    sources: Vec<String>,
    received: Timestamp,
}

impl Record {
    pub fn new(call: &Call, level: Level, omit_managed_fields: bool) -> Self {
        let header = |name| call.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let uri = call.parts.uri.path_and_query().map_or_else(|| call.info.path.clone(), ToString::to_string);
        Self {
            id: call.audit_id().to_owned(),
            level,
            impersonated: None,
            annotations: BTreeMap::new(),
            request: None,
            response: None,
            status: None,
            omit_managed_fields,
            user: call.user.clone(),
            info: call.info.clone(),
            uri,
            agent: header(USER_AGENT).to_owned(),
            sources: sources(call.headers(), call.parts.extensions.get::<ClientAddress>().copied()),
            received: clock::now(),
        }
    }

    /// The event of a stage, as a line.
    pub fn line(&self, stage: Stage, now: Timestamp) -> Vec<u8> {
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1",
            "level": self.level.name(), "auditID": self.id, "stage": stage.name(),
            "requestURI": self.uri, "verb": self.info.verb, "user": user(&self.user),
            "sourceIPs": self.sources, "userAgent": self.agent,
            "requestReceivedTimestamp": clock::format_micro_time(self.received),
            "stageTimestamp": clock::format_micro_time(now),
        });
        let mut set = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                event[field] = value;
            }
        };
        set("impersonatedUser", self.impersonated.as_ref().map(user));
        set("objectRef", self.info.is_resource.then(|| object_ref(&self.info)));
        if stage != Stage::RequestReceived {
            set("responseStatus", self.status.clone());
            set("requestObject", self.object(self.request.as_ref()));
            set("responseObject", self.object(self.response.as_ref()));
            set("annotations", (!self.annotations.is_empty()).then(|| json!(self.annotations)));
        }
        let mut line = serde_json::to_vec(&event).expect("a JSON tree always prints");
        line.push(b'\n');
        line
    }

    /// Nothing for what is neither JSON nor YAML.
    fn object(&self, bytes: Option<&Bytes>) -> Option<Value> {
        let bytes = bytes.filter(|bytes| !bytes.is_empty())?;
        let parsed: Option<Value> = serde_json::from_slice(bytes).ok();
        let mut object = parsed.or_else(|| parse_yaml(bytes).ok().map(|(value, _)| value)).filter(is_tree)?;
        if self.omit_managed_fields {
            drop_managed_fields(&mut object);
        }
        Some(object)
    }
}

fn is_tree(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

fn drop_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(drop_managed_fields);
}

fn user(user: &UserInfo) -> Value {
    let mut shown = Map::from_iter([("username".to_owned(), json!(user.name))]);
    let parts = [("uid", json!(user.uid)), ("groups", json!(user.groups)), ("extra", json!(user.extra))];
    let given =
        parts.into_iter().filter(|(_, value)| *value != json!("") && *value != json!([]) && *value != json!({}));
    shown.extend(given.map(|(name, value)| (name.to_owned(), value)));
    shown.into()
}

fn object_ref(info: &RequestInfo) -> Value {
    let fields = [
        ("resource", &info.resource),
        ("namespace", &info.namespace),
        ("name", &info.name),
        ("apiGroup", &info.group),
        ("apiVersion", &info.version),
        ("subresource", &info.subresource),
    ];
    let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| (name.to_owned(), json!(value))).collect::<Map<String, Value>>().into()
}

/// `responseStatus`: the code alone, or all that an error says.
pub(super) fn status(code: StatusCode, error: Option<&ApiError>) -> Value {
    let mut status = match error {
        Some(error) => error.status(),
        None => json!({"metadata": {}}),
    };
    if let Some(fields) = status.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    status["code"] = json!(code.as_u16());
    status
}

/// An answer's body as it was before it was compressed.
pub(super) fn plain(headers: &HeaderMap, bytes: &Bytes) -> Option<Bytes> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !text(CONTENT_TYPE).contains("json") && !text(CONTENT_TYPE).contains("yaml") {
        return None;
    }
    if text(CONTENT_ENCODING) != "gzip" {
        return Some(bytes.clone());
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).ok()?;
    Some(plain.into())
}

/// Where a request comes from, by the proxies that it passed and by its connection.
fn sources(headers: &HeaderMap, address: Option<ClientAddress>) -> Vec<String> {
    let listed =
        |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|of| of.split(','));
    let named = listed("x-forwarded-for").chain(listed("x-real-ip")).map(str::trim);
    let mut sources: Vec<String> =
        named.filter(|text| text.parse::<std::net::IpAddr>().is_ok()).map(str::to_owned).collect();
    let own = address.map_or_else(|| "127.0.0.1".to_owned(), |ClientAddress(address)| address.to_string());
    if !sources.contains(&own) {
        sources.push(own);
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_by_proxies_and_by_the_connection() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "192.0.2.1, unknown, 192.0.2.2".parse().unwrap());
        let address = ClientAddress("192.0.2.3".parse().unwrap());
        assert_eq!(sources(&headers, Some(address)), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        assert_eq!(sources(&HeaderMap::new(), None), ["127.0.0.1"]);
    }

    #[test]
    fn managed_fields_are_left_out_of_objects_and_lists() {
        let mut list = json!({"items": [{"metadata": {"name": "a", "managedFields": []}}], "metadata": {}});
        drop_managed_fields(&mut list);
        assert_eq!(list, json!({"items": [{"metadata": {"name": "a"}}], "metadata": {}}));
    }

    #[test]
    fn a_status_says_what_went_wrong() {
        assert_eq!(status(StatusCode::OK, None), json!({"metadata": {}, "code": 200}));
        let error = ApiError::bad_request("no");
        let shown = status(StatusCode::BAD_REQUEST, Some(&error));
        assert_eq!(
            (&shown["status"], &shown["message"], &shown["code"]),
            (&json!("Failure"), &json!("no"), &json!(400))
        );
        assert_eq!(shown.get("kind"), None);
    }
}

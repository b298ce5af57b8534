//! Answers: objects, lists, tables and errors, in the form the client accepts.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WARNING};
use http::{HeaderValue, Response, StatusCode};
use kinds::KindDef;
use machinery::protobuf::{self, ENVELOPE_TAIL};
use machinery::{ApiError, Object};
use registry::table::{self, IncludeObject, Rows};
use registry::{Entry, List};
use serde_json::{Value, json};

use crate::body::{self, Body};
use crate::call::Call;
use crate::encoded::{self, CHUNK_BYTES, Encoding, Joined};
use crate::negotiate::{Accept, Format, Offer, Shape};
use crate::spans;

pub type Answer = Response<Body>;

/// Longer answers are compressed for clients that accept it (upstream: `defaultGzipThresholdBytes`).
const GZIP_BYTES: usize = 128 << 10;

/// Characters that the warnings of an answer have together; where there are more, each is cut to [`WARNING_MAX`]
/// (upstream: `truncateAtTotalRunes`, `truncateItemRunes`).
const WARNINGS_MAX: usize = 4096;
const WARNING_MAX: usize = 256;

/// The message of every error.
pub const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// An answer with this body.
pub fn with(status: StatusCode, content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    with(status, "text/plain; charset=utf-8", body::full(text))
}

/// An error as a Status, in the form that the client accepts if there is one.
pub fn error(call: &Call, error: &ApiError) -> Answer {
    let status = StatusCode::from_u16(error.code()).expect("reasons have valid codes");
    let accept = call.accept(Offer::PLAIN).unwrap_or_default();
    let mut answer = value(call, accept, status, STATUS, &error.status());
    let retry = error.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    answer
}

/// The Status of something done; `details` may be null.
pub fn success(details: Value) -> Value {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    if !details.is_null() {
        status["details"] = details;
    }
    status
}

/// A document; `schema` names its message for clients that ask for protobuf.
pub fn value(call: &Call, accept: Accept, status: StatusCode, schema: &str, value: &Value) -> Answer {
    let _span = spans::serializing(call, accept.format);
    document(call, accept, status, schema, value)
}

fn document(call: &Call, accept: Accept, status: StatusCode, schema: &str, value: &Value) -> Answer {
    let bytes = match (accept.format, accept.pretty) {
        (Format::Yaml, _) => yaml(value),
        (Format::Protobuf, _) => envelope(schema, value),
        (Format::Json, true) => pretty(value),
        (Format::Json, false) => print_line(value),
    };
    sized(call, accept.format, status, bytes)
}

/// A document that is JSON whatever the client asks for, and indented.
pub fn json(call: &Call, value: &Value) -> Answer {
    sized(call, Format::Json, StatusCode::OK, pretty(value))
}

fn yaml(value: &Value) -> Bytes {
    Bytes::from(serde_saphyr::to_string(value).expect("a JSON tree always prints"))
}

/// The message of a tree, without envelope.
pub fn message(schema: &str, value: &Value) -> Vec<u8> {
    let message = schema::message(schema).expect("what is answered in protobuf is in the table");
    value.as_object().map_or_else(Vec::new, |object| protobuf::encode_message(object, message))
}

fn envelope(schema: &str, value: &Value) -> Bytes {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let message = message(schema, value);
    let head = protobuf::envelope_head(text("apiVersion"), text("kind"), message.len());
    Bytes::from([head.as_slice(), &message, ENVELOPE_TAIL].concat())
}

fn print_line(value: &Value) -> Bytes {
    let mut bytes = serde_json::to_vec(value).expect("a JSON tree always prints");
    bytes.push(b'\n');
    Bytes::from(bytes)
}

fn pretty(value: &Value) -> Bytes {
    let mut bytes = serde_json::to_vec_pretty(value).expect("a JSON tree always prints");
    bytes.push(b'\n');
    Bytes::from(bytes)
}

/// Bytes that are there already.
fn sized(call: &Call, format: Format, status: StatusCode, bytes: Bytes) -> Answer {
    if bytes.len() <= GZIP_BYTES || !accepts_gzip(call) {
        return with(status, format.content_type(), body::full(bytes));
    }
    compressed(with(status, format.content_type(), body::stream(Gzip::new(std::iter::once(bytes)).stream())))
}

fn compressed(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

pub fn accepts_gzip(call: &Call) -> bool {
    let encodings = call.headers().get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    encodings.flat_map(|value| value.split(',')).any(|clause| {
        let mut pieces = clause.split(';').map(str::trim);
        let is_gzip = pieces.next() == Some("gzip");
        is_gzip && !pieces.filter_map(|piece| piece.strip_prefix("q=")).any(|weight| weight.parse() == Ok(0.0))
    })
}

/// One stored object in the shape asked for.
pub fn entry(call: &Call, accept: Accept, kind: &'static KindDef, status: StatusCode, entry: &Entry) -> Answer {
    let _span = spans::serializing(call, accept.format);
    if let Some(encoding) = Encoding::of(accept) {
        return sized(call, encoding.format(), status, encoding.document(entry));
    }
    object(call, accept, kind, status, entry.object())
}

/// One object in the shape asked for; `kind` says how a table shows it.
pub fn object(call: &Call, accept: Accept, kind: &KindDef, status: StatusCode, object: Object) -> Answer {
    let shown = match accept.shape {
        Shape::Table => {
            let metadata = json!({"resourceVersion": object.resource_version()});
            table::render(kind, std::iter::once(&object), metadata, rows(call, accept), true)
        }
        Shape::Metadata => table::partial_metadata(&object, accept.version),
        Shape::Whole | Shape::Discovery => object.into_value(),
    };
    document(call, accept, status, kind.schema, &shown)
}

/// How a table shows its rows.
pub fn rows(call: &Call, accept: Accept) -> Rows {
    let include = match call.query.get("includeObject") {
        "None" => IncludeObject::None,
        "Object" => IncludeObject::Object,
        _ => IncludeObject::Metadata,
    };
    Rows { include, version: accept.version }
}

/// A list in the shape asked for.
pub fn list(call: &Call, accept: Accept, kind: &'static KindDef, list: List) -> Answer {
    let _span = spans::serializing(call, accept.format);
    if let Some(encoding) = Encoding::of(accept) {
        return joined(call, encoding.format(), encoding.list(kind, list));
    }
    let list = if accept.shape == Shape::Table { table::in_order(kind, list) } else { list };
    if (accept.shape, accept.format, accept.pretty) == (Shape::Table, Format::Json, false) {
        return joined(call, Format::Json, encoded::table(kind, list, rows(call, accept)));
    }
    let metadata = encoded::list_metadata(&list);
    let objects: Vec<Object> = list.items.iter().map(|entry| entry.object()).collect();
    let shown = match accept.shape {
        Shape::Table => table::render(kind, objects.iter(), metadata, rows(call, accept), true),
        Shape::Metadata => {
            let items: Vec<Value> =
                objects.iter().map(|object| table::partial_metadata(object, accept.version)).collect();
            json!({
                "kind": "PartialObjectMetadataList", "apiVersion": accept.version.api_version(),
                "metadata": metadata, "items": items,
            })
        }
        Shape::Whole | Shape::Discovery => {
            let items: Vec<Value> = objects.into_iter().map(|object| in_list(kind, object)).collect();
            json!({
                "kind": kind.list_kind(), "apiVersion": kind.group_version().to_string(),
                "metadata": metadata, "items": items,
            })
        }
    };
    document(call, accept, StatusCode::OK, kind.schema, &shown)
}

/// Objects of built-in kinds leave their type to the list.
fn in_list(kind: &KindDef, mut object: Object) -> Value {
    if kind.custom.is_none() {
        object.remove(&["apiVersion"]);
        object.remove(&["kind"]);
    }
    object.into_value()
}

fn joined(call: &Call, format: Format, mut pieces: Joined) -> Answer {
    let content_type = format.content_type();
    // So many pieces tell whether the list is long enough to be compressed.
    let start: Vec<Bytes> = pieces.by_ref().take(GZIP_BYTES / CHUNK_BYTES + 1).collect();
    let size: usize = start.iter().map(Bytes::len).sum();
    if let ([whole], 0..CHUNK_BYTES) = (start.as_slice(), size) {
        return with(StatusCode::OK, content_type, body::full(whole.clone()));
    }
    let pieces = start.into_iter().chain(pieces);
    if size > GZIP_BYTES && accepts_gzip(call) {
        return compressed(with(StatusCode::OK, content_type, body::stream(Gzip::new(pieces).stream())));
    }
    with(StatusCode::OK, content_type, body::stream(futures::stream::iter(pieces)))
}

/// Compresses pieces as they come.
struct Gzip<I> {
    pieces: I,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I: Iterator<Item = Bytes> + Send + 'static> Gzip<I> {
    fn new(pieces: I) -> Self {
        Self { pieces, encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())) }
    }

    fn stream(self) -> impl futures::Stream<Item = Bytes> + Send + 'static {
        futures::stream::unfold(self, |mut gzip| async move { gzip.next().await.map(|bytes| (bytes, gzip)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let encoder = self.encoder.as_mut()?;
        for piece in self.pieces.by_ref() {
            encoder.write_all(&piece).expect("writing to memory does not fail");
            if encoder.get_ref().len() >= CHUNK_BYTES / 2 {
                return Some(Bytes::from(std::mem::take(encoder.get_mut())));
            }
            // Much may go in before something comes out.
            tokio::task::yield_now().await;
        }
        let encoder = self.encoder.take()?;
        Some(Bytes::from(encoder.finish().expect("writing to memory does not fail")))
    }
}

/// Adds what was collected on the way as `Warning` headers.
pub fn add_warnings(answer: &mut Answer, warnings: Vec<String>) {
    let length = |warning: &String| warning.chars().count();
    let cut = if warnings.iter().map(length).sum::<usize>() > WARNINGS_MAX { WARNING_MAX } else { usize::MAX };
    let mut written = 0;
    for warning in warnings {
        if written >= WARNINGS_MAX {
            return;
        }
        let warning: String = warning.chars().take(cut).collect();
        written += length(&warning);
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        // A warning that no header can carry is left out: it must not fail the request.
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            answer.headers_mut().append(WARNING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Arc;

    use http::Request;
    use http_body_util::BodyExt as _;

    use super::*;

    static PLAIN: KindDef = KindDef { kind: "ConfigMap", resource: "configmaps", ..KindDef::PLAIN };

    fn a_call(gzip: bool) -> Call {
        let mut request = Request::get("/api/v1/configmaps");
        if gzip {
            request = request.header("accept-encoding", "deflate, gzip;q=1.0");
        }
        Call::new(request.body(()).unwrap().into_parts().0, body::empty())
    }

    fn a_list(count: usize) -> List {
        let entry = |at: usize| {
            let json = format!(r#"{{"metadata":{{"name":"c{at}"}},"data":{{"x":"{}"}}}}"#, "y".repeat(1000));
            Arc::new(Entry::new(&PLAIN, &format!("/registry/configmaps/default/c{at}"), 5, json.as_bytes()))
        };
        List { items: (0..count).map(entry).collect(), revision: 9, continue_token: String::new(), remaining: None }
    }

    async fn bytes_of(answer: Answer) -> Vec<u8> {
        answer.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn lists_of_any_length_are_one_document() {
        for count in [0, 1, 2, 300] {
            let answer = list(&a_call(false), Accept::default(), &PLAIN, a_list(count));
            let value: Value = serde_json::from_slice(&bytes_of(answer).await).unwrap();
            assert_eq!((&value["kind"], &value["metadata"]["resourceVersion"]), (&json!("ConfigMapList"), &json!("9")));
            assert_eq!(value["items"].as_array().unwrap().len(), count);
        }
    }

    #[tokio::test]
    async fn long_lists_are_compressed_where_accepted() {
        let answer = list(&a_call(true), Accept::default(), &PLAIN, a_list(300));
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes_of(answer).await.as_slice()).read_to_string(&mut text).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["items"].as_array().unwrap().len(), 300);
        let short = list(&a_call(true), Accept::default(), &PLAIN, a_list(3));
        assert!(!short.headers().contains_key(CONTENT_ENCODING));
    }

    #[test]
    fn a_weight_of_zero_is_a_refusal() {
        let accepts = |encodings: &str| {
            let request = Request::get("/api").header(ACCEPT_ENCODING, encodings);
            accepts_gzip(&Call::new(request.body(()).unwrap().into_parts().0, body::empty()))
        };
        for taken in ["gzip", "deflate, gzip", "gzip;q=0.001", "gzip; q=1", "br;q=0, gzip"] {
            assert!(accepts(taken), "{taken}");
        }
        for refused in ["", "deflate", "gzip;q=0", "gzip; q=0.0", "gzip;q=0.000, deflate", "identity", "xgzip"] {
            assert!(!accepts(refused), "{refused}");
        }
    }

    #[test]
    fn warnings_are_quoted() {
        let mut answer = text(StatusCode::OK, "");
        add_warnings(&mut answer, vec![r#"unknown field "spec.x""#.to_owned()]);
        assert_eq!(answer.headers()[WARNING], r#"299 - "unknown field \"spec.x\"""#);
    }

    #[test]
    fn warnings_stay_within_what_a_client_takes_of_headers() {
        let mut answer = text(StatusCode::OK, "");
        add_warnings(&mut answer, (0..100).map(|number| format!("{number}{}", "ü".repeat(1000))).collect());
        let kept: Vec<usize> = answer.headers().get_all(WARNING).iter().map(HeaderValue::len).collect();
        assert_eq!(kept.len(), WARNINGS_MAX / WARNING_MAX);
        assert!(kept.iter().all(|length| *length <= 2 * WARNING_MAX + 8), "{kept:?}");
    }
}

//! `/openapi/v2` and `/openapi/v3`, made on first use and kept compressed.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderValue, StatusCode};
use kinds::KindDef;
use machinery::{ApiError, Reason};
use parking_lot::Mutex;
use registry::openapi;
use serde_json::{Value, json};

use crate::aggregation::{merge_schemas, to_v3};
use crate::body;
use crate::call::Call;
use crate::respond::{self, Answer};
use crate::server::Server;

/// Documents by their path and content type. A few hundred kilobytes once all have been asked for.
#[derive(Default)]
pub struct Documents(Mutex<HashMap<(String, &'static str), Kept>>);

/// A document, and what it was made of: it is made anew when that has changed.
struct Kept {
    of: String,
    document: Document,
}

#[derive(Clone)]
struct Document {
    gzip: Bytes,
    etag: HeaderValue,
}

impl Document {
    fn new(text: &[u8]) -> Self {
        let tag = format!("\"{}\"", crate::digest::hex(text));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("writing to memory does not fail");
        let gzip = encoder.finish().expect("writing to memory does not fail");
        let etag = HeaderValue::try_from(tag).expect("hexadecimal digits fit a header");
        Self { gzip: Bytes::from(gzip), etag }
    }

    fn text(&self) -> Result<Bytes, ApiError> {
        let mut text = Vec::new();
        GzDecoder::new(self.gzip.as_ref()).read_to_end(&mut text).map_err(ApiError::internal)?;
        Ok(Bytes::from(text))
    }
}

impl Server {
    /// `path` is `/openapi/v2`, `/openapi/v3` or one of those that the index names.
    pub(crate) async fn serve_openapi(&self, call: &Call, path: &str) -> Result<Answer, ApiError> {
        let kind = content_type(call, path)?;
        let mut document = self.openapi_document(path, kind).await?;
        if path == "/openapi/v3" {
            document = self.with_extensions(document)?;
        }
        if call.headers().get(IF_NONE_MATCH).is_some_and(|tag| *tag == document.etag) {
            let mut known = Answer::new(body::empty());
            *known.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(tagged(known, &document));
        }
        let mut answer = if respond::accepts_gzip(call) {
            let mut answer = respond::with(StatusCode::OK, kind, body::full(document.gzip.clone()));
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            answer
        } else {
            respond::with(StatusCode::OK, kind, body::full(document.text()?))
        };
        if call.query.has("hash") {
            // The address changes with the content.
            answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable, max-age=31536000"));
        }
        Ok(tagged(answer, &document))
    }

    /// The index, with what servers of extensions have.
    fn with_extensions(&self, index: Document) -> Result<Document, ApiError> {
        let extensions = self.aggregation().all(self.registry());
        let schemas: Vec<_> = extensions.iter().filter_map(|extension| extension.schemas()).collect();
        if schemas.is_empty() {
            return Ok(index);
        }
        let mut document: Value = serde_json::from_slice(&index.text()?).map_err(ApiError::internal)?;
        for (path, url) in schemas {
            document["paths"][path] = json!({"serverRelativeURL": url});
        }
        Ok(Document::new(document.to_string().as_bytes()))
    }

    async fn openapi_document(&self, path: &str, kind: &'static str) -> Result<Document, ApiError> {
        self.registry().settle().await?;
        let documents = self.openapi();
        let key = (path.to_owned(), kind);
        let generation = self.registry().kinds().generation();
        let kinds: Vec<&'static KindDef> = self.registry().kinds().served().collect();
        let parts = match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
            ["openapi", "v2"] => self.aggregation().documents(self.registry()),
            ["openapi", "v3", "apis", group, version] => {
                self.extension(group, version).and_then(|extension| extension.made_here()).into_iter().collect()
            }
            _ => Vec::new(),
        };
        let tags: Vec<&str> = parts.iter().map(|part| part.etag.as_str()).collect();
        let of = made_of(path, &kinds).unwrap_or_else(|| format!("{generation} {}", tags.join(" ")));
        if let Some(kept) = documents.0.lock().get(&key).filter(|kept| kept.of == of) {
            return Ok(kept.document.clone());
        }
        let wanted = path.to_owned();
        // Printing a large document takes a while.
        let made = tokio::task::spawn_blocking(move || {
            let value = match (make(&wanted, &kinds), parts.as_slice()) {
                (Some(mut own), parts) => {
                    parts.iter().for_each(|part| merge_schemas(&mut own, &part.value));
                    own
                }
                (None, [part]) => to_v3(&part.value),
                (None, _) => return None,
            };
            Some(print(&value, kind))
        });
        let document = made.await.map_err(ApiError::internal)?.ok_or_else(ApiError::no_such_path)?;
        documents.0.lock().insert(key, Kept { of, document: document.clone() });
        Ok(document)
    }
}

/// The hash of one version's document; nothing for those that are made of everything.
fn made_of(path: &str, kinds: &[&'static KindDef]) -> Option<String> {
    match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["openapi", "v3", "api", version] => openapi::v3_hash("", version, kinds),
        ["openapi", "v3", "apis", group, version] => openapi::v3_hash(group, version, kinds),
        _ => None,
    }
}

fn make(path: &str, kinds: &[&'static KindDef]) -> Option<Value> {
    match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["openapi", "v2"] => Some(openapi::v2(kinds)),
        ["openapi", "v3"] => Some(openapi::v3_index(kinds)),
        ["openapi", "v3", "api", version] => openapi::v3("", version, kinds),
        ["openapi", "v3", "apis", group, version] => openapi::v3(group, version, kinds),
        _ => None,
    }
}

fn tagged(mut answer: Answer, document: &Document) -> Answer {
    answer.headers_mut().insert(ETAG, document.etag.clone());
    answer.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    answer
}

fn print(document: &Value, kind: &str) -> Document {
    match kind {
        openapi::V2_PROTOBUF_SENT => Document::new(&openapi::v2_protobuf(document)),
        _ => Document::new(document.to_string().as_bytes()),
    }
}

const JSON: &str = "application/json";

/// The first accepted form that there is: JSON, and of the old document protobuf too.
fn content_type(call: &Call, path: &str) -> Result<&'static str, ApiError> {
    let accepts: Vec<&str> = call.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if accepts.is_empty() {
        return Ok(JSON);
    }
    let served = |clause: &str| match clause.split(';').next().unwrap_or_default().trim() {
        "application/json" | "application/*" | "*/*" | "" => Some(JSON),
        openapi::V2_PROTOBUF_ACCEPTED | openapi::V2_PROTOBUF_SENT if path == "/openapi/v2" => {
            Some(openapi::V2_PROTOBUF_SENT)
        }
        _ => None,
    };
    let first = accepts.iter().flat_map(|accept| accept.split(',')).find_map(served);
    first.ok_or_else(|| {
        ApiError::new(Reason::NotAcceptable, "only the following media types are accepted: application/json")
    })
}

//! `/openapi/v2` and `/openapi/v3`, made on first use and kept compressed.

use std::collections::{HashMap, HashSet};
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
pub struct Documents {
    kept: Mutex<HashMap<Key, Kept>>,
    /// Held while one is made, which takes a while and memory: who asks for the same meanwhile finds it made.
    making: tokio::sync::Mutex<()>,
}

type Key = (String, &'static str);

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

impl Documents {
    fn find(&self, key: &Key, of: &str) -> Option<Document> {
        self.kept.lock().get(key).filter(|kept| kept.of == of).map(|kept| kept.document.clone())
    }

    /// Forgets those of versions that are not among `kinds` any more.
    fn keep(&self, key: Key, document: Kept, kinds: &[&'static KindDef]) {
        let served: HashSet<(&str, &str)> = kinds.iter().map(|kind| (kind.group, kind.version)).collect();
        let mut kept = self.kept.lock();
        kept.retain(|(path, _), _| version_of(path).is_none_or(|version| served.contains(&version)));
        kept.insert(key, document);
    }
}

/// Group and version whose schemas alone are at a path.
fn version_of(path: &str) -> Option<(&str, &str)> {
    match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["openapi", "v3", "api", version] => Some(("", *version)),
        ["openapi", "v3", "apis", group, version] => Some((*group, *version)),
        _ => None,
    }
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
        let parts = match (path, version_of(path)) {
            ("/openapi/v2", _) => self.aggregation().documents(self.registry()),
            (_, Some((group, version))) => {
                self.extension(group, version).and_then(|extension| extension.made_here()).into_iter().collect()
            }
            _ => Vec::new(),
        };
        let tags: Vec<&str> = parts.iter().map(|part| part.etag.as_str()).collect();
        let hash = version_of(path).and_then(|(group, version)| openapi::v3_hash(group, version, &kinds));
        let of = hash.unwrap_or_else(|| format!("{generation} {}", tags.join(" ")));
        if let Some(known) = documents.find(&key, &of) {
            return Ok(known);
        }
        let _making = documents.making.lock().await;
        if let Some(known) = documents.find(&key, &of) {
            return Ok(known);
        }
        let wanted = path.to_owned();
        let among = kinds.clone();
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
        documents.keep(key, Kept { of, document: document.clone() }, &among);
        Ok(document)
    }
}

fn make(path: &str, kinds: &[&'static KindDef]) -> Option<Value> {
    match (path, version_of(path)) {
        ("/openapi/v2", _) => Some(openapi::v2(kinds)),
        ("/openapi/v3", _) => Some(openapi::v3_index(kinds)),
        (_, Some((group, version))) => openapi::v3(group, version, kinds),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_go_with_what_they_describe() {
        static APPS: KindDef = KindDef { group: "apps", version: "v1", ..KindDef::PLAIN };
        static ACME: KindDef = KindDef { group: "acme.com", version: "v1", ..KindDef::PLAIN };
        let documents = Documents::default();
        let kept = |path: &str, kinds: &[&'static KindDef]| {
            let document = Kept { of: String::new(), document: Document::new(b"{}") };
            documents.keep((path.to_owned(), JSON), document, kinds);
            let mut paths: Vec<String> = documents.kept.lock().keys().map(|(path, _)| path.clone()).collect();
            paths.sort();
            paths.join(" ")
        };
        kept("/openapi/v2", &[&APPS, &ACME]);
        kept("/openapi/v3/apis/apps/v1", &[&APPS, &ACME]);
        let all = "/openapi/v2 /openapi/v3/apis/acme.com/v1 /openapi/v3/apis/apps/v1";
        assert_eq!(kept("/openapi/v3/apis/acme.com/v1", &[&APPS, &ACME]), all);
        assert_eq!(kept("/openapi/v2", &[&APPS]), "/openapi/v2 /openapi/v3/apis/apps/v1");
    }
}

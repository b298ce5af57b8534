//! Paths, queries and headers of requests: what is encoded is read again, by every part alike.
#![no_main]

use http::{HeaderMap, HeaderValue, Method, header};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../crates/apiserver/src/info.rs"]
mod info;
#[allow(dead_code)]
#[path = "../../crates/apiserver/src/negotiate.rs"]
mod negotiate;
#[allow(dead_code)]
#[path = "../../crates/node/src/server/query.rs"]
mod node;
#[allow(dead_code)]
#[path = "../../crates/apiserver/src/query.rs"]
mod query;

use info::RequestInfo;
use machinery::percent;
use negotiate::Offer;
use query::Query;

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (path, text, accept) = input;
    assert_eq!(percent::decode(&percent::encode(text)), text);
    let query = Query::parse(text);
    let node = node::Query::parse(text);
    assert!(query.pairs().all(|(name, _)| query.all(name).eq(node.all(name).iter())), "{text}");
    let printed: Vec<String> =
        query.pairs().map(|(name, value)| format!("{}={}", percent::encode(name), percent::encode(value))).collect();
    assert_eq!(Query::parse(&printed.join("&")), query);
    let info = RequestInfo::new(&Method::GET, path, &query);
    assert_eq!(info.is_resource, !info.version.is_empty() || info.is_resource);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(accept) {
        headers.insert(header::ACCEPT, value.clone());
        headers.insert(header::CONTENT_TYPE, value);
        let _ = (negotiate::accept(&headers, &query, Offer::DISCOVERY), negotiate::body_format(&headers));
    }
});

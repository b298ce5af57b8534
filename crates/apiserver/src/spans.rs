//! What traces say of requests: one span for each that is sampled, and one below it for what its verb does.
//! (upstream: endpoints/filters/traces.go, endpoints/handlers/trace_util.go)

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use machinery::{ApiError, UserInfo};
use trace::{KeyValue, Parent, Root, Span, Tracer, attribute};

use crate::access::ClientAddress;
use crate::body::{Body, BoxError};
use crate::call::Call;
use crate::info::RequestInfo;
use crate::metrics::verb as metrics_verb;
use crate::negotiate::Format;
use crate::respond::Answer;

/// Who else than masters may say what trace a request belongs to.
const MONITORING: &str = "system:monitoring";
/// Characters of a user agent (upstream: `maxUserAgentLength`), and of an audit id.
const AGENT_MAX: usize = 1024;
const AUDIT_ID_MAX: usize = 64;

/// The span of a request of which is known who asks, if it is sampled.
pub fn begin(tracer: &Tracer, call: &Call) -> Option<Span> {
    let parent = Parent::of(call.headers());
    let trusted = call.user.in_group(UserInfo::MASTERS) || call.user.in_group(MONITORING);
    let name = name(call.parts.method.as_str(), &call.info);
    tracer.begin(Root { name, parent: parent.as_ref(), trusted }, || attributes(call))
}

/// The path with variables in the place of names.
fn name(method: &str, info: &RequestInfo) -> String {
    if !info.is_resource {
        return method.to_owned();
    }
    let prefix = if info.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", info.group) };
    let mut name = format!("{method} {prefix}/{}", info.version);
    if !info.namespace.is_empty() {
        name += "/namespaces/{:namespace}";
    }
    name += &format!("/{}", info.resource);
    if !info.name.is_empty() {
        name += "/{:name}";
    }
    if !info.subresource.is_empty() {
        name += &format!("/{}", info.subresource);
    }
    name
}

/// In the words of OpenTelemetry's conventions for HTTP servers.
fn attributes(call: &Call) -> Vec<KeyValue> {
    let uri = &call.parts.uri;
    let target = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
    let mut attributes = vec![
        attribute("http.request.method", call.parts.method.as_str()),
        attribute("url.scheme", "https"),
        attribute("url.path", uri.path()),
        attribute("http.target", target),
        attribute("network.protocol.version", protocol(call).trim_start_matches("HTTP/")),
        attribute("audit-id", audit_id(call)),
    ];
    if let Some(address) = client(call) {
        attributes.push(attribute("network.peer.address", address.as_str()));
        attributes.push(attribute("client.address", address));
    }
    let host = call.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let (host, agent) = (uri.host().or(host), header(call, USER_AGENT));
    attributes.extend(host.map(|host| attribute("server.address", host.split(':').next().unwrap_or(host))));
    attributes.extend((!agent.is_empty()).then(|| attribute("user_agent.original", agent)));
    attributes
}

/// `HTTP/1.1`, `HTTP/2.0`
fn protocol(call: &Call) -> String {
    format!("{:?}", call.parts.version)
}

fn audit_id(call: &Call) -> String {
    call.audit_id().chars().take(AUDIT_ID_MAX).collect()
}

fn client(call: &Call) -> Option<String> {
    call.parts.extensions.get::<ClientAddress>().map(|ClientAddress(address)| address.to_string())
}

fn header(call: &Call, name: http::HeaderName) -> &str {
    call.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The span of what the verb does, if the request is traced; watches and connections have none.
pub fn verb(call: &Call) -> Option<Span> {
    let name = match call.info.verb.as_str() {
        "get" => "Get",
        "list" => "List",
        "create" => "Create",
        "update" => "Update",
        "patch" => "Patch",
        "delete" | "deletecollection" => "Delete",
        _ => return None,
    };
    trace::child(name, || fields(call)).filter(|_| !call.info.long_running())
}

fn fields(call: &Call) -> Vec<KeyValue> {
    let (info, agent) = (&call.info, header(call, USER_AGENT));
    vec![
        attribute("accept", header(call, ACCEPT)),
        attribute("audit-id", audit_id(call)),
        attribute("client", client(call).unwrap_or_else(|| "unknown".to_owned())),
        attribute("api-group", info.group.as_str()),
        attribute("api-version", info.version.as_str()),
        attribute("name", info.name.as_str()),
        attribute("subresource", info.subresource.as_str()),
        attribute("namespace", info.namespace.as_str()),
        attribute("protocol", protocol(call)),
        attribute("resource", info.resource.as_str()),
        attribute("scope", info.scope()),
        attribute("url", info.path.as_str()),
        attribute("user-agent", agent.chars().take(AGENT_MAX).collect::<String>()),
        attribute("verb", metrics_verb(info, &call.parts.method)),
    ]
}

/// The span of making an answer; it ends when it is dropped.
pub fn serializing(call: &Call, format: Format) -> Option<Span> {
    trace::child("SerializeObject", || {
        vec![
            attribute("audit-id", audit_id(call)),
            attribute("method", call.parts.method.as_str()),
            attribute("url", call.info.path.as_str()),
            attribute("protocol", protocol(call)),
            attribute("mediaType", format.content_type()),
        ]
    })
}

/// Notes that the object is on its way to the store.
pub fn storing() {
    trace::event("About to store object in database", Vec::new);
}

/// Notes how that went.
pub fn stored<T>(call: &Call, written: &Result<T, ApiError>) {
    let length = || attribute("len", call.body_bytes);
    match written {
        Ok(_) => trace::event("Write to database call succeeded", || vec![length()]),
        Err(error) => {
            let why = || vec![length(), attribute("err", error.message.as_str())];
            trace::event("Write to database call failed", why);
        }
    }
}

/// The answer of a verb, whose span ends with it.
pub fn written(span: Option<Span>, answer: Answer) -> Answer {
    let Some(span) = span else { return answer };
    span.event("About to write a response", Vec::new());
    answer.map(|body| Traced { body, span, bytes: 0, noted: Noted::Written }.boxed_unsync())
}

/// The whole answer, with which the span of the request ends.
pub fn answered(span: Option<Span>, call: &Call, answer: Answer) -> Answer {
    let Some(span) = span else { return answer };
    span.add([attribute("http.response.status_code", answer.status().as_u16())]);
    span.add((call.body_bytes > 0).then(|| attribute("http.request.body.size", call.body_bytes)));
    if answer.status().is_server_error() {
        span.fail();
    }
    answer.map(|body| Traced { body, span, bytes: 0, noted: Noted::Size }.boxed_unsync())
}

/// What a span says when the answer has been read.
#[derive(Clone, Copy)]
enum Noted {
    Written,
    Size,
}

/// A body whose span ends with it.
struct Traced {
    body: Body,
    span: Span,
    bytes: usize,
    noted: Noted,
}

impl http_body::Body for Traced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        match self.noted {
            Noted::Written => self.span.event("Writing http response done", Vec::new()),
            Noted::Size => self.span.add([attribute("http.response.body.size", self.bytes)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::query::Query;

    #[test]
    fn a_span_is_named_after_the_path_without_its_names() {
        let table = [
            ("/healthz", "GET"),
            ("/api/v1/nodes", "GET /api/v1/nodes"),
            ("/api/v1/namespaces/a/pods", "GET /api/v1/namespaces/{:namespace}/pods"),
            (
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                "GET /apis/apps/v1/namespaces/{:namespace}/deployments/{:name}/scale",
            ),
        ];
        for (path, expected) in table {
            let info = RequestInfo::new(&Method::GET, path, &Query::default());
            assert_eq!(name("GET", &info), expected);
        }
    }
}

//! Traces, as a collector gets them.

use std::collections::BTreeMap;

use http::Request;
use http_body_util::Full;
use serde_json::json;
use trace::otlp::{Kind, Span, StatusCode, Value};
use trace::{Config, Tracer};

use crate::collector::Collector;
use crate::support::{Api, Options, collect, start_with};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

struct Observed {
    api: Api,
    tracer: Tracer,
    collector: Collector,
}

async fn observed(per_million: u32) -> Observed {
    let collector = Collector::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nendpoint: {}\n\
         samplingRatePerMillion: {per_million}\n",
        collector.serve(listener)
    );
    let tracer = Tracer::start(&Config::parse(&config).unwrap(), "apiserver", "apiserver-test");
    let api = start_with(Options { tracer: Some(tracer.clone()), ..Options::default() }).await.bootstrapped().await;
    Observed { api, tracer, collector }
}

impl Observed {
    async fn spans(&self) -> Vec<Span> {
        self.tracer.flush().await;
        self.collector.spans()
    }

    async fn as_user(&self, token: &str, traceparent: &str) {
        let request = Request::get("/api/v1/namespaces/default/configmaps")
            .header("authorization", format!("Bearer {token}"))
            .header("traceparent", traceparent);
        collect(self.api.raw(request.body(Full::default()).unwrap()).await).await;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let shown = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
    };
    let pairs = span.attributes.iter();
    pairs.map(|pair| (pair.key.clone(), shown(pair.value.as_ref().unwrap().value.as_ref().unwrap()))).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let names: Vec<&String> = spans.iter().map(|span| &span.name).collect();
    assert_eq!(found.len(), 1, "{name} in {names:?}");
    found[0]
}

fn events(span: &Span) -> Vec<&str> {
    span.events.iter().map(|event| event.name.as_str()).collect()
}

#[tokio::test]
async fn a_request_is_a_span_and_its_steps_are_spans_below_it() {
    let observed = observed(1_000_000).await;
    let map = json!({"metadata": {"name": "m"}}).to_string();
    let headers = [("audit-id", "my-id"), ("user-agent", "test/1")];
    observed.api.send("POST", "/api/v1/namespaces/default/configmaps?fieldManager=me", &headers, &map).await;
    let spans = observed.spans().await;
    let root = named(&spans, "POST /api/v1/namespaces/{:namespace}/configmaps");
    let (verb, write) = (named(&spans, "Create"), named(&spans, "Create etcd3"));
    let answer = named(&spans, "SerializeObject");
    assert_eq!((root.kind(), root.parent_span_id.len(), root.links.len()), (Kind::Server, 0, 0));
    for (span, parent) in [(verb, root), (write, verb), (answer, verb)] {
        assert_eq!((&span.trace_id, &span.parent_span_id), (&root.trace_id, &parent.span_id), "{}", span.name);
        assert!(span.start_time_unix_nano >= parent.start_time_unix_nano, "{}", span.name);
        assert!(span.end_time_unix_nano <= parent.end_time_unix_nano, "{}", span.name);
    }
    let of_root = attributes(root);
    let expected = [
        ("audit-id", "my-id"),
        ("http.request.method", "POST"),
        ("http.response.status_code", "201"),
        ("http.target", "/api/v1/namespaces/default/configmaps?fieldManager=me"),
        ("url.path", "/api/v1/namespaces/default/configmaps"),
        ("user_agent.original", "test/1"),
    ];
    for (key, value) in expected {
        assert_eq!(of_root[key], value, "{key}");
    }
    assert_eq!(of_root["http.request.body.size"], map.len().to_string());
    assert_eq!((attributes(verb)["resource"].as_str(), attributes(verb)["verb"].as_str()), ("configmaps", "POST"));
    assert_eq!(
        events(verb),
        [
            "limitedReadBody succeeded",
            "About to convert to expected version",
            "Conversion done",
            "About to store object in database",
            "Write to database call succeeded",
            "About to write a response",
            "Writing http response done",
        ]
    );
    assert_eq!(
        events(write),
        ["About to Encode", "Encode succeeded", "TransformToStorage succeeded", "Txn call succeeded"]
    );
    let resource = observed.collector.requests()[0].resource_spans[0].resource.clone().unwrap();
    let resource = attributes(&Span { attributes: resource.attributes, ..Span::default() });
    assert_eq!(
        (resource["service.name"].as_str(), resource["service.instance.id"].as_str()),
        ("apiserver", "apiserver-test")
    );
}

#[tokio::test]
async fn a_trace_of_somebody_trusted_goes_on_and_keeps_its_decision() {
    let observed = observed(0).await;
    observed.as_user("admin", &format!("00-{TRACE}-{CALLER}-01")).await;
    observed.as_user("admin", &format!("00-{TRACE}-{CALLER}-00")).await;
    observed.as_user("admin", "").await;
    let spans = observed.spans().await;
    let root = named(&spans, "GET /api/v1/namespaces/{:namespace}/configmaps");
    assert_eq!((hex(&root.trace_id), hex(&root.parent_span_id)), (TRACE.to_owned(), CALLER.to_owned()));
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    assert_eq!(named(&spans, "cacher.GetList").parent_span_id, named(&spans, "List").span_id);
}

#[tokio::test]
async fn a_trace_of_anybody_else_is_only_linked_to() {
    let observed = observed(1_000_000).await;
    let before = observed.spans().await.len();
    observed.as_user("reader", &format!("00-{TRACE}-{CALLER}-00")).await;
    let spans = observed.spans().await.split_off(before);
    let root = named(&spans, "GET /api/v1/namespaces/{:namespace}/configmaps");
    assert_ne!(hex(&root.trace_id), TRACE);
    assert_eq!((hex(&root.links[0].trace_id), hex(&root.links[0].span_id)), (TRACE.to_owned(), CALLER.to_owned()));
}

#[tokio::test]
async fn nothing_is_sampled_at_a_rate_of_zero() {
    let observed = observed(0).await;
    observed.api.get("/api/v1/namespaces/default/configmaps").await.expect(200);
    assert_eq!(observed.spans().await.len(), 0);
}

#[tokio::test]
async fn a_watch_is_one_span_that_ends_with_it() {
    let observed = observed(1_000_000).await;
    let request = Request::get("/api/v1/configmaps?watch=1").header("authorization", "Bearer admin");
    let response = observed.api.raw(request.body(Full::default()).unwrap()).await;
    assert_eq!(observed.spans().await, []);
    drop(response);
    let spans = observed.spans().await;
    assert_eq!(spans.len(), 1);
    named(&spans, "GET /api/v1/configmaps");
}

#[tokio::test]
async fn a_server_whose_collector_is_down_serves_as_ever() {
    let config = "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n\
                  endpoint: unix:///nowhere/at/all\nsamplingRatePerMillion: 1000000\n";
    let tracer = Tracer::start(&Config::parse(config).unwrap(), "apiserver", "apiserver-test");
    let api = start_with(Options { tracer: Some(tracer.clone()), ..Options::default() }).await;
    api.get("/api/v1/configmaps").await.expect(200);
    api.get("/nothing/here").await.expect(404);
    tracer.flush().await;
    let metrics = api.get("/metrics").await;
    assert!(metrics.text().contains("keelson_trace_spans_dropped_total "), "{}", metrics.text());
}

#[tokio::test]
async fn a_failure_of_the_server_marks_its_span() {
    let observed = observed(1_000_000).await;
    let nowhere = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    observed.api.post("/api/v1/nodes", &nowhere).await.expect(201);
    observed.api.get("/api/v1/nodes/n1/proxy/").await.expect(500);
    let spans = observed.spans().await;
    let root = named(&spans, "GET /api/v1/nodes/{:name}/proxy");
    assert_eq!(attributes(root)["http.response.status_code"], "500");
    assert_eq!(root.status.as_ref().unwrap().code(), StatusCode::Error);
}

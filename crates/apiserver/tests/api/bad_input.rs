//! What no client should send, over real connections: the answer is upstream's, and the server goes on.

use std::io::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_util::sync::DropGuard;

use crate::support::{Api, Got, start};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// The most bytes a body may have.
const BODY_MAX: usize = 3 << 20;

struct Wire {
    api: Api,
    address: SocketAddr,
    _serving: DropGuard,
}

impl Wire {
    async fn start() -> Self {
        let api = start().await.bootstrapped().await;
        let (address, serving) = api.listen_plain().await;
        Self { api, address, _serving: serving }
    }

    async fn send(&self, method: &str, path: &str, of: &str, body: impl Into<Bytes>) -> Got {
        let stream = TcpStream::connect(self.address).await.unwrap();
        // A hundred warnings are more headers than the client takes by itself.
        let mut client = hyper::client::conn::http1::Builder::new();
        let (mut sender, connection) = client.max_headers(1000).handshake(TokioIo::new(stream)).await.unwrap();
        let running = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "x").header("content-type", of);
        let request = request.header("authorization", "Bearer admin").body(Full::new(body.into())).unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        running.abort();
        Got { status: parts.status, headers: parts.headers, bytes }
    }

    async fn create(&self, body: impl Into<Bytes>) -> Got {
        self.send("POST", CONFIG_MAPS, JSON, body).await
    }

    /// A config map to be patched, and the answer to the patch.
    async fn patch(&self, of: &str, patch: &Value) -> Got {
        let path = format!("{CONFIG_MAPS}/patched");
        self.api.delete(&path).await;
        self.api.post(CONFIG_MAPS, &json!({"metadata": {"name": "patched"}, "data": {"x": "1"}})).await.expect(201);
        self.send("PATCH", &path, of, patch.to_string()).await
    }
}

/// `201` or `400 BadRequest: why`, the latter up to a length.
fn shown(got: &Got) -> String {
    match got.status {
        StatusCode::OK | StatusCode::CREATED => got.status.as_u16().to_string(),
        _ => got.problem().chars().take(400).collect(),
    }
}

fn named(metadata: Value) -> String {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    for (field, value) in metadata.as_object().unwrap() {
        object["metadata"][field] = value.clone();
    }
    object.to_string()
}

fn gzip_bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    (0..64).for_each(|_| encoder.write_all(&vec![b' '; 1 << 20]).unwrap());
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_that_are_no_object_are_refused() {
    let wire = Wire::start().await;
    let deep = |open: &str, close: &str, levels: usize| format!("{}{}", open.repeat(levels), close.repeat(levels));
    let unrecognized = "400 BadRequest: the object provided is unrecognized (must be of type ConfigMap): couldn't get \
                        version/kind; json parse error: ";
    let misfit =
        "400 BadRequest: ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal ";
    for (body, wanted) in [
        (Vec::new(), unrecognized.to_owned()),
        (b"{\"metadata\":{\"name\":\"a\"".to_vec(), unrecognized.to_owned()),
        (b"\xff\xfe\x00".to_vec(), unrecognized.to_owned()),
        (gzip_bomb(), unrecognized.to_owned()),
        (deep("[", "]", 100_000).into(), "400 BadRequest: ".to_owned()),
        (deep("{\"a\":", "}", 100_000).into(), unrecognized.to_owned()),
        (
            named(json!({"name": 5})).into(),
            format!("{misfit}number into Go struct field ObjectMeta.metadata.name of type string"),
        ),
        (
            named(json!({"labels": ["a"]})).into(),
            format!("{misfit}array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
        ),
        (
            named(json!({"generation": 1e30})).into(),
            format!("{misfit}number 1e+30 into Go struct field ObjectMeta.metadata.generation of type int64"),
        ),
        (vec![b' '; BODY_MAX + 1], "413 RequestEntityTooLarge: Request entity too large: limit is 3145728".to_owned()),
    ] {
        let got = wire.create(body).await;
        assert!(shown(&got).starts_with(&wanted), "{}\n{wanted}", shown(&got));
    }
    assert_eq!(shown(&wire.create(named(json!({}))).await), "201", "the server goes on");
}

#[tokio::test]
async fn what_upstream_reads_over_is_read_over() {
    let wire = Wire::start().await;
    let name = |name: &str| format!("\"metadata\":{{\"name\":\"{name}\"}}");
    let unknown = format!("{{{},\"x\":{}{}}}", name("deep"), "[".repeat(100_000), "]".repeat(100_000));
    let got = wire.create(unknown).await;
    assert_eq!(shown(&got), "201");
    assert_eq!(got.headers["warning"], "299 - \"unknown field \\\"x\\\"\"");
    let mut broken = format!("{{{},\"data\":{{\"a\":\"?\"}}}}", name("broken")).into_bytes();
    let at = broken.iter().position(|byte| *byte == b'?').unwrap();
    broken[at] = 0xff;
    assert_eq!(wire.create(broken).await.expect(201)["data"]["a"], "\u{fffd}");
    let twice = format!("{{{},\"data\":{{\"a\":\"1\",\"a\":\"2\"}}}}", name("twice"));
    let strict = wire.send("POST", &format!("{CONFIG_MAPS}?fieldValidation=Strict"), JSON, twice.clone()).await;
    assert!(shown(&strict).contains("strict decoding error: duplicate field \"data.a\""), "{}", shown(&strict));
    assert_eq!(wire.create(twice).await.expect(201)["data"]["a"], "2");
    let many: Vec<String> = (0..20_000).map(|number| format!("\"x{number}\":0")).collect();
    let got = wire.create(format!("{{{},{}}}", name("many"), many.join(","))).await;
    let warnings: usize = got.headers.get_all("warning").iter().map(http::HeaderValue::len).sum();
    assert!((100..10_000).contains(&warnings), "{warnings}");
}

#[tokio::test]
async fn names_labels_and_annotations_have_their_limits() {
    let wire = Wire::start().await;
    let invalid = |name: &str, why: &str| format!("422 Invalid: ConfigMap {name:?} is invalid: {why}");
    let long = "a".repeat(254);
    for (metadata, wanted) in [
        (json!({"name": "a".repeat(253)}), "201".to_owned()),
        (json!({"name": long}), invalid(&long, &format!("metadata.name: Invalid value: \"{long}\""))[..300].to_owned()),
        (json!({"name": "b", "labels": {"a".repeat(63): "b".repeat(63)}}), "201".to_owned()),
        (
            json!({"labels": {"a": "b".repeat(64)}}),
            invalid("a", &format!("metadata.labels: Invalid value: \"{}\": must be no more than 63", "b".repeat(64))),
        ),
        (
            json!({"labels": {"a".repeat(64): ""}}),
            invalid("a", &format!("metadata.labels: Invalid value: \"{}\": name part must be no more", "a".repeat(64))),
        ),
        (json!({"name": "c", "annotations": {"a": "x".repeat((256 << 10) - 1)}}), "201".to_owned()),
        (
            json!({"annotations": {"a": "x".repeat(256 << 10)}}),
            invalid("a", "metadata.annotations: Too long: may not be more than 262144 bytes"),
        ),
        (json!({"name": "d", "finalizers": many("example.com/f", 10_000)}), "201".to_owned()),
        (
            json!({"finalizers": many("f/g/h", 10_000)}),
            invalid("a", "[metadata.finalizers: Invalid value: \"f/g/h0\": "),
        ),
        (json!({"finalizers": [1]}), "400 BadRequest: ConfigMap in version \"v1\" cannot be handled".to_owned()),
    ] {
        let got = wire.create(named(metadata)).await;
        assert!(shown(&got).starts_with(&wanted), "{}\n{wanted}", shown(&got));
    }
}

fn many(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

#[tokio::test]
async fn patches_that_make_absurd_documents_are_refused() {
    let wire = Wire::start().await;
    let rejected = "422 Invalid: the server rejected our request due to an error in our request";
    let add = json!({"op": "add", "path": "/data/a", "value": "b"});
    let copy = |number: u32| json!({"op": "copy", "from": "/metadata", "path": format!("/metadata/x{number}")});
    for (of, patch, wanted) in [
        (
            JSON_PATCH,
            json!(vec![add.clone(); 10_001]),
            "413 RequestEntityTooLarge: Request entity too large: The allowed maximum operations in a JSON patch is \
             10000, got 10001",
        ),
        (JSON_PATCH, json!(vec![add; 10_000]), "200"),
        (JSON_PATCH, (0..40).map(copy).collect(), rejected),
        (JSON_PATCH, json!([{"op": "test", "path": "/data/a", "value": "b"}]), rejected),
        (JSON_PATCH, json!({"op": "add"}), "400 BadRequest: "),
        (JSON_PATCH, json!([{"op": "burn", "path": "/a"}]), rejected),
        (MERGE_PATCH, json!([]), "400 BadRequest: "),
        (MERGE_PATCH, json!({"metadata": {"annotations": {"a": "x".repeat(256 << 10)}}}), "422 Invalid: ConfigMap"),
        (STRATEGIC_PATCH, json!("x"), "400 BadRequest: "),
        ("text/plain", json!({}), "415 UnsupportedMediaType: "),
        (STRATEGIC_PATCH, json!({"metadata": {"finalizers": many("example.com/f", 50_000)}}), "200"),
    ] {
        let got = wire.patch(of, &patch).await;
        assert!(shown(&got).starts_with(wanted), "{of}: {}\n{wanted}", shown(&got));
    }
    let held = wire.api.delete(&format!("{CONFIG_MAPS}/patched")).await.expect(200);
    assert_eq!(held["metadata"]["finalizers"].as_array().unwrap().len(), 50_000);
}

#[tokio::test]
async fn an_object_does_not_grow_without_end() {
    let wire = Wire::start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i", "args": ["a"]}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    wire.api.post(path, &json!({"metadata": {"name": "grows"}, "spec": spec})).await.expect(201);
    let longer =
        json!([{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "x".repeat(2 << 20)}]);
    let patch = async || shown(&wire.send("PATCH", &format!("{path}/grows"), JSON_PATCH, longer.to_string()).await);
    assert_eq!(patch().await, "200");
    assert_eq!(patch().await, "413 RequestEntityTooLarge: etcdserver: request is too large");
    wire.api.delete(&format!("{path}/grows")).await.expect(200);
}

#[tokio::test]
async fn queries_that_mean_nothing_are_refused() {
    let wire = Wire::start().await;
    let garbage = "A".repeat(60_000);
    let selector = format!("a%20in%20({})", many("v", 8_000).join(","));
    for (query, wanted) in [
        (format!("continue={garbage}"), "400 BadRequest: invalid continue token: continue key is not valid: "),
        (format!("labelSelector={selector}"), "200"),
        (format!("labelSelector={}", "a%2C".repeat(5_000)), "400 BadRequest: found '', expected: identifier after ','"),
        (format!("labelSelector={}", "(".repeat(60_000)), "400 BadRequest: found '(', expected: !, identifier"),
        (format!("fieldSelector=metadata.name%3D{garbage}"), "200"),
        ("fieldSelector=%FF%FE".to_owned(), "400 BadRequest: invalid selector: "),
        ("limit=9223372036854775807".to_owned(), "200"),
        ("limit=9223372036854775808".to_owned(), "400 BadRequest: strconv.ParseInt: parsing"),
        ("resourceVersion=18446744073709551616".to_owned(), "400 BadRequest: invalid resource version: "),
        ("watch=1&timeoutSeconds=-1".to_owned(), "200"),
        ("watch=1&timeoutSeconds=x".to_owned(), "400 BadRequest: strconv.ParseInt: parsing \"x\": invalid syntax"),
    ] {
        let got = wire.send("GET", &format!("{CONFIG_MAPS}?{query}"), JSON, "").await;
        assert!(shown(&got).starts_with(wanted), "{}: {}\n{wanted}", &query[..query.len().min(80)], shown(&got));
    }
}

/// JSON within protobuf may be nested as deep again as the message around it.
#[tokio::test]
async fn what_could_not_be_read_back_is_not_stored() {
    let wire = Wire::start().await;
    let revisions = "/apis/apps/v1/namespaces/default/controllerrevisions";
    let nested = |levels: usize| format!("{}{}", "{\"a\":".repeat(levels) + "1", "}".repeat(levels));
    let made = |name: &str, levels: usize| {
        format!("{{\"metadata\":{{\"name\":\"{name}\"}},\"revision\":1,\"data\":{}}}", nested(levels))
    };
    assert_eq!(shown(&wire.send("POST", revisions, JSON, made("fits", 100)).await), "201");
    let refused = wire.send("POST", revisions, JSON, made("deep", 124)).await;
    assert_eq!(shown(&refused), "400 BadRequest: the object is nested deeper than 120 levels");
    assert_eq!(wire.api.get(revisions).await.expect(200)["items"].as_array().unwrap().len(), 1);
}

//! Protobuf, read by k8s-pb, and what else clients may ask for the form of an answer.

use std::io::Write as _;

use apiserver::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use k8s_pb::api::apidiscovery::v2::APIGroupDiscoveryList;
use k8s_pb::api::autoscaling::v1::Scale;
use k8s_pb::api::core::v1::{ConfigMap, ConfigMapList};
use k8s_pb::apimachinery::pkg::apis::meta::v1::{
    APIGroupList, DeleteOptions, PartialObjectMetadata, PartialObjectMetadataList, Preconditions, Status, WatchEvent,
};
use k8s_pb::apimachinery::pkg::runtime::{TypeMeta, Unknown};
use k8s_pb::metrics::pkg::apis::metrics::v1beta1::NodeMetrics;
use prost::Message;
use serde_json::json;

use crate::support::{Api, Got, Options, start, start_with};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What client-go asks for.
const CLIENT_GO: (&str, &str) = ("accept", "application/vnd.kubernetes.protobuf,application/json");
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn ready() -> Api {
    let api = start().await.bootstrapped().await;
    api.post(MAPS, &json!({"metadata": {"name": "web"}, "data": {"a": "1"}})).await.expect(201);
    api
}

/// The kind in an envelope and the message in it.
fn unwrapped<M: Message + Default>(bytes: &[u8]) -> (String, M) {
    let unknown = Unknown::decode(bytes.strip_prefix(b"k8s\0").unwrap()).unwrap();
    let message = M::decode(unknown.raw()).unwrap();
    let kind = unknown.type_meta.unwrap_or_default();
    (format!("{}/{}", kind.api_version(), kind.kind()), message)
}

fn wrapped(api_version: &str, kind: &str, message: &impl Message) -> Vec<u8> {
    let type_meta = TypeMeta { api_version: Some(api_version.to_owned()), kind: Some(kind.to_owned()) };
    let unknown = Unknown { type_meta: Some(type_meta), raw: Some(message.encode_to_vec()), ..Unknown::default() };
    [b"k8s\0".to_vec(), unknown.encode_to_vec()].concat()
}

fn read<M: Message + Default>(got: &Got, status: u16) -> (String, M) {
    assert_eq!((got.status.as_u16(), &got.headers["content-type"]), (status, &PROTOBUF.parse().unwrap()), "{got:?}");
    unwrapped(&got.bytes)
}

#[tokio::test]
async fn an_object_is_written_and_read_in_protobuf() {
    let api = ready().await;
    let mut made = ConfigMap::default();
    made.metadata.get_or_insert_default().name = Some("made".to_owned());
    made.binary_data.insert("k".to_owned(), vec![0, 255]);
    let headers = [CLIENT_GO, ("content-type", PROTOBUF)];
    let (kind, created) =
        read::<ConfigMap>(&api.send("POST", MAPS, &headers, wrapped("v1", "ConfigMap", &made)).await, 201);
    assert_eq!((kind.as_str(), created.metadata.as_ref().unwrap().namespace()), ("v1/ConfigMap", "default"));
    let (_, got) = read::<ConfigMap>(&api.send("GET", &format!("{MAPS}/made"), &[CLIENT_GO], "").await, 200);
    assert_eq!(got, created);
    assert_eq!(got.binary_data["k"], [0, 255]);
    assert_eq!(api.get(&format!("{MAPS}/made")).await.expect(200)["binaryData"], json!({"k": "AP8="}));
}

#[tokio::test]
async fn lists_of_any_length_are_one_message() {
    let api = ready().await;
    let (kind, list) = read::<ConfigMapList>(&api.send("GET", MAPS, &[CLIENT_GO], "").await, 200);
    assert_eq!((kind.as_str(), list.items.len()), ("v1/ConfigMapList", 1));
    let filler = "x".repeat(20_000);
    for at in 0..9 {
        let body = json!({"metadata": {"name": format!("long-{at}")}, "data": {"x": filler}});
        api.post(MAPS, &body).await.expect(201);
    }
    let (_, list) = read::<ConfigMapList>(&api.send("GET", MAPS, &[CLIENT_GO], "").await, 200);
    let names: Vec<&str> = list.items.iter().map(|item| item.metadata.as_ref().unwrap().name()).collect();
    assert_eq!((names.len(), names[0], names[9]), (10, "long-0", "web"));
    assert_ne!(list.metadata.unwrap().resource_version(), "");
    let page = api.send("GET", &format!("{MAPS}?limit=1"), &[CLIENT_GO], "").await;
    let metadata = read::<ConfigMapList>(&page, 200).1.metadata.unwrap();
    assert_eq!(metadata.remaining_item_count(), 9);
    assert_ne!(metadata.r#continue(), "");
    let none = api.send("GET", "/api/v1/namespaces/other/configmaps", &[CLIENT_GO], "").await;
    assert_eq!(read::<ConfigMapList>(&none, 200).1.items, []);
}

/// The events of a watch in protobuf: each behind its length.
struct Events {
    body: Body,
    read: Vec<u8>,
}

impl Events {
    async fn open(api: &Api, uri: &str, accept: &str) -> Self {
        let request = Request::get(uri).header("authorization", "Bearer admin").header("accept", accept);
        let response = api.raw(request.body(Full::<Bytes>::default()).unwrap()).await;
        assert_eq!(response.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
        Self { body: response.into_body(), read: Vec::new() }
    }

    async fn fill(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            self.read.extend_from_slice(&self.body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        self.read.drain(..length).collect()
    }

    /// `ADDED v1/ConfigMap`, and the object.
    async fn next<M: Message + Default>(&mut self) -> (String, M) {
        let length = u32::from_be_bytes(self.fill(4).await.try_into().unwrap());
        let event = WatchEvent::decode(self.fill(length as usize).await.as_slice()).unwrap();
        let (kind, object) = unwrapped(event.object.as_ref().unwrap().raw());
        (format!("{} {kind}", event.r#type()), object)
    }
}

#[tokio::test]
async fn a_watch_is_frames_of_events() {
    let api = ready().await;
    let options = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let accept = "application/vnd.kubernetes.protobuf;stream=watch,application/json;stream=watch";
    let mut events = Events::open(&api, &format!("{MAPS}?{options}"), accept).await;
    let (added, map) = events.next::<ConfigMap>().await;
    assert_eq!((added.as_str(), map.data["a"].as_str()), ("ADDED v1/ConfigMap", "1"));
    let (bookmark, map) = events.next::<ConfigMap>().await;
    assert_eq!(bookmark, "BOOKMARK v1/ConfigMap");
    assert_eq!(map.metadata.unwrap().annotations["k8s.io/initial-events-end"], "true");
    let patch = json!({"data": {"a": "2"}});
    api.patch(&format!("{MAPS}/web"), "application/merge-patch+json", &patch).await.expect(200);
    let (modified, map) = events.next::<ConfigMap>().await;
    assert_eq!((modified.as_str(), map.data["a"].as_str()), ("MODIFIED v1/ConfigMap", "2"));
    api.delete(&format!("{MAPS}/web")).await.expect(200);
    let (deleted, gone) = events.next::<ConfigMap>().await;
    assert_eq!(deleted, "DELETED v1/ConfigMap");
    assert_ne!(gone.metadata.unwrap().resource_version(), map.metadata.unwrap().resource_version());
}

#[tokio::test]
async fn metadata_alone_comes_in_protobuf_too() {
    let api = ready().await;
    let one = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let (kind, partial) =
        read::<PartialObjectMetadata>(&api.send("GET", &format!("{MAPS}/web"), &[("accept", one)], "").await, 200);
    assert_eq!((kind.as_str(), partial.metadata.unwrap().name()), ("meta.k8s.io/v1/PartialObjectMetadata", "web"));
    let many = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let (kind, list) = read::<PartialObjectMetadataList>(&api.send("GET", MAPS, &[("accept", many)], "").await, 200);
    assert_eq!((kind.as_str(), list.items.len()), ("meta.k8s.io/v1/PartialObjectMetadataList", 1));
    let mut events = Events::open(&api, &format!("{MAPS}?watch=1"), one).await;
    let (added, partial) = events.next::<PartialObjectMetadata>().await;
    assert_eq!(
        (added.as_str(), partial.metadata.unwrap().name()),
        ("ADDED meta.k8s.io/v1/PartialObjectMetadata", "web")
    );
}

#[tokio::test]
async fn errors_and_outcomes_are_protobuf_where_accepted() {
    let api = ready().await;
    let missing = api.send("GET", &format!("{MAPS}/none"), &[CLIENT_GO], "").await;
    let (kind, status) = read::<Status>(&missing, 404);
    assert_eq!((kind.as_str(), status.reason(), status.code()), ("v1/Status", "NotFound", 404));
    assert_eq!(status.details.unwrap().name(), "none");
    // DeleteOptions in protobuf: a precondition that does not hold, then none.
    let preconditions = Some(Preconditions { uid: Some("other".to_owned()), ..Preconditions::default() });
    let delete = |options: DeleteOptions| {
        let body = wrapped("v1", "DeleteOptions", &options);
        let api = &api;
        async move { api.send("DELETE", &format!("{MAPS}/web"), &[CLIENT_GO, ("content-type", PROTOBUF)], body).await }
    };
    let refused = delete(DeleteOptions { preconditions, ..DeleteOptions::default() }).await;
    assert_eq!(read::<Status>(&refused, 409).1.reason(), "Conflict");
    let (_, done) = read::<Status>(&delete(DeleteOptions::default()).await, 200);
    assert_eq!((done.status(), done.details.as_ref().unwrap().kind()), ("Success", "configmaps"));
}

#[tokio::test]
async fn scales_and_discovery_are_protobuf_where_accepted() {
    let api = ready().await;
    let set = json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "i"}]},
            },
        },
    });
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    api.post(sets, &set).await.expect(201);
    let (kind, scale) = read::<Scale>(&api.send("GET", &format!("{sets}/web/scale"), &[CLIENT_GO], "").await, 200);
    assert_eq!((kind.as_str(), scale.status.unwrap().selector()), ("autoscaling/v1/Scale", "a=b"));
    let (kind, groups) = read::<APIGroupList>(&api.send("GET", "/apis", &[CLIENT_GO], "").await, 200);
    assert_eq!(kind, "v1/APIGroupList");
    assert!(groups.groups.iter().any(|group| group.name() == "apps"));
}

#[tokio::test]
async fn the_aggregated_document_is_protobuf_where_accepted() {
    let api = ready().await;
    let parameters = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let wanted = format!("{PROTOBUF};{parameters}");
    let got = api.send("GET", "/apis", &[("accept", &wanted)], "").await;
    assert_eq!((got.status.as_u16(), got.headers["content-type"].to_str().unwrap()), (200, wanted.as_str()));
    let (kind, list) = unwrapped::<APIGroupDiscoveryList>(&got.bytes);
    assert_eq!(kind, "apidiscovery.k8s.io/v2/APIGroupDiscoveryList");
    let apps = list.items.iter().find(|group| group.metadata.as_ref().is_some_and(|of| of.name() == "apps")).unwrap();
    let version = &apps.versions[0];
    assert_eq!((version.version(), version.freshness()), ("v1", "Current"));
    let sets = version.resources.iter().find(|resource| resource.resource() == "deployments").unwrap();
    assert_eq!(
        (sets.scope(), sets.singular_resource(), &sets.short_names[..]),
        ("Namespaced", "deployment", &["deploy".to_owned()][..])
    );
    assert_eq!(sets.response_kind.as_ref().map(|kind| kind.kind()), Some("Deployment"));
    let scale = sets.subresources.iter().find(|of| of.subresource() == "scale").unwrap();
    assert_eq!(scale.response_kind.as_ref().map(|kind| (kind.group(), kind.kind())), Some(("autoscaling", "Scale")));
    assert_eq!(scale.verbs, ["get", "patch", "update"]);
    let json = api.send("GET", "/apis", &[("accept", &format!("application/json;{parameters}"))], "").await;
    assert_eq!(json.headers["etag"], got.headers["etag"]);
}

#[tokio::test]
async fn what_another_component_answers_is_protobuf_where_accepted() {
    let service = tower::service_fn(|request: Request<Bytes>| async move {
        let (status, answer) = match request.uri().path().ends_with("/n1") {
            true => (
                200,
                json!({
                    "kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {"name": "n1"},
                    "timestamp": "2026-01-01T00:00:00Z", "window": "1m15.5s", "usage": {"cpu": "5n", "memory": "3Ki"},
                }),
            ),
            false => (404, machinery::ApiError::no_such_path().status()),
        };
        let body = Full::from(answer.to_string()).map_err(|never: std::convert::Infallible| match never {});
        let response = http::Response::builder().status(status).body(body.boxed_unsync()).unwrap();
        Ok::<_, apiserver::BoxError>(response)
    });
    let local = apiserver::LocalApi {
        group: "metrics.k8s.io",
        version: "v1beta1",
        schema: "io.k8s.metrics.pkg.apis.metrics.v1beta1",
        resources: json!([{"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get"]}]),
        service: tower::util::BoxCloneSyncService::new(service),
    };
    let api = start_with(Options { local_apis: vec![local], ..Options::default() }).await;
    let path = |name: &str| format!("/apis/metrics.k8s.io/v1beta1/nodes/{name}");
    let (kind, metrics) = read::<NodeMetrics>(&api.send("GET", &path("n1"), &[CLIENT_GO], "").await, 200);
    assert_eq!(kind, "metrics.k8s.io/v1beta1/NodeMetrics");
    assert_eq!(metrics.window.and_then(|window| window.duration), Some(75_500_000_000));
    assert_eq!(metrics.timestamp.and_then(|time| time.seconds), Some(1_767_225_600));
    assert_eq!(metrics.usage["memory"].string(), "3Ki");
    let (_, status) = read::<Status>(&api.send("GET", &path("n2"), &[CLIENT_GO], "").await, 404);
    assert_eq!(status.code(), 404);
}

#[tokio::test]
async fn tables_are_never_protobuf() {
    let api = ready().await;
    let table = "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1";
    let refused = api.send("GET", MAPS, &[("accept", table)], "").await;
    assert_eq!(
        refused.problem(),
        "406 NotAcceptable: only the following media types are accepted: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf"
    );
    let next = format!("{table},application/json;as=Table;g=meta.k8s.io;v=v1");
    assert_eq!(api.send("GET", MAPS, &[("accept", &next)], "").await.expect(200)["kind"], "Table");
}

#[tokio::test]
async fn a_watch_is_not_yaml() {
    let api = ready().await;
    let refused = api.send("GET", &format!("{MAPS}?watch=1"), &[("accept", "application/yaml")], "").await;
    assert_eq!(refused.status.as_u16(), 406);
    let expected = "only the following media types are accepted: application/json;stream=watch, \
        application/vnd.kubernetes.protobuf;stream=watch";
    assert!(refused.text().contains(expected), "{}", refused.text());
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused() {
    let api = ready().await;
    let post = |of: &'static str, body: Vec<u8>| {
        let api = &api;
        async move { api.send("POST", MAPS, &[("content-type", of)], body).await.problem() }
    };
    assert_eq!(
        post("text/plain", b"{}".to_vec()).await,
        "415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: \
         application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    assert_eq!(
        post(PROTOBUF, b"{}".to_vec()).await,
        "400 BadRequest: the object provided is unrecognized (must be of type ConfigMap): provided data does not \
         appear to be a protobuf message, expected prefix [107 56 115 0] ({})"
    );
    // No request is decompressed, whatever its headers say: three megabytes are three megabytes.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(br#"{"metadata":{"name":"zipped"}}"#).unwrap();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let refused = api.send("POST", MAPS, &headers, gzip.finish().unwrap()).await;
    assert!(refused.problem().starts_with("400 BadRequest: the object provided is unrecognized"), "{refused:?}");
}

#[tokio::test]
async fn zeros_that_go_does_not_print_are_not_kept() {
    let api = ready().await;
    let patch = json!({"metadata": {"generateName": ""}, "immutable": false, "data": {"empty": ""}});
    let kept = api.patch(&format!("{MAPS}/web"), "application/merge-patch+json", &patch).await.expect(200);
    assert_eq!((&kept["metadata"].get("generateName"), &kept["immutable"]), (&None, &json!(false)));
    assert_eq!(kept["data"]["empty"], "");
}

use std::time::Duration;

use apiserver::{Limits, LocalApi, Renewal};
use http::Request;
use http_body_util::Full;
use serde_json::json;

use crate::support::{Options, collect, start, start_with};

#[tokio::test]
async fn a_body_over_three_mebibytes_is_refused() {
    let api = start().await;
    let body = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(3 << 20));
    let got = api.send("POST", "/api/v1/namespaces/default/configmaps", &[], &body).await;
    assert_eq!(got.problem(), "413 RequestEntityTooLarge: Request entity too large: limit is 3145728");
}

#[tokio::test]
async fn components_of_the_process_are_not_made_to_wait() {
    let limits = Limits { requests: 0, queue_wait: Duration::from_millis(1), ..Limits::default() };
    let api = start_with(Options { limits, ..Options::default() }).await;
    let user = machinery::UserInfo::new("component", &[machinery::UserInfo::MASTERS]);
    let request = Request::get("/api").body(Full::<bytes::Bytes>::default()).unwrap();
    let response = tower::ServiceExt::oneshot(api.server.client(user), request).await.unwrap();
    collect(response).await.expect(200);
}

#[tokio::test]
async fn a_panic_ends_one_request_and_no_more() {
    let service = tower::service_fn(|request: Request<bytes::Bytes>| async move {
        assert!(request.uri().path().is_empty(), "this request panics");
        Err::<http::Response<apiserver::Body>, apiserver::BoxError>("not reached".into())
    });
    let local = LocalApi {
        group: "metrics.k8s.io",
        version: "v1beta1",
        schema: "",
        resources: json!([]),
        service: tower::util::BoxCloneSyncService::new(service),
    };
    let api = start_with(Options { local_apis: vec![local], ..Options::default() }).await;
    assert_eq!(
        api.get("/apis/metrics.k8s.io/v1beta1/nodes").await.problem(),
        "500 InternalError: This request caused apiserver to panic. Look in the logs for details."
    );
    api.get("/api").await.expect(200);
}

#[tokio::test]
async fn a_request_ends_when_its_time_is_up() {
    let service = tower::service_fn(|_: Request<bytes::Bytes>| {
        std::future::pending::<Result<http::Response<apiserver::Body>, apiserver::BoxError>>()
    });
    let service = tower::util::BoxCloneSyncService::new(service);
    let local = LocalApi { group: "metrics.k8s.io", version: "v1beta1", schema: "", resources: json!([]), service };
    let api = start_with(Options { local_apis: vec![local], ..Options::default() }).await;
    assert_eq!(
        api.get("/apis/metrics.k8s.io/v1beta1/nodes?timeout=5ms").await.problem(),
        "504 Timeout: Timeout: request did not complete within the allotted timeout"
    );
    let wrong = api.get("/apis/metrics.k8s.io/v1beta1/nodes?timeout=soon").await.problem();
    assert!(wrong.starts_with("400 BadRequest: invalid timeout specified in the request URL"), "{wrong}");
}

#[tokio::test]
async fn a_server_that_stops_is_first_no_longer_ready() {
    let limits = Limits { shutdown_delay: Duration::from_secs(3600), ..Limits::default() };
    let api = start_with(Options { limits, ..Options::default() }).await.bootstrapped().await;
    let (address, guard) = api.listen().await;
    assert_eq!(api.as_user("", "GET", "/readyz").await.status.as_u16(), 200);
    drop(guard);
    while api.as_user("", "GET", "/readyz").await.status.as_u16() == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.as_user("", "GET", "/livez").await.status.as_u16(), 200);
    assert!(tokio::net::TcpStream::connect(address).await.is_ok(), "whoever comes now is still served");
    api.get("/api/v1/namespaces").await.expect(200);
}

#[tokio::test]
async fn the_server_is_known_by_a_lease() {
    let api = start().await.bootstrapped().await;
    let (server, bootstrap) = (api.server.clone(), api.bootstrap("host", "192.0.2.1"));
    tokio::spawn(async move { server.hold_identity_lease(&bootstrap, Renewal::ALONE).await });
    let path =
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?labelSelector=apiserver.kubernetes.io/identity";
    let mut leases = api.get(path).await.expect(200);
    while leases["items"].as_array().is_none_or(Vec::is_empty) {
        tokio::task::yield_now().await;
        leases = api.get(path).await.expect(200);
    }
    let lease = &leases["items"][0];
    assert!(lease["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("apiserver-")));
    assert_eq!(
        (&lease["metadata"]["labels"]["kubernetes.io/hostname"], &lease["spec"]["leaseDurationSeconds"]),
        (&json!("host"), &json!(3600))
    );
}

#[tokio::test(start_paused = true)]
async fn servers_that_live_are_endpoints_of_the_api() {
    let _time = clock::simulate(1);
    let api = start().await.bootstrapped().await;
    let hold = |host, address| {
        let (server, bootstrap) = (api.server.clone(), api.bootstrap(host, address));
        tokio::spawn(async move { server.hold_identity_lease(&bootstrap, Renewal::AMONG_OTHERS).await })
    };
    let (_first, second) = (hold("host", "192.0.2.1"), hold("other", "192.0.2.2"));
    let addresses = async || {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let endpoints = api.get("/api/v1/namespaces/default/endpoints/kubernetes").await.expect(200);
        let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
        let slice = api.get(slice).await.expect(200);
        let of = |list: &serde_json::Value, field: &str| {
            let list = list.as_array().cloned().unwrap_or_default();
            list.iter().map(|address| address[field].to_string()).collect::<String>()
        };
        (of(&endpoints["subsets"][0]["addresses"], "ip"), of(&slice["endpoints"], "addresses"))
    };
    let both = (r#""192.0.2.1""192.0.2.2""#.to_owned(), r#"["192.0.2.1"]["192.0.2.2"]"#.to_owned());
    assert_eq!(addresses().await, both);
    second.abort();
    let first = (r#""192.0.2.1""#.to_owned(), r#"["192.0.2.1"]"#.to_owned());
    assert_eq!(addresses().await, first);
    let third = hold("third", "192.0.2.3");
    assert_ne!(addresses().await, first);
    third.abort();
    api.server.release_identity_lease(&api.bootstrap("third", "192.0.2.3")).await;
    let endpoints = api.get("/api/v1/namespaces/default/endpoints/kubernetes").await.expect(200);
    assert_eq!(endpoints["subsets"][0]["addresses"].to_string(), r#"[{"ip":"192.0.2.1"}]"#, "it is gone at once");
}

#[tokio::test]
async fn metrics_tell_of_answers_and_of_the_process() {
    let api = start().await.bootstrapped().await;
    api.get("/api/v1/namespaces").await.expect(200);
    let metrics = api.get("/metrics").await;
    let text = metrics.text();
    assert!(
        text.contains(r#"apiserver_response_sizes_count{verb="LIST",group="",version="v1",resource="namespaces""#),
        "{text}"
    );
    assert!(text.contains("process_resident_memory_bytes "), "{text}");
}

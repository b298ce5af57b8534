use std::time::Duration;

use apiserver::{Limits, LocalApi};
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

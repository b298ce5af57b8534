use serde_json::json;

use crate::support::start;

#[tokio::test]
async fn only_health_and_version_are_open_to_all() {
    let api = start().await;
    for path in ["/healthz", "/livez", "/readyz", "/readyz/ping"] {
        let got = api.as_user("", "GET", path).await;
        assert_eq!((got.status.as_u16(), got.text()), (200, "ok"), "{path}");
    }
    let version = api.as_user("", "GET", "/version").await.expect(200);
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("35")));
    assert_eq!(version["gitVersion"], "v1.35.0+keelson0.1.0");
    for path in ["/api", "/metrics", "/api/v1/namespaces"] {
        assert_eq!(api.as_user("", "GET", path).await.problem(), "401 Unauthorized: Unauthorized", "{path}");
    }
    assert_eq!(api.as_user("bad", "GET", "/api").await.status.as_u16(), 401);
}

#[tokio::test]
async fn health_tells_its_checks_when_asked() {
    let api = start().await;
    let verbose = api.as_user("", "GET", "/readyz?verbose").await;
    assert_eq!(verbose.text(), "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]shutdown ok\nreadyz check passed\n");
    assert_eq!(api.as_user("", "GET", "/readyz/nothing").await.status.as_u16(), 404);
}

#[tokio::test]
async fn what_is_not_allowed_is_forbidden_in_upstreams_words() {
    let api = start().await;
    let got = api.as_user("nobody", "DELETE", "/apis/apps/v1/namespaces/a/deployments/web").await;
    assert_eq!(
        got.problem(),
        "403 Forbidden: deployments.apps \"web\" is forbidden: User \"nobody\" cannot delete resource \
         \"deployments\" in API group \"apps\" in the namespace \"a\""
    );
    let got = api.as_user("nobody", "GET", "/metrics").await;
    assert_eq!(got.problem(), "403 Forbidden: forbidden: User \"nobody\" cannot get path \"/metrics\"");
    assert_eq!(api.as_user("reader", "GET", "/metrics").await.status.as_u16(), 200);
}

#[tokio::test]
async fn acting_for_another_needs_leave_and_then_has_their_rights() {
    let api = start().await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let headers = [("impersonate-user", "jane"), ("impersonate-group", UserInfo::MASTERS)];
    let review = api.send("POST", path, &headers, &body).await.expect(201);
    assert_eq!(review["status"]["userInfo"]["username"], "jane");
    assert_eq!(review["status"]["userInfo"]["groups"], json!(["system:masters", "system:authenticated"]));
    let refused = api.send("GET", "/metrics", &[("impersonate-user", "nobody")], "").await;
    assert_eq!(refused.status.as_u16(), 403);
    let headers = [("authorization", "Bearer reader"), ("impersonate-user", "admin")];
    let refused = request_as(&api, &headers).await;
    assert_eq!(
        refused,
        "403 Forbidden: users \"admin\" is forbidden: User \"reader\" cannot impersonate resource \"users\" in API \
         group \"\" at the cluster scope"
    );
}

async fn request_as(api: &crate::support::Api, headers: &[(&str, &str)]) -> String {
    let mut request = http::Request::get("/api");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = api.raw(request.body(http_body_util::Full::default()).unwrap()).await;
    crate::support::collect(response).await.problem()
}

use machinery::UserInfo;

#[tokio::test]
async fn access_and_tokens_can_be_reviewed() {
    let api = start().await;
    let review = |user: &str, verb: &str| {
        json!({
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "spec": {"user": user, "resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "a"}},
        })
    };
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let allowed = api.post(path, &review("reader", "list")).await.expect(201);
    assert_eq!(allowed["status"]["allowed"], true);
    let refused = api.post(path, &review("reader", "delete")).await.expect(201);
    assert_eq!(refused["status"]["allowed"], false);
    let token = |token: &str| json!({"kind": "TokenReview", "spec": {"token": token}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let good = api.post(path, &token("jane")).await.expect(201);
    assert_eq!((&good["status"]["authenticated"], &good["status"]["user"]["username"]), (&json!(true), &json!("jane")));
    let bad = api.post(path, &token("bad")).await.expect(201);
    assert_eq!(bad["status"]["authenticated"], json!(null));
    assert_eq!(bad["status"]["error"], "invalid bearer token");
}

//! The audit log, as one who reads it sees it.

use std::path::PathBuf;

use apiserver::{Audit, AuditLogOptions};
use serde_json::{Value, json};

use crate::support::{Api, Options, start_with};

struct Audited {
    api: Api,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

async fn audited(rules: &str) -> Audited {
    let dir = tempfile::tempdir().unwrap();
    let (policy, log) = (dir.path().join("policy.yaml"), dir.path().join("audit.log"));
    std::fs::write(&policy, format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}")).unwrap();
    let options = AuditLogOptions { path: log.clone(), ..AuditLogOptions::default() };
    let audit = Audit::open(&policy, options).unwrap();
    let api = start_with(Options { audit: Some(audit), ..Options::default() }).await.bootstrapped().await;
    Audited { api, log, _dir: dir }
}

impl Audited {
    /// All that was written so far.
    fn events(&self) -> Vec<Value> {
        self.api.server.flush_audit_log();
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn stages(&self) -> Vec<String> {
        let shown = |event: &Value| format!("{} {}", event["stage"].as_str().unwrap(), event["verb"].as_str().unwrap());
        self.events().iter().map(shown).collect()
    }
}

/// With a log or without. (upstream: endpoints/filters/audit_init.go)
#[tokio::test]
async fn every_answer_names_its_request() {
    let api = start_with(Options::default()).await;
    let id = async |headers: &[(&'static str, &str)]| {
        let answer = api.send("GET", "/api/v1/namespaces", headers, "").await;
        answer.headers["audit-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id(&[("audit-id", "my-id")]).await, "my-id");
    assert_ne!(id(&[]).await, id(&[]).await);
}

#[tokio::test]
async fn a_request_is_recorded_with_who_what_and_how_it_went() {
    let audited = audited("rules: [{level: Metadata}]\n").await;
    let headers = [("audit-id", "my-id"), ("user-agent", "test/1")];
    let got = audited.api.send("GET", "/api/v1/namespaces/a/pods/x?pretty=true", &headers, "").await;
    assert_eq!(got.headers["audit-id"], "my-id");
    let [received, complete] = &audited.events()[..] else { panic!("two events") };
    assert_eq!((&received["stage"], &received["responseStatus"]), (&json!("RequestReceived"), &Value::Null));
    let expected = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "my-id",
        "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/a/pods/x?pretty=true", "verb": "get",
        "user": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
        "sourceIPs": ["127.0.0.1"], "userAgent": "test/1",
        "objectRef": {"resource": "pods", "namespace": "a", "name": "x", "apiVersion": "v1"},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&complete[field], value, "{field}");
    }
    let status = &complete["responseStatus"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(404), &json!("NotFound")));
    assert!(complete["stageTimestamp"].as_str().unwrap() >= complete["requestReceivedTimestamp"].as_str().unwrap());
}

#[tokio::test]
async fn objects_are_recorded_where_the_policy_says_so() {
    let rules = "omitStages: [RequestReceived]\nomitManagedFields: true\n\
                 rules: [{level: RequestResponse, resources: [{group: '', resources: [configmaps]}]}]\n";
    let audited = audited(rules).await;
    let map = json!({"metadata": {"name": "m"}, "data": {"key": "value"}});
    let before = audited.events().len();
    audited.api.post("/api/v1/namespaces/default/configmaps", &map).await.expect(201);
    let event = audited.events().swap_remove(before);
    assert_eq!(event["requestObject"], map);
    assert_eq!(event["responseObject"]["data"], json!({"key": "value"}));
    assert!(event["responseObject"]["metadata"]["uid"].is_string());
    audited.api.get("/api/v1/namespaces/default/secrets").await.expect(200);
    assert_eq!(audited.events().len(), before + 1, "no rule is about secrets");
}

#[tokio::test]
async fn a_watch_is_recorded_when_it_starts_and_when_it_ends() {
    let audited = audited("rules: [{level: Metadata}]\n").await;
    let request = http::Request::get("/api/v1/pods?watch=1").header("authorization", "Bearer admin");
    let response = audited.api.raw(request.body(http_body_util::Full::default()).unwrap()).await;
    assert_eq!(audited.stages(), ["RequestReceived watch", "ResponseStarted watch"]);
    drop(response);
    assert_eq!(audited.stages()[2..], ["ResponseComplete watch"]);
}

#[tokio::test]
async fn what_is_not_allowed_is_recorded_too() {
    let audited = audited("omitStages: [RequestReceived]\nrules: [{level: Metadata}]\n").await;
    audited.api.as_user("reader", "DELETE", "/api/v1/namespaces/a/pods/x").await;
    audited.api.as_user("bad", "GET", "/api/v1/pods").await;
    let events = audited.events();
    assert_eq!(events[0]["annotations"]["authorization.k8s.io/decision"], "forbid");
    let codes: Vec<&Value> = events.iter().map(|event| &event["responseStatus"]["code"]).collect();
    assert_eq!(codes, [&json!(403), &json!(401)]);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_sent_and_not_recorded() {
    let rules = "omitStages: [RequestReceived]\nrules: [{level: RequestResponse, verbs: [list]}]\n";
    let audited = audited(rules).await;
    let large = json!({"data": {"text": "x".repeat(1_000_000)}});
    for name in ["a", "b", "c", "d", "e"] {
        let mut map = large.clone();
        map["metadata"] = json!({"name": name});
        audited.api.post("/api/v1/namespaces/default/configmaps", &map).await.expect(201);
    }
    let list = audited.api.get("/api/v1/namespaces/default/configmaps").await.expect(200);
    assert!(list["items"].as_array().unwrap().len() >= 5);
    let event = audited.events().pop().unwrap();
    assert_eq!((&event["responseObject"], &event["responseStatus"]["code"]), (&Value::Null, &json!(200)));
    assert_eq!(event["annotations"]["audit.k8s.io/truncated"], "true");
}

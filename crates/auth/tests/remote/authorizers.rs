//! Authorizers of an AuthorizationConfiguration, webhooks among them.

use std::sync::Arc;

use auth::authz::configured::config;
use auth::authz::{Chain, Rbac};
use auth::pki::Authority;
use auth::view::testing::Objects;
use auth::{Attributes, Authorizer as _, Decision};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machinery::UserInfo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use webhook::testing::Server;

use crate::support::{answer, serve};

struct Hook {
    /// Specs of the reviews that were sent.
    asked: Arc<Mutex<Vec<Value>>>,
    files: TempDir,
    _server: Server,
}

/// Allows to `jane`, denies to `mallory`, fails for `broken`, contradicts itself for `both`, and knows nobody else.
async fn hook() -> Hook {
    let authority = Authority::create("hook-ca").unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let server = serve(&authority, move |request| {
        let review: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(
            (&review["apiVersion"], &review["kind"]),
            (&json!("authorization.k8s.io/v1"), &json!("SubjectAccessReview"))
        );
        let status = match review["spec"]["user"].as_str().unwrap() {
            "jane" => json!({"allowed": true, "reason": "jane may"}),
            "mallory" => json!({"allowed": false, "denied": true, "reason": "never mallory"}),
            "both" => json!({"allowed": true, "denied": true}),
            "broken" => return answer(403, &json!("down")),
            _ => json!({"allowed": false, "reason": "who?"}),
        };
        seen.lock().push(review["spec"].clone());
        answer(200, &json!({"apiVersion": review["apiVersion"], "kind": "SubjectAccessReview", "status": status}))
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let kubeconfig = format!(
        "clusters: [{{name: c, cluster: {{server: 'https://{}/', certificate-authority-data: {}}}}}]\n\
         contexts: [{{name: x, context: {{cluster: c}}}}]\ncurrent-context: x\n",
        server.address,
        STANDARD.encode(authority.certificate_pem().unwrap()),
    );
    std::fs::write(files.path().join("kubeconfig"), kubeconfig).unwrap();
    Hook { asked, files, _server: server }
}

impl Hook {
    fn kubeconfig(&self) -> String {
        self.files.path().join("kubeconfig").display().to_string()
    }

    /// A webhook with more fields, then RBAC.
    fn configuration(&self, more: &str) -> String {
        configuration(&format!(
            "- {{type: Webhook, name: hook, webhook: {{timeout: 3s, subjectAccessReviewVersion: v1, connectionInfo: \
             {{type: KubeConfigFile, kubeConfigFile: {}}}, {more}}}}}\n- {{type: RBAC, name: rbac}}",
            self.kubeconfig()
        ))
    }

    fn chain(&self, configuration: &str) -> Arc<Chain> {
        let path = self.files.path().join("authorization.yaml");
        std::fs::write(&path, configuration).unwrap();
        let objects = Arc::new(Objects::default());
        objects.apply(
            r#"
            clusterroles all rules=[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}]
            clusterrolebindings all roleRef={"kind":"ClusterRole","name":"all"} subjects=[{"kind":"User","name":"mallory"},{"kind":"User","name":"broken"}]
            "#,
        );
        Chain::read(&path, None, objects.clone(), Arc::new(Rbac::new(objects)))
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

fn configuration(authorizers: &str) -> String {
    format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n{authorizers}\n")
}

fn lists_pods(user: &str) -> Attributes {
    Attributes {
        user: UserInfo::new(user, &["dev"]),
        verb: "list".to_owned(),
        namespace: "shop".to_owned(),
        api_version: "v1".to_owned(),
        resource: "pods".to_owned(),
        field_selector: "spec.nodeName=n1".to_owned(),
        label_selector: "app in (a,b),!old".to_owned(),
        is_resource: true,
        ..Attributes::default()
    }
}

#[tokio::test]
async fn a_webhook_decides_before_those_after_it() {
    let hook = hook().await;
    let chain = hook.chain(&hook.configuration("failurePolicy: NoOpinion"));
    let rbac = "RBAC: allowed by ClusterRoleBinding \"all\" of ClusterRole \"all\" to User \"broken\"";
    for (user, expected) in [
        ("jane", Decision::Allow("jane may".to_owned())),
        ("mallory", Decision::Deny("never mallory".to_owned())),
        ("stranger", Decision::NoOpinion("who?".to_owned())),
        ("broken", Decision::Allow(rbac.to_owned())),
        (
            "both",
            Decision::Failed {
                why: "webhook subject access review returned both allow and deny response".to_owned(),
                denies: true,
            },
        ),
    ] {
        assert_eq!(chain.decide(&lists_pods(user)).await, expected, "{user}");
    }
    assert_eq!(
        hook.asked.lock()[0],
        json!({
            "user": "jane", "groups": ["dev", "system:authenticated"],
            "resourceAttributes": {
                "namespace": "shop", "verb": "list", "version": "v1", "resource": "pods",
                "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]},
                "labelSelector": {"requirements": [
                    {"key": "app", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"},
                ]},
            },
        })
    );
    let masters = Attributes { user: UserInfo::new("mallory", &[UserInfo::MASTERS]), ..lists_pods("") };
    assert!(chain.decide(&masters).await.allowed(), "nobody is asked about masters");
    let path = Attributes {
        user: UserInfo::new("jane", &[]),
        verb: "get".to_owned(),
        path: "/metrics".to_owned(),
        ..Attributes::default()
    };
    assert!(chain.decide(&path).await.allowed());
    let asked = hook.asked.lock();
    assert_eq!(asked.last().unwrap()["nonResourceAttributes"], json!({"path": "/metrics", "verb": "get"}));
}

#[tokio::test]
async fn answers_are_remembered_unless_the_configuration_says_no() {
    let hook = hook().await;
    for (more, expected) in [
        ("failurePolicy: Deny", 2),
        ("failurePolicy: Deny, cacheAuthorizedRequests: false", 4),
        ("failurePolicy: Deny, cacheAuthorizedRequests: false, cacheUnauthorizedRequests: false", 6),
    ] {
        let chain = hook.chain(&hook.configuration(more));
        hook.asked.lock().clear();
        for _ in 0..3 {
            assert!(chain.decide(&lists_pods("jane")).await.allowed());
            assert!(!chain.decide(&lists_pods("stranger")).await.allowed());
        }
        assert_eq!(hook.asked.lock().len(), expected, "{more}");
    }
}

#[tokio::test]
async fn a_failure_denies_or_is_left_to_others() {
    let hook = hook().await;
    let denies = hook.chain(&hook.configuration("failurePolicy: Deny"));
    let failed = |why: &str, denies| Decision::Failed { why: why.to_owned(), denies };
    assert_eq!(denies.decide(&lists_pods("broken")).await, failed("\"down\"", true));
    let lets = hook.chain(&hook.configuration("failurePolicy: NoOpinion"));
    let other =
        Attributes { verb: "get".to_owned(), is_resource: false, path: "/x".to_owned(), ..lists_pods("broken") };
    assert_eq!(lets.decide(&other).await, failed("\"down\"", false), "and nobody else allows it");
    let text = std::fs::read_to_string(hook.kubeconfig()).unwrap();
    std::fs::write(hook.kubeconfig(), text.replace("127.0.0.1", "127.0.0.2")).unwrap();
    let gone = hook.chain(&hook.configuration("failurePolicy: Deny"));
    let Decision::Failed { why, denies: true } = gone.decide(&lists_pods("jane")).await else {
        panic!("it is decided")
    };
    assert!(why.starts_with("Post \"https://127.0.0.2:"), "{why}");
}

#[tokio::test]
async fn conditions_say_what_a_webhook_is_asked() {
    let hook = hook().await;
    let chain = hook.chain(&hook.configuration(
        "failurePolicy: Deny, matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{expression: \
         'has(request.resourceAttributes)'}, {expression: 'request.resourceAttributes.namespace == \"shop\"'}]",
    ));
    assert!(chain.decide(&lists_pods("jane")).await.allowed());
    let elsewhere = Attributes { namespace: "kube-system".to_owned(), ..lists_pods("jane") };
    assert_eq!(chain.decide(&elsewhere).await, Decision::NoOpinion(String::new()));
    assert_eq!(hook.asked.lock().len(), 1);
    let careless = hook.chain(&hook.configuration(
        "failurePolicy: Deny, matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{expression: \
         'request.nonResourceAttributes.path == \"/\"'}]",
    ));
    let decision = careless.decide(&lists_pods("jane")).await;
    assert!(
        matches!(&decision, Decision::Failed { why, denies: true } if why.starts_with("cel evaluation error")),
        "{decision:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_not_wait_otherwise_waits_on_its_thread() {
    let hook = hook().await;
    let chain = hook.chain(&hook.configuration("failurePolicy: Deny"));
    assert!(tokio::spawn(async move { chain.authorize(&lists_pods("jane")).allowed() }).await.unwrap());
}

#[tokio::test]
async fn a_chain_is_taken_over_when_its_file_changes_and_kept_when_it_is_bad() {
    let hook = hook().await;
    let chain = hook.chain(&configuration("- {type: RBAC, name: rbac}"));
    let followed = tokio::spawn(chain.clone().follow());
    let path = hook.files.path().join("authorization.yaml");
    assert!(!chain.decide(&lists_pods("stranger")).await.allowed());
    std::fs::write(&path, "kind: nonsense").unwrap();
    std::fs::write(&path, configuration("- {type: RBAC, name: rbac}\n- {type: AlwaysAllow, name: alwaysallow}"))
        .unwrap();
    while !chain.decide(&lists_pods("stranger")).await.allowed() {
        tokio::task::yield_now().await;
    }
    followed.abort();
}

#[test]
fn mistakes_are_named_as_upstream_names_them() {
    let hook = |more: &str| {
        format!(
            "- {{type: Webhook, name: a, webhook: {{timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: Deny, {more}}}}}"
        )
    };
    let connection = "connectionInfo: {type: KubeConfigFile, kubeConfigFile: /dev/null/x}";
    for (authorizers, wanted) in [
        (" []".to_owned(), "authorizers: Required value: at least one authorization mode must be defined"),
        ("- {name: a}".to_owned(), "authorizers[0].type: Required value"),
        (
            "- {type: Scope, name: a}".to_owned(),
            "authorizers[0].type: Unsupported value: \"Scope\": supported values: \"ABAC\", \"AlwaysAllow\", \
             \"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\"",
        ),
        (
            "- {type: ABAC, name: a}\n- {type: RBAC, name: b}".to_owned(),
            "[expected name abac for authorizer ABAC instead of a, expected name rbac for authorizer RBAC instead of b]",
        ),
        (
            "- {type: RBAC, name: a}\n- {type: RBAC, name: b}".to_owned(),
            "authorizers[1].type: Duplicate value: \"RBAC\"",
        ),
        ("- {type: RBAC}".to_owned(), "authorizers[0].name: Required value"),
        ("- {type: RBAC, name: a}\n- {type: Node, name: a}".to_owned(), "authorizers[1].name: Duplicate value: \"a\""),
        (
            "- {type: RBAC, name: a, webhook: {}}".to_owned(),
            "authorizers[0].webhook: Invalid value: \"non-null\": may only be specified when type=Webhook",
        ),
        ("- {type: Webhook, name: a}".to_owned(), "authorizers[0].webhook: Required value: required when type=Webhook"),
        (
            "- {type: Webhook, name: a, webhook: {}}".to_owned(),
            "[authorizers[0].timeout: Required value, authorizers[0].subjectAccessReviewVersion: Required value, \
             authorizers[0].failurePolicy: Required value, authorizers[0].connectionInfo.type: Required value]",
        ),
        (
            hook("connectionInfo: {type: KubeConfigFile}"),
            "authorizers[0].connectionInfo.kubeConfigFile: Required value",
        ),
        (
            hook("connectionInfo: {type: KubeConfigFile, kubeConfigFile: relative}"),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"relative\": must be an absolute path",
        ),
        (
            hook("connectionInfo: {type: KubeConfigFile, kubeConfigFile: /tmp}"),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/tmp\": must be a regular file",
        ),
        (
            hook("connectionInfo: {type: KubeConfigFile, kubeConfigFile: /dev/null/x}, timeout: 31s").replacen(
                "timeout: 3s, ",
                "",
                1,
            ),
            "[authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s, \
             authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/dev/null/x\": error loading file: Not a \
             directory (os error 20)]",
        ),
        (
            hook(&format!("{connection}, matchConditions: [{{expression: 'request.user'}}]"))
                .replace("/dev/null/x", "/etc/hostname"),
            "[authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions \
             are specified, authorizers[0].matchConditions[0].expression: Invalid value: \"request.user\": must \
             evaluate to bool but got string]",
        ),
    ] {
        let error = config::parse(&configuration(&authorizers), None).err().unwrap_or_else(|| panic!("{authorizers}"));
        assert_eq!(error.to_string(), format!("invalid authorization configuration: {wanted}"), "{authorizers}");
    }
}

#[test]
fn modes_make_a_chain_too() {
    let error = |modes: &str| {
        let modes: Vec<String> = modes.split(',').filter(|mode| !mode.is_empty()).map(str::to_owned).collect();
        config::of_modes(&modes, None, None).err().map(|error| error.to_string())
    };
    assert_eq!(error("Node,RBAC"), None);
    let invalid = |why: &str| Some(format!("invalid authorization configuration: {why}"));
    assert_eq!(error(""), invalid("at least one authorization-mode must be passed"));
    assert_eq!(error("Who"), invalid("authorization-mode \"Who\" is not a valid mode"));
    assert_eq!(error("ABAC"), invalid("authorization-mode ABAC's authorization policy file not passed"));
    assert_eq!(
        error("RBAC,RBAC"),
        invalid("authorization-mode [\"RBAC\", \"RBAC\"] has mode specified more than once")
    );
    assert_eq!(error("Webhook"), invalid("authorization-mode Webhook's authorization config file not passed"));
}

/// Who decides at once waits on a thread for a webhook that does not answer; others are served meanwhile, and no more
/// than so many threads wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_webhook_does_not_hold_the_others_up() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = hook().await;
    let kubeconfig = std::fs::read_to_string(hook.kubeconfig()).unwrap();
    let (before, after) = kubeconfig.split_once("https://").unwrap();
    let (_, after) = after.split_once('/').unwrap();
    let kubeconfig = format!("{before}https://{}/{after}", mute.local_addr().unwrap());
    std::fs::write(hook.kubeconfig(), kubeconfig).unwrap();
    let chain = hook.chain(&hook.configuration("failurePolicy: Deny"));
    let asked: Vec<_> = (0..200)
        .map(|number| {
            let chain = chain.clone();
            tokio::spawn(async move { chain.authorize(&lists_pods(&format!("user-{number}"))) })
        })
        .collect();
    let others: Vec<_> = (0..1000).map(|number| tokio::spawn(async move { number })).collect();
    for (number, other) in others.into_iter().enumerate() {
        assert_eq!(other.await.unwrap(), number);
    }
    assert!(asked.iter().any(|asked| !asked.is_finished()), "the webhook has not answered yet");
    let mut turned_away = 0;
    for asked in asked {
        let decision = asked.await.unwrap();
        assert!(matches!(decision, Decision::Failed { denies: true, .. }), "{decision:?}");
        turned_away += usize::from(decision.reason().contains("requests wait for the authorization webhook already"));
    }
    assert!((1..=200 - 64).contains(&turned_away), "{turned_away} were turned away");
}

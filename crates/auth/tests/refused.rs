//! Tokens and certificates that let nobody in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use auth::authn::{ClientCertificate, ClientCertificates, HeaderNames, RequestHeaders, Union};
use auth::pki::{Authority, LeafSpec};
use auth::tls::{self, Trust};
use auth::tokens::{ISSUER, Private, Reference, Terms, TokenIssuer};
use auth::view::testing::Objects;
use auth::{Authenticator, Credentials};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use machinery::UserInfo;
use serde_json::{Value, json};

/// A key as PEM, with a public part as PEM.
fn key() -> (String, String) {
    let (certificate, key) = Authority::create("x").unwrap().issue(&LeafSpec::client("x", &[])).unwrap();
    (key, certificate)
}

struct Cluster {
    objects: Arc<Objects>,
    issuer: Arc<TokenIssuer>,
    union: Union,
    key: String,
    certificate: String,
}

impl Cluster {
    fn new() -> Self {
        let objects = Arc::new(Objects::default());
        objects.apply(
            r#"
            serviceaccounts/dev bot metadata.uid="sa"
            pods/dev web metadata.uid="pod"
            secrets/dev held metadata.uid="secret"
            nodes n1 metadata.uid="node"
            "#,
        );
        let (key, certificate) = key();
        let issuer = Arc::new(TokenIssuer::from_pem(&key, Terms::of(ISSUER)).unwrap());
        let union = Union::standard(objects.clone(), issuer.clone());
        Self { objects, issuer, union, key, certificate }
    }

    async fn user(&self, token: &str) -> Result<Option<UserInfo>, String> {
        self.union.authenticate(&Credentials::token(token)).await.map_err(|refused| refused.to_string())
    }

    /// Claims that hold, with others in place of some.
    fn claims(&self, more: Value) -> Value {
        let now = clock::now().as_second();
        let mut claims = json!({
            "iss": ISSUER, "aud": [ISSUER], "sub": "system:serviceaccount:dev:bot", "jti": "1", "iat": now, "nbf": now,
            "exp": now + 600,
            "kubernetes.io": {"namespace": "dev", "serviceaccount": {"name": "bot", "uid": "sa"}},
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }

    fn signed(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_pem(self.key.as_bytes()).unwrap()).unwrap()
    }

    fn id(&self) -> String {
        self.issuer.jwks()["keys"][0]["kid"].as_str().unwrap().to_owned()
    }

    fn bound(&self, bind: impl Fn(&mut Private)) -> String {
        let reference = |name: &str, uid: &str| Reference { name: name.to_owned(), uid: uid.to_owned() };
        let mut private =
            Private { namespace: "dev".to_owned(), serviceaccount: reference("bot", "sa"), ..Private::default() };
        bind(&mut private);
        self.issuer.mint(private, vec![ISSUER.to_owned()], 600).unwrap().0
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn tokens_that_are_not_what_they_say() {
    let cluster = Cluster::new();
    let es256 = Header { kid: Some(cluster.id()), ..Header::new(Algorithm::ES256) };
    let good = cluster.signed(&es256, &cluster.claims(json!({})));
    assert_eq!(cluster.user(&good).await.unwrap().unwrap().name, "system:serviceaccount:dev:bot");
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("three parts") };
    let now = clock::now().as_second();
    let with = |more: Value| cluster.signed(&es256, &cluster.claims(more));
    let hs256 = |secret: &str| {
        let header = Header { kid: Some(cluster.id()), ..Header::new(Algorithm::HS256) };
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&header, &cluster.claims(json!({})), &key).unwrap()
    };
    let under = |header: Value| format!("{}.{claims}.{signature}", encoded(&header));
    let stranger = {
        let key = EncodingKey::from_ec_pem(key().0.as_bytes()).unwrap();
        jsonwebtoken::encode(&es256, &cluster.claims(json!({})), &key).unwrap()
    };
    let jwks = cluster.issuer.jwks().to_string();
    let mut flipped = signature.as_bytes().to_vec();
    flipped[3] = if flipped[3] == b'A' { b'B' } else { b'A' };
    let flipped = format!("{header}.{claims}.{}", String::from_utf8(flipped).unwrap());
    let root = json!({"sub": "system:serviceaccount:kube-system:root"});
    for (what, token) in [
        ("expired", with(json!({"exp": now - 1}))),
        ("expires now", with(json!({"exp": now}))),
        ("not valid yet", with(json!({"nbf": now + 60}))),
        ("for another audience", with(json!({"aud": ["vault"]}))),
        ("for nobody", with(json!({"aud": []}))),
        ("of another issuer", with(json!({"iss": "https://else.test"}))),
        ("of no issuer", with(json!({"iss": null}))),
        ("of a list of issuers", with(json!({"iss": [ISSUER]}))),
        ("of somebody else's account", with(root.clone())),
        ("without Kubernetes' claims", with(json!({"kubernetes.io": null}))),
        ("an account in another namespace", {
            let claims = json!({"namespace": "prod", "serviceaccount": {"name": "bot", "uid": "sa"}});
            with(json!({"kubernetes.io": claims, "sub": "system:serviceaccount:prod:bot"}))
        }),
        ("claims changed", format!("{header}.{}.{signature}", encoded(&cluster.claims(root)))),
        ("signature changed", flipped),
        (
            "signature of another token",
            format!("{header}.{claims}.{}", with(json!({"jti": "2"})).rsplit_once('.').unwrap().1),
        ),
        ("truncated", good[..good.len() - 1].to_owned()),
        ("without its end", good[..good.len() / 2].to_owned()),
        ("unsigned", format!("{header}.{claims}.")),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{good}.x")),
        ("empty parts", "..".to_owned()),
        ("padded", format!("{header}=.{claims}.{signature}")),
        ("algorithm none", format!("{}.{claims}.", encoded(&json!({"alg": "none"})))),
        ("algorithm nOnE with a signature", under(json!({"alg": "nOnE", "kid": cluster.id()}))),
        ("no algorithm", under(json!({"kid": cluster.id()}))),
        ("another curve's algorithm", under(json!({"alg": "ES384", "kid": cluster.id()}))),
        ("an algorithm of RSA", under(json!({"alg": "RS256", "kid": cluster.id()}))),
        ("the public key as secret", hs256(&cluster.certificate)),
        ("the published keys as secret", hs256(&jwks)),
        ("nothing as secret", hs256("")),
        ("another key under this name", stranger),
        (
            "this key under another name",
            cluster.signed(&Header { kid: Some("other".into()), ..es256.clone() }, &cluster.claims(json!({}))),
        ),
        (
            "the path of a key",
            cluster.signed(&Header { kid: Some("../../dev/null".into()), ..es256.clone() }, &cluster.claims(json!({}))),
        ),
        ("a key of its own in the header", {
            let own = TokenIssuer::from_pem(&key().0, Terms::of(ISSUER)).unwrap().jwks()["keys"][0].clone();
            under(json!({"alg": "ES256", "jwk": own}))
        }),
        ("oversized", format!("{header}.{}.{signature}", "A".repeat(1 << 20))),
        ("header is no object", format!("{}.{claims}.{signature}", encoded(&json!([])))),
        ("claims are no object", format!("{header}.{}.{signature}", encoded(&json!("x")))),
    ] {
        let answer = cluster.user(&token).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
        let why = answer.unwrap_err();
        assert!(why.len() < 300 && !why.contains(*signature), "{what}: {why}");
    }
    assert!(cluster.user(&good).await.is_ok(), "none of them harms the good one");
}

#[tokio::test]
async fn tokens_whose_objects_are_gone_or_are_others() {
    let reference = |name: &str, uid: &str| Some(Reference { name: name.to_owned(), uid: uid.to_owned() });
    type Bind = fn(&mut Private, Option<Reference>);
    let kinds: [(&str, &str, &str, &str, Bind); 4] = [
        ("pods", "dev", "web", "pod", |private, of| private.pod = of),
        ("secrets", "dev", "held", "secret", |private, of| private.secret = of),
        ("nodes", "", "n1", "node", |private, of| private.node = of),
        ("serviceaccounts", "dev", "bot", "service account", |_, _| {}),
    ];
    for (resource, namespace, name, what, bind) in kinds {
        let cluster = Cluster::new();
        let uid = if resource == "serviceaccounts" { "sa" } else { what };
        let token = cluster.bound(|private| bind(private, reference(name, uid)));
        assert!(cluster.user(&token).await.is_ok(), "{what}");
        let place = if namespace.is_empty() { resource.to_owned() } else { format!("{resource}/{namespace}") };
        cluster.objects.apply(&format!("{place} {name} metadata.uid=\"new\""));
        let expected = format!("{what} UID (new) does not match claim ({uid})");
        assert_eq!(cluster.user(&token).await, Err(expected), "recreated");
        cluster.objects.remove(resource, namespace, name);
        assert_eq!(cluster.user(&token).await, Err(format!("{what} {name:?} not found")));
        cluster.objects.apply(&format!("{place} {name} metadata.uid=\"{uid}\""));
        assert!(cluster.user(&token).await.is_ok(), "{what} is as it was");
    }
}

/// Does something at a time so many days from the beginning.
fn after<T>(days: u64, work: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // Every key is another.
    static SEED: AtomicU64 = AtomicU64::new(0);
    runtime.block_on(async {
        let _guard = clock::simulate(SEED.fetch_add(1, Ordering::Relaxed));
        tokio::time::advance(std::time::Duration::from_secs(days * 86_400)).await;
        work()
    })
}

#[test]
fn certificates_that_are_not_what_they_say() {
    let users = after(0, || Authority::create("users").unwrap());
    let trust = Trust::new(users.certificate_pem().unwrap()).unwrap();
    let jane = LeafSpec::client("jane", &["system:masters"]);
    let shown = |authority: &Authority, spec: &LeafSpec| authority.issue(spec).unwrap().0;
    let good = after(0, || shown(&users, &jane));
    let mut cases = Vec::new();
    let mut add = |what: &'static str, days: u64, chain: String| cases.push((what, days, chain));
    add("expired", 366, good.clone());
    add("not valid yet", 0, after(10, || shown(&users, &jane)));
    let namesake = after(0, || Authority::create("users").unwrap());
    add("of a namesake of the authority", 0, after(0, || shown(&namesake, &jane)));
    let itself = after(0, || Authority::create("jane").unwrap());
    add("signed by itself", 0, itself.certificate_pem().unwrap());
    let server = LeafSpec::server("jane", vec!["jane".to_owned()], vec![]);
    add("for a server", 0, after(0, || shown(&users, &server)));
    let none = LeafSpec { usages: vec![], ..jane.clone() };
    add("for nothing", 0, after(0, || shown(&users, &none)));
    add("of nobody", 0, after(0, || shown(&users, &LeafSpec::client("", &["system:masters"]))));
    let (leaf, key) = after(0, || users.issue(&LeafSpec::client("joe", &[])).unwrap());
    let intermediate = Authority::from_pem(&leaf, &key).unwrap();
    let by_user = after(0, || shown(&intermediate, &jane));
    add("signed by a user", 0, format!("{by_user}{leaf}"));
    add("no certificate but the authority's", 0, users.certificate_pem().unwrap());
    let authenticator = ClientCertificates::of(trust);
    let user = |days: u64, chain: &str| {
        after(days, || {
            let certificate = ClientCertificate::from(tls::certificates(chain).unwrap());
            let credentials = Credentials { client_certificate: Some(certificate), ..Credentials::default() };
            futures::executor::block_on(authenticator.authenticate(&credentials))
        })
    };
    let groups = user(1, &good).unwrap().map(|user| (user.name, user.groups));
    assert_eq!(groups, Some(("jane".to_owned(), UserInfo::new("jane", &["system:masters"]).groups)));
    for (what, days, chain) in cases {
        let answer = user(days, &chain);
        assert!(matches!(answer, Ok(None) | Err(_)), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn proxies_that_are_not_the_ones() {
    let (proxies, users) = (Authority::create("proxies").unwrap(), Authority::create("users").unwrap());
    let trust = Trust::new(proxies.certificate_pem().unwrap()).unwrap();
    let allowed = vec!["front-proxy-client".to_owned()];
    let authenticator = RequestHeaders::new(trust, allowed, HeaderNames::default());
    let mut headers = HeaderMap::new();
    headers.insert("x-remote-user", "root".parse().unwrap());
    headers.insert("x-remote-group", "system:masters".parse().unwrap());
    let front = || LeafSpec::client("front-proxy-client", &[]);
    for (what, signer, spec, believed) in [
        ("the proxy", &proxies, front(), true),
        ("another name", &proxies, LeafSpec::client("front-proxy-client2", &[]), false),
        ("the name as a group", &proxies, LeafSpec::client("x", &["front-proxy-client"]), false),
        ("the name in capitals", &proxies, LeafSpec::client("FRONT-PROXY-CLIENT", &[]), false),
        ("no name", &proxies, LeafSpec::client("", &[]), false),
        ("a server's certificate", &proxies, LeafSpec::server("front-proxy-client", vec![], vec![]), false),
        ("a user of that name", &users, front(), false),
    ] {
        let chain = tls::certificates(&signer.issue(&spec).unwrap().0).unwrap();
        let credentials = Credentials {
            client_certificate: Some(ClientCertificate::from(chain)),
            headers: Some(&headers),
            ..Credentials::default()
        };
        let answer = authenticator.authenticate(&credentials).await;
        assert_eq!(matches!(answer, Ok(Some(_))), believed, "{what}: {answer:?}");
    }
}

//! Tokens of OpenID Connect issuers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use machinery::UserInfo;
use serde_json::{Value, json};

use crate::support::{AUDIENCE, Fixture, Signer, TestIssuer};

const BY_SUBJECT: &str =
    "  claimMappings:\n    username: {claim: sub, prefix: 'oidc:'}\n    groups: {claim: groups, prefix: 'oidc:'}";

#[tokio::test]
async fn tokens_of_a_trusted_issuer_name_users() {
    let (curve, rsa) = (Signer::new("curve"), Signer::rsa("rsa"));
    let issuer = TestIssuer::start(&[&curve, &rsa]).await;
    let fixture = Fixture::new(&issuer.configuration(BY_SUBJECT));
    for signer in [&curve, &rsa] {
        let token = signer.sign(&issuer.claims(json!({"groups": ["dev", "ops"], "jti": "t1"})));
        let user = fixture.user(&token).await.unwrap();
        assert_eq!(user.name, "oidc:jane");
        assert_eq!(user.groups, ["oidc:dev", "oidc:ops", "system:authenticated"]);
        assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=t1"]);
    }
    let one = curve.sign(&issuer.claims(json!({"groups": "dev", "aud": ["other", AUDIENCE]})));
    assert_eq!(fixture.user(&one).await.unwrap().groups, ["oidc:dev", "system:authenticated"]);
    assert_eq!(issuer.says.lock().asked, 1, "keys are fetched once");
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused() {
    let signer = Signer::rsa("one");
    let issuer = TestIssuer::start(&[&signer]).await;
    let fixture = Fixture::new(&issuer.configuration(BY_SUBJECT));
    let now = clock::now().as_second();
    let at = |seconds: i64| clock::format_time(jiff::Timestamp::from_second(seconds).unwrap());
    let with = |more: Value| signer.sign(&issuer.claims(more));
    let good = with(json!({}));
    assert!(fixture.user(&good).await.is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let changed = |header: Value, claims: Value| format!("{}.{}.{}", encoded(&header), encoded(&claims), parts[2]);
    let rs256 = json!({"alg": "RS256", "kid": "one"});
    let unsigned = format!("{}.{}.", encoded(&json!({"alg": "none"})), parts[1]);
    let public = include_bytes!("test-rsa.pem");
    let by_public_key = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
    let by_public_key =
        jsonwebtoken::encode(&by_public_key, &issuer.claims(json!({})), &EncodingKey::from_secret(public)).unwrap();
    let stranger = Signer::new("one").sign(&issuer.claims(json!({})));
    let unknown = Signer::new("two").sign(&issuer.claims(json!({})));
    let bad_signature = "oidc: verify token: failed to verify signature: failed to verify id token signature";
    let algorithm = |got: &str| {
        format!(
            "oidc: verify token: oidc: id token signed with unsupported algorithm, expected [\"RS256\", \"RS384\", \
             \"RS512\", \"ES256\", \"ES384\", \"ES512\", \"PS256\", \"PS384\", \"PS512\"] got {got:?}"
        )
    };
    let expired = format!("oidc: verify token: oidc: token is expired (Token Expiry: {})", at(now - 10));
    let invalid = "invalid bearer token";
    for (what, token, why) in [
        ("another subject", changed(rs256, issuer.claims(json!({"sub": "root"}))), bad_signature.to_owned()),
        ("no signature", unsigned, algorithm("none")),
        ("the public key as a secret", by_public_key, algorithm("HS256")),
        ("another key of the same name", stranger, bad_signature.to_owned()),
        ("a key nobody knows", unknown, bad_signature.to_owned()),
        ("expired", with(json!({"exp": now - 10})), expired),
        (
            "no expiry",
            with(json!({"exp": null})),
            "oidc: verify token: oidc: token is expired (Token Expiry: 1970-01-01T00:00:00Z)".to_owned(),
        ),
        (
            "another audience",
            with(json!({"aud": "vault"})),
            "oidc: verify token: oidc: expected audience in [\"cluster\"] got [\"vault\"]".to_owned(),
        ),
        ("another issuer", with(json!({"iss": "https://else.test"})), invalid.to_owned()),
        ("no issuer", with(json!({"iss": null})), invalid.to_owned()),
        ("a piece of it", good[..good.rfind('.').unwrap() - 3].to_owned(), invalid.to_owned()),
        ("a piece of its signature", good[..good.len() - 4].to_owned(), bad_signature.to_owned()),
        ("one part too many", format!("{good}.x"), invalid.to_owned()),
        ("no token", "opaque".to_owned(), invalid.to_owned()),
    ] {
        assert_eq!(fixture.user(&token).await, Err(why), "{what}");
    }
    let early = fixture.user(&with(json!({"nbf": now + 3600}))).await.unwrap_err();
    assert!(early.starts_with("oidc: verify token: oidc: current time "), "{early}");
    assert!(fixture.user(&with(json!({"nbf": now + 60}))).await.is_ok(), "clocks differ a little");
    let no_name = fixture.user(&with(json!({"sub": null}))).await.unwrap_err();
    assert_eq!(no_name, "oidc: parse username claims \"sub\": null is no string");
    assert!(fixture.user(&good).await.is_ok(), "none of them harms the good one");
}

#[tokio::test]
async fn tokens_that_ended_are_refused_when_they_come_again() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = TestIssuer::start(&[&old]).await;
    let fixture = Fixture::new(&issuer.configuration(BY_SUBJECT));
    let (old_token, new_token) = (old.sign(&issuer.claims(json!({}))), new.sign(&issuer.claims(json!({}))));
    assert!(fixture.user(&old_token).await.is_ok());
    issuer.publish(&[&new]);
    // Keys are asked for at most once a second.
    fixture.until(&new_token, Result::is_ok).await;
    assert!(fixture.user(&old_token).await.unwrap_err().contains("failed to verify id token signature"));
    let before = issuer.says.lock().asked;
    for _ in 0..50 {
        assert!(fixture.user(&old_token).await.is_err());
    }
    assert!(issuer.says.lock().asked <= before + 2, "forged tokens do not make the server ask each time");
}

#[tokio::test]
async fn an_issuer_may_come_later() {
    let signer = Signer::new("one");
    let issuer = TestIssuer::start(&[&signer]).await;
    issuer.says.lock().down = true;
    let fixture = Fixture::new(&issuer.configuration(BY_SUBJECT));
    let token = signer.sign(&issuer.claims(json!({})));
    assert!(fixture.user(&token).await.unwrap_err().contains("unable to handle the request"));
    assert_eq!(fixture.user(&token).await, Err("oidc: authenticator not initialized".to_owned()));
    issuer.says.lock().down = false;
    fixture.until(&token, Result::is_ok).await;
}

#[tokio::test]
async fn an_issuer_must_be_whom_it_says_and_whom_its_authority_vouches_for() {
    let signer = Signer::new("one");
    let issuer = TestIssuer::start(&[&signer]).await;
    issuer.says.lock().issuer = Some("https://else.test".to_owned());
    let token = signer.sign(&issuer.claims(json!({})));
    let error = Fixture::new(&issuer.configuration(BY_SUBJECT)).user(&token).await.unwrap_err();
    assert!(error.contains("oidc: issuer did not match the issuer returned by provider"), "{error}");
    issuer.says.lock().issuer = None;
    let other = TestIssuer::start(&[]).await;
    let mistrusted = issuer
        .configuration(BY_SUBJECT)
        .replace(&issuer.ca.replace('\n', "\n      "), &other.ca.replace('\n', "\n      "));
    let error = Fixture::new(&mistrusted).user(&token).await.unwrap_err();
    assert!(error.contains("x509: certificate signed by unknown authority"), "{error}");
    let elsewhere = format!("    discoveryURL: {}/elsewhere\n{BY_SUBJECT}", issuer.url);
    assert!(Fixture::new(&issuer.configuration(&elsewhere)).user(&token).await.is_ok());
}

#[tokio::test]
async fn expressions_map_claims_and_rule_users_out() {
    let signer = Signer::new("one");
    let issuer = TestIssuer::start(&[&signer]).await;
    let fixture = Fixture::new(&issuer.configuration(
        r#"  claimValidationRules:
  - {claim: hd, requiredValue: acme.com}
  - {expression: 'claims.exp - claims.iat <= 86400', message: 'lives too long'}
  claimMappings:
    username: {expression: 'claims.email_verified ? claims.email + ":mail" : ""'}
    groups: {expression: 'claims.roles.split(",")'}
    uid: {claim: sub}
    extra:
    - {key: 'acme.com/tenant', valueExpression: 'claims.tenant'}
    - {key: 'acme.com/none', valueExpression: '""'}
  userValidationRules:
  - {expression: '!user.username.startsWith("system:")', message: 'username cannot used reserved system: prefix'}
  - {expression: 'user.groups.all(group, group != "root")', message: 'not root'}"#,
    ));
    let base = json!({"hd": "acme.com", "email": "j@acme.com", "email_verified": true, "roles": "dev,,ops", "tenant": ["a", "b"]});
    let user = |more: Value| {
        let mut claims = issuer.claims(base.clone());
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fixture_user(&fixture, signer.sign(&claims))
    };
    let mut expected = UserInfo { uid: "jane".to_owned(), ..UserInfo::new("j@acme.com:mail", &["dev", "ops"]) };
    expected.extra.insert("acme.com/tenant".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(user(json!({})).await, Ok(expected));
    let now = clock::now().as_second();
    for (more, why) in [
        (json!({"hd": "else"}), "oidc: required claim hd value does not match. Got = else, want = acme.com"),
        (json!({"hd": 1}), "oidc: parse claim hd: 1 is no string"),
        (
            json!({"exp": now + 100_000}),
            "oidc: error evaluating claim validation expression: validation expression 'claims.exp - claims.iat <= \
             86400' failed: lives too long",
        ),
        (json!({"email_verified": false}), "oidc: empty username via CEL expression is not allowed"),
        (
            json!({"email": "system:x"}),
            "oidc: error evaluating user info validation rule: validation expression \
             '!user.username.startsWith(\"system:\")' failed: username cannot used reserved system: prefix",
        ),
        (
            json!({"roles": "root"}),
            "oidc: error evaluating user info validation rule: validation expression 'user.groups.all(group, group \
             != \"root\")' failed: not root",
        ),
        (
            json!({"tenant": 7}),
            "oidc: error evaluating extra claim expression: claims.tenant: expression must return a string or a list \
             of strings",
        ),
    ] {
        assert_eq!(user(more.clone()).await, Err(why.to_owned()), "{more}");
    }
    let mut claims = issuer.claims(base);
    claims.as_object_mut().unwrap().remove("roles");
    let error = fixture.user(&signer.sign(&claims)).await.unwrap_err();
    assert_eq!(
        error,
        "oidc: error evaluating group claim expression: expression 'claims.roles.split(\",\")' resulted in error: no \
         such key: roles"
    );
}

async fn fixture_user(fixture: &Fixture, token: String) -> Result<UserInfo, String> {
    fixture.user(&token).await
}

#[tokio::test]
async fn an_address_that_is_not_verified_is_no_name() {
    let signer = Signer::new("one");
    let issuer = TestIssuer::start(&[&signer]).await;
    let fixture = Fixture::new(&issuer.configuration("  claimMappings: {username: {claim: email, prefix: ''}}"));
    let user = |more: Value| fixture_user(&fixture, signer.sign(&issuer.claims(more)));
    assert_eq!(user(json!({"email": "j@x"})).await, Ok(UserInfo::new("j@x", &[])));
    assert!(user(json!({"email": "j@x", "email_verified": true})).await.is_ok());
    let refused = user(json!({"email": "j@x", "email_verified": false})).await;
    assert_eq!(refused, Err("oidc: email not verified".to_owned()));
}

#[tokio::test]
async fn every_algorithm_that_upstream_allows_is_known() {
    let issuer = TestIssuer::start(&[]).await;
    let fixture = Fixture::new(&issuer.configuration(BY_SUBJECT));
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let p521 = p521::ecdsa::SigningKey::from_slice(&[1; 66]).unwrap();
    let point = p521.verifying_key().to_sec1_point(false);
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (coordinate(point.x().unwrap()), coordinate(point.y().unwrap()));
    let mut keys = vec![json!({"kty": "EC", "kid": "ES512", "crv": "P-521", "x": x, "y": y})];
    let mut tokens = Vec::new();
    let message =
        format!("{}.{}", encoded(&json!({"alg": "ES512", "kid": "ES512"})), encoded(&issuer.claims(json!({}))));
    let signature: p521::ecdsa::Signature = p521::ecdsa::signature::Signer::sign(&p521, message.as_bytes());
    tokens.push(("ES512", format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))));
    let rsa = EncodingKey::from_rsa_pem(include_bytes!("test-rsa.pem")).unwrap();
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let known: Algorithm = algorithm.parse().unwrap();
        let mut jwk = json!(jsonwebtoken::jwk::Jwk::from_encoding_key(&rsa, known).unwrap());
        jwk["kid"] = json!(algorithm);
        keys.push(jwk);
        let header = Header { kid: Some(algorithm.to_owned()), ..Header::new(known) };
        tokens.push((algorithm, jsonwebtoken::encode(&header, &issuer.claims(json!({})), &rsa).unwrap()));
    }
    issuer.says.lock().keys = keys;
    for (algorithm, token) in tokens {
        assert_eq!(fixture.user(&token).await.map(|user| user.name), Ok("oidc:jane".to_owned()), "{algorithm}");
    }
}

#[tokio::test]
async fn groups_may_be_told_elsewhere() {
    let (signer, other) = (Signer::new("one"), Signer::new("other"));
    let issuer = TestIssuer::start(&[&signer]).await;
    let fixture = Fixture::new(&issuer.configuration(BY_SUBJECT));
    let endpoint = format!("{}/claims", issuer.url);
    let source = |access: &str| json!({"src1": {"endpoint": endpoint, "access_token": access}});
    let pointing = |names: Value, sources: Value| {
        signer.sign(&issuer.claims(json!({"_claim_names": names, "_claim_sources": sources})))
    };
    let names = json!({"groups": "src1"});
    let told = |by: &Signer, claims: Value| by.sign(&issuer.claims(claims));
    issuer.says.lock().distributed = told(&signer, json!({"groups": ["dev"]}));
    let good = pointing(names.clone(), source("secret"));
    assert_eq!(fixture.user(&good).await.unwrap().groups, ["oidc:dev", "system:authenticated"]);
    let own = json!({"groups": ["own"], "_claim_names": names, "_claim_sources": source("secret")});
    let own = signer.sign(&issuer.claims(own));
    assert_eq!(fixture.user(&own).await.unwrap().groups, ["oidc:own", "system:authenticated"]);
    let aggregated = pointing(names.clone(), json!({"src1": {"JWT": "x"}}));
    assert_eq!(fixture.user(&aggregated).await.unwrap().groups, ["system:authenticated"]);
    let elsewhere = pointing(json!({"address": "src1"}), source("secret"));
    assert_eq!(fixture.user(&elsewhere).await.unwrap().groups, ["system:authenticated"]);
    for (what, token, distributed, expected) in [
        ("no sources", signer.sign(&issuer.claims(json!({"_claim_names": names}))), None, "oidc: no claim sources"),
        (
            "another source",
            pointing(json!({"groups": "src2"}), source("secret")),
            None,
            "id token _claim_names contained a source src2 missing in _claims_sources",
        ),
        (
            "no leave",
            pointing(names.clone(), source("")),
            None,
            "while getting distributed claim \"groups\": error while getting distributed claim JWT: 401 Unauthorized",
        ),
        ("rubbish", good.clone(), Some("rubbish".to_owned()), "failed for claim \"groups\": malformed token"),
        ("without the claim", good.clone(), Some(told(&signer, json!({}))), "did not contain claim: groups"),
        (
            "of another key",
            good.clone(),
            Some(told(&other, json!({"groups": ["system:masters"]}))),
            "verify distributed claim token: failed to verify signature: failed to verify id token signature",
        ),
        (
            "for another audience",
            good.clone(),
            Some(told(&signer, json!({"groups": ["x"], "aud": "else"}))),
            "verify distributed claim token: oidc: expected audience in [\"cluster\"] got [\"else\"]",
        ),
        (
            "expired",
            good.clone(),
            Some(told(&signer, json!({"groups": ["x"], "exp": 1}))),
            "verify distributed claim token: oidc: token is expired",
        ),
    ] {
        if let Some(distributed) = distributed {
            issuer.says.lock().distributed = distributed;
        }
        let refused = fixture.user(&token).await.unwrap_err();
        assert!(refused.starts_with("oidc: could not expand distributed claims: "), "{what}: {refused}");
        assert!(refused.contains(expected), "{what}: {refused}");
    }
}
